#!/usr/bin/env bash
# An Enhanced CT file keeps slope and intercept not where a CT slice has them but in its functional groups, once for all
# frames or frame by frame. pydicom's apply_rescale and apply_modality_lut do not look there and return the stored
# values without a warning, 1024 away from Hounsfield units. SimpleITK looks there, but applies what the first frame
# says to all: right where the frames share it, wrong without a warning where their slopes differ.
#
# Seen with SimpleITK 2.5.7, pydicom 3.0.2 and numpy 2.4.6 from PyPI (Python 3.11, Linux), November 2026:
#   stored values:              0 1024 1064 | 0 1024 1064
#   one slope for both frames:  true -1024 0 40 | -1024 0 40
#     pydicom:                  0 1024 1064 | 0 1024 1064
#     SimpleITK:                -1024 0 40 | -1024 0 40
#   slopes 1 and 2 by frame:    true -1024 0 40 | -1024 1024 1104
#     pydicom:                  0 1024 1064 | 0 1024 1064
#     SimpleITK:                -1024 0 40 | -1024 0 40
#   lines on standard error: 0
# What this project does about it: each frame is rescaled by its own group (src/data/dicom/pixel_layout.rs).
#
# Fails if the behaviour changes: if pydicom applies the groups, SimpleITK tells the frames apart, or either warns.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 pydicom==3.0.2 numpy==2.4.6

cat > "$folder/enhanced.py" <<'PYTHON'
import sys
import numpy, pydicom, SimpleITK
from pydicom import Dataset
from pydicom.pixels import apply_modality_lut, apply_rescale
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

path = sys.argv[1] + "/enhanced.dcm"
stored = numpy.array([[0, 1024, 1064], [0, 1024, 1064]])


def group(**elements):
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return [dataset]


def rescale(slope):
    return group(RescaleIntercept=-1024, RescaleSlope=slope, RescaleType="HU")


def read(what, slopes):
    shared = group(
        PixelMeasuresSequence=group(PixelSpacing=[1, 1], SliceThickness=2.5),
        PlaneOrientationSequence=group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        CTImageFrameTypeSequence=group(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]),
    )
    frames = []
    for index in range(2):
        frames += group(
            FrameContentSequence=group(
                StackID="1", InStackPositionNumber=index + 1, DimensionIndexValues=[1, index + 1]
            ),
            PlanePositionSequence=group(ImagePositionPatient=[0, 0, 2.5 * index]),
        )
    if slopes[0] == slopes[1]:
        shared[0].PixelValueTransformationSequence = rescale(slopes[0])
    else:
        for frame, slope in zip(frames, slopes):
            frame.PixelValueTransformationSequence = rescale(slope)

    file = Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID, file.SOPInstanceUID = EnhancedCTImageStorage, generate_uid()
    file.StudyInstanceUID, file.SeriesInstanceUID, file.FrameOfReferenceUID = (generate_uid() for _ in range(3))
    file.ImageType, file.Modality, file.InstanceNumber = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], "CT", 1
    file.VolumetricProperties, file.NumberOfFrames = "VOLUME", 2
    organization = generate_uid()
    file.DimensionOrganizationSequence = group(DimensionOrganizationUID=organization)
    # By Stack ID and by position within the stack, both in the Frame Content Sequence.
    file.DimensionIndexSequence = [
        dimension
        for pointer in (0x00209056, 0x00209057)
        for dimension in group(
            DimensionOrganizationUID=organization, DimensionIndexPointer=pointer, FunctionalGroupPointer=0x00209111
        )
    ]
    file.SharedFunctionalGroupsSequence, file.PerFrameFunctionalGroupsSequence = shared, frames
    file.SamplesPerPixel, file.PhotometricInterpretation, file.Rows, file.Columns = 1, "MONOCHROME2", 1, 3
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 12, 11, 0
    file.PixelData = stored.astype("<u2").tobytes()
    file.save_as(path, enforce_file_format=True)

    found = pydicom.dcmread(path)
    by_pydicom = apply_rescale(found.pixel_array, found).reshape(2, 3)
    assert (apply_modality_lut(found.pixel_array, found).reshape(2, 3) == by_pydicom).all()
    by_simpleitk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path)).reshape(2, 3)
    true = stored * numpy.array(slopes)[:, None] - 1024
    print(f"{what + ':':27} true {show(true)}")
    print(f"  pydicom:                  {show(by_pydicom)}")
    print(f"  SimpleITK:                {show(by_simpleitk)}")
    return true, by_pydicom, by_simpleitk


def show(values):
    return " | ".join(" ".join(str(int(value)) for value in frame) for frame in values)


print(f"stored values:              {show(stored)}")
true, by_pydicom, by_simpleitk = read("one slope for both frames", [1, 1])
assert (by_pydicom == stored).all() and (by_simpleitk == true).all()
true, by_pydicom, by_simpleitk = read("slopes 1 and 2 by frame", [1, 2])
assert (by_pydicom == stored).all() and (by_simpleitk[0] == true[0]).all() and (by_simpleitk[1] == true[0]).all()
PYTHON
"$folder/venv/bin/python" -W always "$folder/enhanced.py" "$folder" 2> "$folder/said" ||
    { cat "$folder/said" >&2; exit 1; }
lines=$(wc -l < "$folder/said")
echo "lines on standard error: $lines"
[ "$lines" = 0 ]
