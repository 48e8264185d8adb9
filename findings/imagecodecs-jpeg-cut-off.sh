#!/usr/bin/env bash
# imagecodecs decodes a JPEG that is cut off in the middle without an error or a warning: the rows that are missing are
# grey (128), as if they were part of the picture. The same is true of a file that lacks nothing but its last two bytes, the
# end-of-image marker, of which all pixels are right: nothing tells the two apart. Pillow refuses both.
#
# Seen with imagecodecs 2026.3.6, Pillow 12.0.0 and numpy 2.4.6 from PyPI (Python 3.11, Linux), November 2026:
#   whole file:         imagecodecs 256 rows right; Pillow 256 rows right
#   without its marker: imagecodecs 256 rows right; Pillow: OSError
#   half of its bytes:  imagecodecs 120 rows right, the last one is 128 throughout; Pillow: OSError
# What this project does about it: rows that are missing are an error (the check truncated), a marker alone is another (the
# check no-end-marker), which a setting accepts (src/data/decode.rs; src/data/decode/tests/jpegs.rs tests it).
#
# Fails if the behaviour changes: if imagecodecs refuses the half file or warns, or Pillow reads one of the two.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check imagecodecs==2026.3.6 Pillow==12.0.0 numpy==2.4.6

cat > "$folder/cut.py" <<'PYTHON'
import io, warnings
import imagecodecs, numpy
from PIL import Image

warnings.simplefilter("error")
picture = (numpy.add.outer(numpy.arange(256), numpy.arange(256)) // 2).astype(numpy.uint8)
buffer = io.BytesIO()
Image.fromarray(picture).save(buffer, "JPEG", quality=95)
whole = buffer.getvalue()
right = imagecodecs.jpeg8_decode(whole)


def by_pillow(file):
    try:
        return numpy.asarray(Image.open(io.BytesIO(file)))
    except OSError:
        return None


def rows(found):
    return int((found == right).all(axis=1).sum())


results = []
for name, file in (("whole file:", whole), ("without its marker:", whole[:-2]), ("half of its bytes:", whole[: len(whole) // 2])):
    by_imagecodecs, pillow = imagecodecs.jpeg8_decode(file), by_pillow(file)
    grey = ", the last one is 128 throughout" if (by_imagecodecs[-1] == 128).all() else ""
    told = ": OSError" if pillow is None else f" {rows(pillow)} rows right"
    print(f"{name:19} imagecodecs {rows(by_imagecodecs)} rows right{grey}; Pillow{told}")
    results.append((rows(by_imagecodecs), bool(grey), pillow is None))
assert results[0] == (256, False, False)
assert results[1] == (256, False, True)
assert 0 < results[2][0] < 200 and results[2][1:] == (True, True)
PYTHON
"$folder/venv/bin/python" "$folder/cut.py"
