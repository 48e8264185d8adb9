#!/usr/bin/env bash
# A lossless JPEG (ITU T.81, process 14, as CT is stored in DICOM) of 16 bits a value comes out of FFmpeg with wrong values
# in nearly every pixel, with a warning at most and exit status 0. Of 12 to 15 bits the same picture comes out right (FFmpeg shifts it up to
# 16 bits). It does not depend on how large the values are: those here are 0 to 1008. The files are written by two encoders
# of which neither knows the other, libjpeg-turbo and liblj92, and two decoders, libjpeg-turbo and jpegsof3, read every one
# of them without a difference.
#
# Seen with FFmpeg n9.0.2-17-g2a571b6068 of imageio-ffmpeg 0.8.1, imagecodecs 2026.3.6 and numpy 2.4.6 from PyPI (Python
# 3.11, Linux), November 2026:
#   12 bits, libjpeg-turbo: exit status 0, 0 of 4096 values are wrong
#   12 bits, liblj92:       exit status 0, 0 of 4096 values are wrong
#   15 bits, libjpeg-turbo: exit status 0, 0 of 4096 values are wrong
#   15 bits, liblj92:       exit status 0, 0 of 4096 values are wrong
#   16 bits, libjpeg-turbo: exit status 0, over 4000 of 4096 values are wrong
#   16 bits, liblj92:       exit status 0, over 4000 of 4096 values are wrong
# What this project does about it: it reads such frames of DICOM files through libjpeg-turbo, and names djpeg and not ffmpeg
# where a picture of 16 bits is to be converted (src/data/decode/jpeg_kinds.rs).
#
# Fails if the behaviour changes: if 16 bits come out right, fewer bits wrong, or FFmpeg ends with an error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check imageio-ffmpeg==0.8.1 imagecodecs==2026.3.6 numpy==2.4.6

cat > "$folder/lossless.py" <<'PYTHON'
import subprocess, sys
import imagecodecs, imageio_ffmpeg, numpy

SIDE = 64
picture = (numpy.add.outer(numpy.arange(SIDE), numpy.arange(SIDE)) * 8).astype(numpy.uint16)
jpeg, raw = sys.argv[1] + "/in.jpg", sys.argv[1] + "/out.raw"


def by_ffmpeg(file, bits):
    with open(jpeg, "wb") as out:
        out.write(file)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "quiet", "-y", "-i", jpeg, "-f", "rawvideo", "-pix_fmt", "gray16le", raw]
    status = subprocess.run(command).returncode
    values = numpy.fromfile(raw, "<u2").reshape(SIDE, SIDE)
    return status, int((values != picture << (16 - bits)).sum())


for bits in (12, 15, 16):
    by_turbo = imagecodecs.jpeg8_encode(picture, lossless=True, predictor=1, bitspersample=bits)
    by_lj92 = imagecodecs.ljpeg_encode(picture, bitspersample=bits)
    for encoder, file in (("libjpeg-turbo:", by_turbo), ("liblj92:", by_lj92)):
        assert (imagecodecs.jpeg8_decode(file) == picture).all()
        assert (imagecodecs.jpegsof3_decode(file) == picture).all()
        status, wrong = by_ffmpeg(file, bits)
        shown = "over 4000" if wrong > 4000 else wrong
        print(f"{bits} bits, {encoder:14} exit status {status}, {shown} of {SIDE * SIDE} values are wrong")
        assert status == 0
        assert wrong > 4000 if bits == 16 else wrong == 0
PYTHON
"$folder/venv/bin/python" "$folder/lossless.py" "$folder"
