#!/usr/bin/env bash
# A scan reconstructed twice, with a soft and a sharp kernel, both under one Series Instance UID, is one volume to
# SimpleITK: GetGDCMSeriesFileNames lists the slices of both, also with useSeriesDetails, which parts series by more
# than their UID. As every height occurs twice it orders by Instance Number, so that the body is stacked twice, or slice
# by slice in turn where the scanner numbered it so. The only sign is a warning of uneven or missing slices at each
# reading, though none is missing.
#
# Seen with SimpleITK 2.5.7, pydicom 3.0.2 and numpy 2.4.6 from PyPI (Python 3.11, Linux), November 2026:
#   two kernels of 5 slices each, 2.5 mm apart: 1 series, 10 files listed, 10 files with details
#   numbered one kernel after the other: 10 slices 1.111 mm apart, soft soft soft soft soft sharp sharp sharp sharp sharp
#   numbered height by height:           10 slices 1.111 mm apart, soft sharp soft sharp soft sharp soft sharp soft sharp
#   warnings: 2
# What this project does about it: two scans, parted by kernel, ordered by position (src/data/series.rs).
#
# Fails if the behaviour changes: if the kernels are parted, the slices ordered otherwise or the reading refused.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 pydicom==3.0.2 numpy==2.4.6

cat > "$folder/kernels.py" <<'PYTHON'
import os, sys
import numpy, pydicom, SimpleITK
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

study, series, frame = generate_uid(), generate_uid(), generate_uid()


def write(folder, kernel, value, height, number):
    slice = pydicom.Dataset()
    slice.file_meta = pydicom.dataset.FileMetaDataset()
    slice.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice.SOPClassUID, slice.SOPInstanceUID = CTImageStorage, generate_uid()
    slice.StudyInstanceUID, slice.SeriesInstanceUID, slice.FrameOfReferenceUID = study, series, frame
    slice.ImageType, slice.Modality, slice.InstanceNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], "CT", number
    slice.ConvolutionKernel, slice.SliceThickness, slice.PixelSpacing = kernel, 2.5, [1, 1]
    slice.ImagePositionPatient, slice.ImageOrientationPatient = [0, 0, height], [1, 0, 0, 0, 1, 0]
    slice.SamplesPerPixel, slice.PhotometricInterpretation, slice.Rows, slice.Columns = 1, "MONOCHROME2", 4, 4
    slice.BitsAllocated, slice.BitsStored, slice.HighBit, slice.PixelRepresentation = 16, 16, 15, 1
    slice.RescaleIntercept, slice.RescaleSlope = 0, 1
    slice.PixelData = numpy.full((4, 4), value, "<i2").tobytes()
    slice.save_as(os.path.join(folder, f"{generate_uid()}.dcm"), enforce_file_format=True)


def read(name, number):
    folder = os.path.join(sys.argv[1], name)
    os.mkdir(folder)
    for index in range(5):
        write(folder, "B31f", 31, 2.5 * index, number(0, index))
        write(folder, "B70f", 70, 2.5 * index, number(1, index))
    reader = SimpleITK.ImageSeriesReader
    files = reader.GetGDCMSeriesFileNames(folder)
    counts = len(reader.GetGDCMSeriesIDs(folder)), len(files), len(reader.GetGDCMSeriesFileNames(folder, "", True))
    volume = SimpleITK.ReadImage(files)
    kernels = [{31: "soft", 70: "sharp"}[value] for value in SimpleITK.GetArrayFromImage(volume)[:, 0, 0]]
    return counts, f"{len(kernels)} slices {volume.GetSpacing()[2]:.3f} mm apart, {' '.join(kernels)}"


counts, after = read("after", lambda kernel, index: 1 + 5 * kernel + index)
counts_in_turn, in_turn = read("in-turn", lambda kernel, index: 1 + kernel + 2 * index)
assert counts == counts_in_turn
print("two kernels of 5 slices each, 2.5 mm apart: %d series, %d files listed, %d files with details" % counts)
print(f"numbered one kernel after the other: {after}")
print(f"numbered height by height:           {in_turn}")
assert counts == (1, 10, 10)
assert after == "10 slices 1.111 mm apart, " + " ".join(["soft"] * 5 + ["sharp"] * 5)
assert in_turn == "10 slices 1.111 mm apart, " + " ".join(["soft", "sharp"] * 5)
PYTHON
"$folder/venv/bin/python" "$folder/kernels.py" "$folder" 2> "$folder/warnings" ||
    { cat "$folder/warnings" >&2; exit 1; }
warnings=$(grep -c "missing slices" "$folder/warnings" || true)
echo "warnings: $warnings"
[ "$warnings" = 2 ]
