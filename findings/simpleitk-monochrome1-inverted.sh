#!/usr/bin/env bash
# MONOCHROME1 tells a viewer to show small values white; the values of a CT slice mean the same Hounsfield units as in
# MONOCHROME2. SimpleITK turns the stored values over before it applies slope and intercept: air becomes dense, in units
# that depend on how many bits are stored and on whether they are signed. pydicom and GDCM, through which SimpleITK
# reads, leave the values alone. Nothing in the image that was read tells of it.
#
# Seen with SimpleITK 2.5.7, pydicom 3.0.2, python-gdcm 3.2.6, numpy 2.4.6 from PyPI (Python 3.11, Linux), November 2026:
#   HU in the slice:                 -1000 0 40 1000
#   MONOCHROME2, 12 bits:            pydicom -1000 0 40 1000, GDCM -1000 0 40 1000, SimpleITK -1000 0 40 1000
#   MONOCHROME1, 12 bits:            pydicom -1000 0 40 1000, GDCM -1000 0 40 1000, SimpleITK 3047 2047 2007 1047
#   MONOCHROME1, 16 bits, signed:    pydicom -1000 0 40 1000, GDCM -1000 0 40 1000, SimpleITK -1049 -2049 -2089 -3049
# What this project does about it: no value is turned over (src/data/dicom/pixel_layout.rs).
#
# Fails if the behaviour changes: if SimpleITK leaves the values alone or turns them otherwise, or another turns them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    SimpleITK==2.5.7 pydicom==3.0.2 python-gdcm==3.2.6 numpy==2.4.6

cat > "$folder/monochrome.py" <<'PYTHON'
import sys
import gdcm, numpy, pydicom, SimpleITK
from pydicom.pixels import apply_rescale
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

path = sys.argv[1] + "/slice.dcm"
units = [-1000, 0, 40, 1000]
print("HU in the slice:                ", *units)


def read(photometric, bits, signed):
    slice = pydicom.Dataset()
    slice.file_meta = pydicom.dataset.FileMetaDataset()
    slice.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice.SOPClassUID, slice.SOPInstanceUID = CTImageStorage, generate_uid()
    slice.StudyInstanceUID, slice.SeriesInstanceUID, slice.FrameOfReferenceUID = (generate_uid() for _ in range(3))
    slice.ImageType, slice.Modality, slice.InstanceNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], "CT", 1
    slice.SliceThickness, slice.PixelSpacing = 2.5, [1, 1]
    slice.ImagePositionPatient, slice.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    slice.SamplesPerPixel, slice.PhotometricInterpretation, slice.Rows, slice.Columns = 1, photometric, 2, 2
    slice.BitsAllocated, slice.BitsStored, slice.HighBit, slice.PixelRepresentation = 16, bits, bits - 1, int(signed)
    slice.RescaleIntercept, slice.RescaleSlope, slice.RescaleType = -1024, 1, "HU"
    slice.PixelData = (numpy.array(units) + 1024).astype("<i2" if signed else "<u2").tobytes()
    slice.save_as(path, enforce_file_format=True)

    found = pydicom.dcmread(path)
    by_pydicom = apply_rescale(found.pixel_array, found)
    reader = gdcm.ImageReader()
    reader.SetFileName(path)
    assert reader.Read()
    image = reader.GetImage()
    stored = numpy.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), "<i2" if signed else "<u2")
    by_gdcm = stored * image.GetSlope() + image.GetIntercept()
    by_simpleitk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))
    all = [[int(value) for value in values.ravel()] for values in (by_pydicom, by_gdcm, by_simpleitk)]
    what = f"{photometric}, {bits} bits{', signed' if signed else ''}:"
    numbers = [" ".join(map(str, values)) for values in all]
    print(f"{what:32} pydicom {numbers[0]}, GDCM {numbers[1]}, SimpleITK {numbers[2]}")
    return all


assert read("MONOCHROME2", 12, False) == [units, units, units]
assert read("MONOCHROME1", 12, False) == [units, units, [4095 - (unit + 1024) - 1024 for unit in units]]
assert read("MONOCHROME1", 16, True) == [units, units, [-1 - (unit + 1024) - 1024 for unit in units]]
PYTHON
"$folder/venv/bin/python" "$folder/monochrome.py" "$folder"
