#!/usr/bin/env bash
# An explicit DICOM file may give a standard element the value representation UN, as programs do that did not know it
# when they wrote the file. Its bytes are then the text that would have been there otherwise, "1 " for a slope of 1. The
# crate dicom-object takes every byte for a number of its own: to_float64 is 49, the character code of "1", and no
# error; an intercept of -1024 is 45, the code of "-". pydicom and SimpleITK read 1 and -1024 from the same file.
#
# Seen with dicom-object 0.10.1 from crates.io (Rust 1.95), SimpleITK 2.5.7, pydicom 3.0.2 and numpy 2.4.6 from PyPI
# (Python 3.11), Linux, November 2026:
#   DS  dicom-object: slope Ok(1.0), intercept Ok(-1024.0)
#   DS  pydicom: slope 1, intercept -1024; SimpleITK: stored 1064 is 40
#   UN  dicom-object: slope Ok(49.0), intercept Ok(45.0)
#   UN  pydicom: slope 1, intercept -1024; SimpleITK: stored 1064 is 40
# What this project does about it: its own reader takes UN for the text it is (src/data/dicom/values.rs).
#
# Needs cargo; the build takes about a quarter of a minute.
# Fails if the behaviour changes: if dicom-object reads other numbers or gives an error, or if one of the others does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 pydicom==3.0.2 numpy==2.4.6

mkdir "$folder/src"
cat > "$folder/Cargo.toml" <<'TOML'
[package]
name = "unknown"
version = "0.1.0"
edition = "2021"

[dependencies]
dicom-core = "=0.10.1"
dicom-object = { version = "=0.10.1", default-features = false }
dicom-parser = "=0.10.1"
TOML
cat > "$folder/src/main.rs" <<'RUST'
fn main() {
    let path = std::env::args().nth(1).expect("a path");
    let file = dicom_object::open_file(path).expect("opens");
    let number = |name| file.element_by_name(name).expect("is there").to_float64();
    println!("dicom-object: slope {:?}, intercept {:?}", number("RescaleSlope"), number("RescaleIntercept"));
}
RUST

cat > "$folder/slice.py" <<'PYTHON'
import struct, sys
import numpy, pydicom, SimpleITK
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

representation, path = sys.argv[1:]
slice = pydicom.Dataset()
slice.file_meta = pydicom.dataset.FileMetaDataset()
slice.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
slice.SOPClassUID, slice.SOPInstanceUID = CTImageStorage, generate_uid()
slice.StudyInstanceUID, slice.SeriesInstanceUID, slice.FrameOfReferenceUID = (generate_uid() for _ in range(3))
slice.ImageType, slice.Modality, slice.InstanceNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], "CT", 1
slice.SliceThickness, slice.PixelSpacing = 2.5, [1, 1]
slice.ImagePositionPatient, slice.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
slice.SamplesPerPixel, slice.PhotometricInterpretation, slice.Rows, slice.Columns = 1, "MONOCHROME2", 2, 2
slice.BitsAllocated, slice.BitsStored, slice.HighBit, slice.PixelRepresentation = 16, 12, 11, 0
slice.RescaleIntercept, slice.RescaleSlope = "-1024", "1"
slice.PixelData = numpy.full((2, 2), 1064, "<u2").tobytes()
slice.save_as(path, enforce_file_format=True)
if representation == "UN":
    # The length of UN has four bytes, after two that are not used.
    with open(path, "rb") as file:
        bytes = file.read()
    for tag, text in (0x00281052, b"-1024 "), (0x00281053, b"1 "):
        place = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        short = place + b"DS" + struct.pack("<H", len(text)) + text
        assert bytes.count(short) == 1
        bytes = bytes.replace(short, place + b"UN\0\0" + struct.pack("<I", len(text)) + text)
    with open(path, "wb") as file:
        file.write(bytes)

found = pydicom.dcmread(path)
value = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path)).ravel()[0]
print(f"pydicom: slope {found.RescaleSlope}, intercept {found.RescaleIntercept}; SimpleITK: stored 1064 is {value}")
PYTHON

show() {
    "$folder/venv/bin/python" "$folder/slice.py" "$1" "$folder/$1.dcm" > "$folder/others"
    (cd "$folder" && CARGO_TARGET_DIR="$folder/target" cargo run --quiet -- "$folder/$1.dcm") || exit 1
    cat "$folder/others"
}
others="pydicom: slope 1, intercept -1024; SimpleITK: stored 1064 is 40"
text=$(show DS)
unknown=$(show UN)
sed 's/^/DS  /' <<< "$text"
sed 's/^/UN  /' <<< "$unknown"
[ "$text" = "dicom-object: slope Ok(1.0), intercept Ok(-1024.0)"$'\n'"$others" ]
[ "$unknown" = "dicom-object: slope Ok(49.0), intercept Ok(45.0)"$'\n'"$others" ]
