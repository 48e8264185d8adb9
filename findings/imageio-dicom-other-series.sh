#!/usr/bin/env bash
# Two scans lie in one folder, lungs of -800 HU and soft tissue of 40. Asked for a slice of one of them by its name,
# imageio.v3.imread returns all slices of the other: it looks through the slice's folder and
# takes the series whose UID is first in the order of text, whichever file it is given. Where there is one series
# alone, a slice is read as asked, but a second fault remains: values from 0 to 255, as of slices stored through a
# window, come back as int8, so that what is brighter than 127 is negative and darkest. imageio.v2.imread reads the
# file that it is given, with the second fault. plugin="pydicom" has neither, but must be asked for, also where
# pydicom is installed.
#
# Seen with imageio 2.38.1, pydicom 3.0.2, Pillow 12.0.0 and numpy 2.4.6 from PyPI (Python 3.11, Linux), November 2026:
#   lung-1.dcm:   v3 3 slices of 40; v2 1 slice of -800; v3 with pydicom 1 slice of -800
#   lung-2.dcm:   v3 3 slices of 40; v2 1 slice of -800; v3 with pydicom 1 slice of -800
#   lung-3.dcm:   v3 3 slices of 40; v2 1 slice of -800; v3 with pydicom 1 slice of -800
#   tissue-1.dcm: v3 3 slices of 40; v2 1 slice of 40; v3 with pydicom 1 slice of 40
#   tissue-2.dcm: v3 3 slices of 40; v2 1 slice of 40; v3 with pydicom 1 slice of 40
#   tissue-3.dcm: v3 3 slices of 40; v2 1 slice of 40; v3 with pydicom 1 slice of 40
#   8 bits, 0 127 128 255: v3 0 127 -128 -1; v2 0 127 -128 -1; v3 with pydicom 0 127 128 255
#   lines on standard error: 0
# What this project does about it: series are told apart by SeriesInstanceUID, and each slice keeps its own file
# (src/data/series.rs); 8 bits are read by Pixel Representation (src/data/dicom/pixel_layout.rs).
#
# Fails if the behaviour changes: if v3 reads the file that it is given, refuses or warns, or 8 bits come back unharmed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check imageio==2.38.1 pydicom==3.0.2 \
    Pillow==12.0.0 numpy==2.4.6

cat > "$folder/imread.py" <<'PYTHON'
import contextlib, os, sys
import imageio.v2, imageio.v3, numpy, pydicom
from pydicom.uid import PYDICOM_ROOT_UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

study, frame = generate_uid(), generate_uid()


def write(path, series, number, values):
    slice = pydicom.Dataset()
    slice.file_meta = pydicom.dataset.FileMetaDataset()
    slice.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice.SOPClassUID, slice.SOPInstanceUID = CTImageStorage, generate_uid()
    slice.StudyInstanceUID, slice.FrameOfReferenceUID = study, frame
    slice.SeriesInstanceUID = PYDICOM_ROOT_UID + series
    slice.ImageType, slice.Modality, slice.InstanceNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], "CT", number
    slice.SliceThickness, slice.PixelSpacing = 2.5, [1, 1]
    slice.ImagePositionPatient, slice.ImageOrientationPatient = [0, 0, 2.5 * number], [1, 0, 0, 0, 1, 0]
    slice.SamplesPerPixel, slice.PhotometricInterpretation, slice.Rows, slice.Columns = 1, "MONOCHROME2", 2, 2
    bits, slice.PixelRepresentation = 8 * values.itemsize, int(values.dtype.kind == "i")
    slice.BitsAllocated, slice.BitsStored, slice.HighBit = bits, bits, bits - 1
    slice.RescaleIntercept, slice.RescaleSlope = 0, 1
    slice.PixelData = values.tobytes()
    slice.save_as(path, enforce_file_format=True)


def read(path):
    # What imageio prints are its steps: "Found 2 correct series."
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        return imageio.v3.imread(path), imageio.v2.imread(path), imageio.v3.imread(path, plugin="pydicom")


def show(found):
    slices = found.reshape(-1, 4)
    assert (slices == slices[0, 0]).all()
    return f"{len(slices)} slice{'s' if len(slices) > 1 else ''} of {int(slices[0, 0])}"


os.mkdir(sys.argv[1] + "/two")
scans = {"lung": -800, "tissue": 40}
paths = [(f"{sys.argv[1]}/two/{name}-{number}.dcm", name, number) for name in scans for number in (1, 2, 3)]
for path, name, number in paths:
    write(path, "9" if name == "lung" else "10", number, numpy.full(4, scans[name], "<i2"))
for path, name, _ in paths:
    by_v3, by_v2, by_pydicom = (show(found) for found in read(path))
    print(f"{os.path.basename(path) + ':':13} v3 {by_v3}; v2 {by_v2}; v3 with pydicom {by_pydicom}")
    assert (by_v3, by_v2, by_pydicom) == ("3 slices of 40", *[f"1 slice of {scans[name]}"] * 2)

os.mkdir(sys.argv[1] + "/one")
grey = [0, 127, 128, 255]
write(sys.argv[1] + "/one/grey.dcm", "1", 1, numpy.array(grey, "u1"))
found = [[int(value) for value in values.ravel()] for values in read(sys.argv[1] + "/one/grey.dcm")]
numbers = [" ".join(map(str, values)) for values in found]
print(f"8 bits, {' '.join(map(str, grey))}: v3 {numbers[0]}; v2 {numbers[1]}; v3 with pydicom {numbers[2]}")
assert found == [[0, 127, -128, -1], [0, 127, -128, -1], grey]
PYTHON
"$folder/venv/bin/python" "$folder/imread.py" "$folder" 2> "$folder/said" || { cat "$folder/said" >&2; exit 1; }
lines=$(wc -l < "$folder/said")
echo "lines on standard error: $lines"
[ "$lines" = 0 ]
