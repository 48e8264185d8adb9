"""Decodes and resizes with Pillow: reference_resize.py SIZE OUT FILE… writes size*size grey levels a file to OUT."""
import sys
from PIL import Image

size, out = int(sys.argv[1]), sys.argv[2]
with open(out, "wb") as target:
    for path in sys.argv[3:]:
        grey = Image.open(path).convert("L")
        target.write(grey.resize((size, size), Image.Resampling.BILINEAR).tobytes())
