#!/usr/bin/env bash
# A NIfTI file whose scl_slope is 0 has stored values that are not to be scaled: so says the format, and then scl_inter
# does not count. SimpleITK takes the 0 for 1 and adds the intercept all the same, nibabel does not: of one file the two
# read values that differ by the intercept, 1024 HU in CT, and neither says a word. The format is silent on NaN, which
# nibabel takes for "no scaling" too and SimpleITK for a slope of 1; only where the intercept is NaN as well do the two
# agree.
#
# Seen with SimpleITK 2.5.7, nibabel 5.4.2 and numpy 2.4.6 from PyPI (Python 3.11, Linux), November 2026:
#   stored values:                 0 1024 1064
#   slope 1, intercept -1024:      nibabel -1024 0 40, SimpleITK -1024 0 40
#   slope 0, intercept -1024:      nibabel 0 1024 1064, SimpleITK -1024 0 40
#   slope nan, intercept -1024:    nibabel 0 1024 1064, SimpleITK -1024 0 40
#   slope nan, intercept nan:      nibabel 0 1024 1064, SimpleITK 0 1024 1064
# What this project does about it: it reads as the format says and nibabel does (src/data/volume/nifti.rs).
#
# Fails if the behaviour changes: if the two agree, or read other values.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 nibabel==5.4.2 numpy==2.4.6

cat > "$folder/slope.py" <<'PYTHON'
import struct, sys
import nibabel, numpy, SimpleITK

path = sys.argv[1] + "/volume.nii"
stored = [0, 1024, 1064]
nibabel.save(nibabel.Nifti1Image(numpy.array(stored, numpy.int16).reshape(3, 1, 1), numpy.eye(4)), path)
with open(path, "rb") as file:
    written = file.read()
# In a NIfTI-1 header scl_slope begins at byte 112 and scl_inter at 116.
assert struct.unpack("<2f", written[112:120]) == (1, 0)
print("stored values:                ", *stored)


def read(slope, intercept):
    with open(path, "wb") as file:
        file.write(written[:112] + struct.pack("<2f", slope, intercept) + written[120:])
    by_nibabel = [int(value) for value in nibabel.load(path).get_fdata().ravel()]
    by_simpleitk = [int(value) for value in SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path)).ravel()]
    numbers = [" ".join(map(str, values)) for values in (by_nibabel, by_simpleitk)]
    print(f"{f'slope {slope}, intercept {intercept}:':30} nibabel {numbers[0]}, SimpleITK {numbers[1]}")
    return by_nibabel, by_simpleitk


nan, scaled = float("nan"), [-1024, 0, 40]
assert read(1, -1024) == (scaled, scaled)
assert read(0, -1024) == (stored, scaled)
assert read(nan, -1024) == (stored, scaled)
assert read(nan, nan) == (stored, stored)
PYTHON
"$folder/venv/bin/python" "$folder/slope.py" "$folder"
