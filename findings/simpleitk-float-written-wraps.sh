#!/usr/bin/env bash
# A CT slice of 12 bits is read, changed in floating point (resampled with splines, sharpened, padded) and written as
# DICOM with the tags of the original, to keep patient and position. SimpleITK takes slope and intercept off again,
# but does not hold the result to the range of the tags, -1024 to 3071 HU: it is cut to its lowest 12 bits. Padding of
# -2000 HU comes back denser than bone, air that undershoots by 6 HU as metal, metal as air, without a warning. Of
# int16 values with the same tags it takes no notice of the 12 bits and writes 16, and all come back; so do floats if
# the tags say 16 bits, signed.
#
# Seen with SimpleITK 2.5.7, pydicom 3.0.2 and numpy 2.4.6 from PyPI (Python 3.11, Linux), November 2026:
#   HU written:                     -2000 -1030 -1000 0 40 3071 3200
#   int16, the original's tags:     -2000 -1030 -1000 0 40 3071 3200 (16 bits, signed)
#   float32, the original's tags:   2096 3066 -1000 0 40 3071 -896 (12 bits, unsigned)
#   float32, tags of 16 bits:       -2000 -1030 -1000 0 40 3071 3200 (16 bits, signed)
#   lines on standard error: 0
# What this project does about it: it writes no DICOM. Such a file it reads as its tags say, as all readers do; one value
# that is wrong cannot be told from metal.
#
# Fails if the behaviour changes: if floats are held to the range, stored in 16 bits, refused or warned of.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 pydicom==3.0.2 numpy==2.4.6

cat > "$folder/write.py" <<'PYTHON'
import sys
import numpy, pydicom, SimpleITK
from pydicom.pixels import apply_rescale
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

original, path = sys.argv[1] + "/original.dcm", sys.argv[1] + "/written.dcm"
units = [-2000, -1030, -1000, 0, 40, 3071, 3200]
slice = pydicom.Dataset()
slice.file_meta = pydicom.dataset.FileMetaDataset()
slice.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
slice.SOPClassUID, slice.SOPInstanceUID = CTImageStorage, generate_uid()
slice.StudyInstanceUID, slice.SeriesInstanceUID, slice.FrameOfReferenceUID = (generate_uid() for _ in range(3))
slice.ImageType, slice.Modality, slice.InstanceNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], "CT", 1
slice.SliceThickness, slice.PixelSpacing = 2.5, [1, 1]
slice.ImagePositionPatient, slice.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
slice.SamplesPerPixel, slice.PhotometricInterpretation, slice.Rows, slice.Columns = 1, "MONOCHROME2", 2, len(units)
slice.BitsAllocated, slice.BitsStored, slice.HighBit, slice.PixelRepresentation = 16, 12, 11, 0
slice.RescaleIntercept, slice.RescaleSlope, slice.RescaleType = -1024, 1, "HU"
slice.PixelData = numpy.full((2, len(units)), 1064, "<u2").tobytes()
slice.save_as(original, enforce_file_format=True)
read = SimpleITK.ReadImage(original)
assert (SimpleITK.GetArrayFromImage(read) == 40).all()


def written(what, type, tags={}):
    image = SimpleITK.GetImageFromArray(numpy.array([[units] * 2], type))
    image.CopyInformation(read)
    for key in read.GetMetaDataKeys():
        image.SetMetaData(key, read.GetMetaData(key))
    for key, value in tags.items():
        image.SetMetaData(key, value)
    SimpleITK.WriteImage(image, path)
    file = pydicom.dcmread(path)
    found = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))[0]
    assert (found == apply_rescale(file.pixel_array, file)).all() and (found[0] == found[1]).all()
    bits, signed = file.BitsStored, bool(file.PixelRepresentation)
    numbers = [int(value) for value in found[0]]
    print(f"{what + ':':31}", *numbers, f"({bits} bits, {'signed' if signed else 'unsigned'})")
    return numbers, bits, signed


print("HU written:                    ", *units)
assert written("int16, the original's tags", numpy.int16) == (units, 16, True)
wrapped = [(unit + 1024) % 4096 - 1024 for unit in units]
assert wrapped != units
assert written("float32, the original's tags", numpy.float32) == (wrapped, 12, False)
# Bits Stored, High Bit and Pixel Representation.
tags = {"0028|0101": "16", "0028|0102": "15", "0028|0103": "1"}
assert written("float32, tags of 16 bits", numpy.float32, tags) == (units, 16, True)
PYTHON
"$folder/venv/bin/python" -W always "$folder/write.py" "$folder" 2> "$folder/said" ||
    { cat "$folder/said" >&2; exit 1; }
lines=$(wc -l < "$folder/said")
echo "lines on standard error: $lines"
[ "$lines" = 0 ]
