#!/usr/bin/env bash
# A CT volume goes through numpy, which keeps no orientation: SimpleITK hands it out as (slices, rows, columns), and nibabel
# saves it with np.eye(4), as most examples do. The file then does not say "orientation unknown" but claims one: sform code 2,
# "aligned", with the array's first axis, the slices, running from left to right. nibabel and SimpleITK believe it when they
# read the file, without a word: the axial slices of such a file are strips as wide as the scan has slices. Saved with None in
# the place of the matrix the codes are 0, and a reader can tell that nothing is known.
#
# Seen with SimpleITK 2.5.7, nibabel 5.4.2 and numpy 2.4.6 from PyPI (Python 3.11, Linux), November 2026, 40 slices of 64 rows
# and columns, patient axes LPS:
#   the scan in SimpleITK:         size (64, 64, 40), array (40, 64, 64)
#   saved with eye:                sform code 2, qform code 0, axes RAS, shape (40, 64, 64)
#   read again by SimpleITK:       size (40, 64, 64): 64 slices of 40 columns
#   saved with None:               sform code 0, qform code 0, axes LAS, shape (40, 64, 64)
# What this project does about it: a unit matrix without an origin states nothing; slices are taken along the axis whose length
# differs from the two others, the audit says so, and judges orientation by what is seen (src/data/volume/nifti.rs).
#
# Fails if the behaviour changes: if another code is written, or the slices come back as slices.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 nibabel==5.4.2 numpy==2.4.6

cat > "$folder/matrix.py" <<'PYTHON'
import sys
import nibabel, numpy, SimpleITK

scan = SimpleITK.Image([64, 64, 40], SimpleITK.sitkInt16)
array = SimpleITK.GetArrayFromImage(scan)
print(f"{'the scan in SimpleITK:':30} size {scan.GetSize()}, array {array.shape}")
assert array.shape == (40, 64, 64)


def saved(matrix, name):
    path = f"{sys.argv[1]}/{name}.nii.gz"
    nibabel.save(nibabel.Nifti1Image(array, matrix), path)
    header = nibabel.load(path).header
    codes = int(header["sform_code"]), int(header["qform_code"])
    axes = "".join(nibabel.aff2axcodes(nibabel.load(path).affine))
    print(f"{f'saved with {name}:':30} sform code {codes[0]}, qform code {codes[1]}, axes {axes}, shape {header.get_data_shape()}")
    return path, codes, axes


path, codes, axes = saved(numpy.eye(4), "eye")
assert (codes, axes) == ((2, 0), "RAS")
again = SimpleITK.ReadImage(path)
print(f"{'read again by SimpleITK:':30} size {again.GetSize()}")
assert again.GetSize() == (40, 64, 64)
assert saved(None, "None")[1] == (0, 0)
PYTHON
"$folder/venv/bin/python" "$folder/matrix.py" "$folder"
