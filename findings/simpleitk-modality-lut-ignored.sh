#!/usr/bin/env bash
# DICOM knows two ways from stored values to real ones: slope and intercept, or a table, the Modality LUT Sequence, of
# which radiographs may have either. SimpleITK applies the first and drops the second without a word: of a file with a
# table it gives the stored values, which look no less plausible. pydicom applies both.
#
# Seen with SimpleITK 2.5.7, pydicom 3.0.2 and numpy 2.4.6 from PyPI (Python 3.11, Linux), November 2026:
#   stored values:        0 1 2 3
#   slope and intercept:  pydicom 100 300 500 700, SimpleITK 100 300 500 700
#   table:                pydicom 100 200 400 800, SimpleITK 0 1 2 3
#   lines on standard error: 0
# What this project does about it: it applies the table (src/data/dicom/pixel_layout.rs).
#
# Fails if the behaviour changes: if SimpleITK applies the table, refuses the file or warns.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 pydicom==3.0.2 numpy==2.4.6

cat > "$folder/table.py" <<'PYTHON'
import sys
import numpy, pydicom, SimpleITK
from pydicom.pixels import apply_modality_lut
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

path = sys.argv[1] + "/radiograph.dcm"
stored = [0, 1, 2, 3]


def slope_and_intercept(picture):
    picture.RescaleIntercept, picture.RescaleSlope, picture.RescaleType = 100, 200, "US"


def table(picture):
    item = pydicom.Dataset()
    # Four entries, the first for the stored value 0, of 16 bits each.
    item.add_new("LUTDescriptor", "US", [4, 0, 16])
    item.ModalityLUTType = "US"
    item.add_new("LUTData", "US", [100, 200, 400, 800])
    picture.ModalityLUTSequence = [item]


def read(transform):
    picture = pydicom.Dataset()
    picture.file_meta = pydicom.dataset.FileMetaDataset()
    picture.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    picture.SOPClassUID, picture.SOPInstanceUID = ComputedRadiographyImageStorage, generate_uid()
    picture.StudyInstanceUID, picture.SeriesInstanceUID = generate_uid(), generate_uid()
    picture.Modality, picture.InstanceNumber, picture.PixelSpacing = "CR", 1, [1, 1]
    picture.BodyPartExamined, picture.ViewPosition = "CHEST", "PA"
    picture.SamplesPerPixel, picture.PhotometricInterpretation, picture.Rows, picture.Columns = 1, "MONOCHROME2", 2, 2
    picture.BitsAllocated, picture.BitsStored, picture.HighBit, picture.PixelRepresentation = 16, 12, 11, 0
    transform(picture)
    picture.PixelData = numpy.array(stored, "<u2").tobytes()
    picture.save_as(path, enforce_file_format=True)
    found = pydicom.dcmread(path)
    by_pydicom = apply_modality_lut(found.pixel_array, found)
    by_simpleitk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))
    both = [[int(value) for value in values.ravel()] for values in (by_pydicom, by_simpleitk)]
    numbers = [" ".join(map(str, values)) for values in both]
    print(f"{transform.__name__.replace('_', ' ') + ':':21} pydicom {numbers[0]}, SimpleITK {numbers[1]}")
    return both


print("stored values:       ", *stored)
assert read(slope_and_intercept) == [[100, 300, 500, 700], [100, 300, 500, 700]]
assert read(table) == [[100, 200, 400, 800], stored]
PYTHON
"$folder/venv/bin/python" "$folder/table.py" "$folder" 2> "$folder/said" || { cat "$folder/said" >&2; exit 1; }
lines=$(wc -l < "$folder/said")
echo "lines on standard error: $lines"
[ "$lines" = 0 ]
