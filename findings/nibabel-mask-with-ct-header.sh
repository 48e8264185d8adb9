#!/usr/bin/env bash
# A lung mask is computed from a CT volume and saved with the volume's affine and header, so that it lies in the same
# place. If the mask is of floats, nibabel keeps the header's int16 and stretches 0 to 1 over all of its range, with a
# slope and an intercept that are not exact: what is read again is 0.9999999997671694, which numpy prints as "1.". No
# voxel equals 1 any more, and as uint8 all are 0: a lung mask without lungs. Labels 1 to 5, of five lobes, are 0 to 4
# as uint8. Nothing is said at any step. A mask of bytes with the same header stays whole, and SimpleITK, which reads
# single precision, finds 1 in the same file.
#
# Seen with SimpleITK 2.5.7, nibabel 5.4.2 and numpy 2.4.6 from PyPI (Python 3.11, Linux), November 2026:
#   mask of float64:         118 voxels of 1; read again: unique [0. 1.], equal to 1: 0, as uint8: [0]
#     SimpleITK:             118 voxels equal to 1
#   mask of uint8:           118 voxels of 1; read again: unique [0. 1.], equal to 1: 118, as uint8: [0 1]
#   five lobes of float64:   0 1 2 3 4 5; read again: [0. 1. 2. 3. 4. 5.], as uint8: [0 0 1 2 3 4]
#   lines on standard error: 0
# What this project does about it: it reads no masks; a volume from 0 to 1 is called one, or a scaled scan, whatever its
# slope (src/data/audit/hounsfield.rs).
#
# Fails if the behaviour changes: if the mask of floats comes back with exact values, is refused or warned of.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 nibabel==5.4.2 numpy==2.4.6

cat > "$folder/mask.py" <<'PYTHON'
import sys
import nibabel, numpy, SimpleITK

# 118 of 512 voxels are of lung, -800 HU, the others of soft tissue.
units = numpy.full(512, 40, numpy.int16)
units[100:218] = -800
nibabel.save(nibabel.Nifti1Image(units.reshape(8, 8, 8), numpy.eye(4)), sys.argv[1] + "/ct.nii")
ct = nibabel.load(sys.argv[1] + "/ct.nii")
lungs = ct.get_fdata() < -500
path = sys.argv[1] + "/mask.nii"


def again(values):
    nibabel.save(nibabel.Nifti1Image(values, ct.affine, ct.header), path)
    return nibabel.load(path).get_fdata()


def read(mask):
    found = again(mask)
    ones, whole = int((found == 1).sum()), numpy.unique(found.astype(numpy.uint8))
    print(f"{f'mask of {mask.dtype}:':24} {int((mask == 1).sum())} voxels of 1; read again: "
          f"unique {numpy.unique(found)}, equal to 1: {ones}, as uint8: {whole}")
    return found.max(), ones, whole.tolist()


highest, ones, whole = read(numpy.where(lungs, 1.0, 0.0))
assert highest == 0.9999999997671694 and (ones, whole) == (0, [0])
by_simpleitk = int((SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path)) == 1).sum())
print(f"{'  SimpleITK:':24} {by_simpleitk} voxels equal to 1")
assert by_simpleitk == 118
assert read(lungs.astype(numpy.uint8)) == (1, 118, [0, 1])

lobes = numpy.zeros((8, 8, 8))
lobes.flat[:6] = range(6)
found = again(lobes).ravel()[:6]
print(f"{'five lobes of float64:':24} 0 1 2 3 4 5; read again: {found}, as uint8: {found.astype(numpy.uint8)}")
assert found.astype(numpy.uint8).tolist() == [0, 0, 1, 2, 3, 4] and numpy.rint(found).tolist() == [0, 1, 2, 3, 4, 5]
PYTHON
"$folder/venv/bin/python" -W always "$folder/mask.py" "$folder" 2> "$folder/said" || { cat "$folder/said" >&2; exit 1; }
lines=$(wc -l < "$folder/said")
echo "lines on standard error: $lines"
[ "$lines" = 0 ]
