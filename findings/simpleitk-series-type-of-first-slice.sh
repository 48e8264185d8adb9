#!/usr/bin/env bash
# Each slice of a series has a slope, an intercept and a number of bits of its own, and they need not be equal in all.
# SimpleITK takes the type of the whole volume from the first slice and presses the values of the others into it:
# -1000 HU becomes 64536 behind a first slice whose intercept is 0, and 0.4 becomes 0 behind one whose slope is 1.
# Read one by one, every slice is right. dcm2niix makes floats of those two series and is right, but masks all slices
# with the 12 bits of the first: 4000 HU, metal, becomes -96 in a slice of 16 bits. Neither of the two says on
# standard error that anything was lost.
#
# Seen with SimpleITK 2.5.7, dcm2niix 1.0.20260724, pydicom 3.0.2, nibabel 5.4.2 and numpy 2.4.6 from PyPI (Python 3.11,
# Linux), November 2026, values of the four slices:
#   intercept 0, then -1024:       true 100 -1000 -1000 -1000
#     SimpleITK, slice by slice:   100 -1000 -1000 -1000
#     SimpleITK, as a volume:      100 64536 64536 64536
#     dcm2niix:                    100 -1000 -1000 -1000
#   slope 1, then 0.002:           true 0 0.4 0.4 0.4
#     SimpleITK, slice by slice:   0 0.4 0.4 0.4
#     SimpleITK, as a volume:      0 0 0 0
#     dcm2niix:                    0 0.4 0.4 0.4
#   12 bits, then 16:              true 40 4000 4000 4000
#     SimpleITK, slice by slice:   40 4000 4000 4000
#     SimpleITK, as a volume:      40 4000 4000 4000
#     dcm2niix:                    40 -96 -96 -96
#   lines on standard error: 0
# What this project does about it: every slice is read with its own bits, slope and intercept into 32-bit floats
# (src/data/dicom/convert.rs), so that such a series is whole.
#
# Fails if the behaviour changes: if one of them reads other values, refuses a series or, SimpleITK, warns.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 dcm2niix==1.0.20260724 \
    pydicom==3.0.2 nibabel==5.4.2 numpy==2.4.6

cat > "$folder/series.py" <<'PYTHON'
import os, subprocess, sys
import nibabel, numpy, pydicom, SimpleITK
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


def write(path, uids, number, bits, slope, intercept, value):
    slice = pydicom.Dataset()
    slice.file_meta = pydicom.dataset.FileMetaDataset()
    slice.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice.SOPClassUID, slice.SOPInstanceUID = CTImageStorage, generate_uid()
    slice.StudyInstanceUID, slice.SeriesInstanceUID, slice.FrameOfReferenceUID = uids
    slice.ImageType, slice.Modality, slice.InstanceNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], "CT", number
    slice.SliceThickness, slice.PixelSpacing = 2.5, [1, 1]
    slice.ImagePositionPatient, slice.ImageOrientationPatient = [0, 0, 2.5 * number], [1, 0, 0, 0, 1, 0]
    slice.SamplesPerPixel, slice.PhotometricInterpretation, slice.Rows, slice.Columns = 1, "MONOCHROME2", 8, 8
    slice.BitsAllocated, slice.BitsStored, slice.HighBit, slice.PixelRepresentation = 16, bits, bits - 1, 0
    slice.RescaleIntercept, slice.RescaleSlope = intercept, slope
    slice.PixelData = numpy.full((8, 8), value, "<u2").tobytes()
    slice.save_as(path, enforce_file_format=True)


def read(what, first, others, expected):
    folder = f"{sys.argv[1]}/{what.replace(' ', '-')}"
    os.makedirs(folder + "/in")
    uids = [generate_uid() for _ in range(3)]
    for number in range(4):
        write(f"{folder}/in/{number}.dcm", uids, number, *(others if number else first))
    files = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(folder + "/in")
    one_by_one = [SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(file))[0, 0, 0] for file in files]
    volume = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(files))[:, 0, 0]
    found = {"SimpleITK, slice by slice": one_by_one, "SimpleITK, as a volume": volume}
    command = [sys.argv[1] + "/venv/bin/dcm2niix", "-b", "n", "-z", "n", "-f", "out", "-o", folder, folder + "/in"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found["dcm2niix"] = nibabel.load(folder + "/out.nii").get_fdata()[0, 0]
    _, slope, intercept, value = others
    true = first[3] * first[1] + first[2], value * slope + intercept
    print(f"{what + ':':30} true {true[0]:g}" + f" {true[1]:g}" * 3)
    for (name, values), (start, rest) in zip(found.items(), expected):
        print(f"  {name + ':':28}", *(f"{value:.5g}" for value in values))
        assert numpy.allclose(values, [start, rest, rest, rest], rtol=0, atol=1e-4)


# Bits, slope, intercept and the stored value of the first slice and of the others.
right = 100, -1000
read("intercept 0, then -1024", (16, 1, 0, 100), (16, 1, -1024, 24), (right, (100, 64536), right))
right = 0, 0.4
read("slope 1, then 0.002", (16, 1, 0, 0), (16, 0.002, 0, 200), (right, (0, 0), right))
right = 40, 4000
read("12 bits, then 16", (12, 1, -1024, 1064), (16, 1, -1024, 5024), (right, right, (40, -96)))
PYTHON
"$folder/venv/bin/python" "$folder/series.py" "$folder" 2> "$folder/said" || { cat "$folder/said" >&2; exit 1; }
lines=$(wc -l < "$folder/said")
echo "lines on standard error: $lines"
[ "$lines" = 0 ]
