#!/usr/bin/env bash
# A CT slice may store signed values of fewer bits than the 16 that each takes. The sign is the highest bit that is
# stored; the bits above it are no part of the value (PS3.5, 8.1.1) and may be 0, and JPEG-LS of 13 bits lacks them.
# dcm2niix carries the sign upwards where 12 bits are stored, but not where 13 or 15 are: everything below 0 HU,
# lung and air, becomes denser than any bone. It ends with exit status 0 and says nothing that it does not say of 12
# bits too. pydicom and SimpleITK read every one of these files rightly, and dcm2niix does if the bits above happen to
# repeat the sign.
#
# Seen with dcm2niix 1.0.20260724, pydicom 3.0.2, pyjpegls 1.5.1, SimpleITK 2.5.7, nibabel 5.4.2 and numpy 2.4.6 from
# PyPI (Python 3.11, Linux), November 2026:
#   HU in the slice:                    -1000 -1 0 40
#   12 bits, bits above repeat it:      pydicom and SimpleITK right; dcm2niix -1000 -1 0 40
#   12 bits, bits above are 0:          pydicom and SimpleITK right; dcm2niix -1000 -1 0 40
#   12 bits, JPEG-LS:                   pydicom and SimpleITK right; dcm2niix -1000 -1 0 40
#   13 bits, bits above repeat it:      pydicom and SimpleITK right; dcm2niix -1000 -1 0 40
#   13 bits, bits above are 0:          pydicom and SimpleITK right; dcm2niix 7192 8191 0 40
#   13 bits, JPEG-LS:                   pydicom and SimpleITK right; dcm2niix 7192 8191 0 40
#   15 bits, bits above repeat it:      pydicom and SimpleITK right; dcm2niix -1000 -1 0 40
#   15 bits, bits above are 0:          pydicom and SimpleITK right; dcm2niix 31768 32767 0 40
#   15 bits, JPEG-LS:                   pydicom and SimpleITK right; dcm2niix 31768 32767 0 40
#   16 bits, JPEG-LS:                   pydicom and SimpleITK right; dcm2niix -1000 -1 0 40
# What this project does about it: signs are extended from High Bit (src/data/dicom/convert.rs, with a test of 13 bits);
# the audit calls a volume whose values end just below a power of two, and hold no air, one whose sign was lost
# (src/data/audit/hounsfield.rs).
#
# Fails if the behaviour changes: if dcm2niix reads 13 or 15 bits rightly, refuses them or says more than of 12 bits.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dcm2niix==1.0.20260724 pydicom==3.0.2 \
    pyjpegls==1.5.1 SimpleITK==2.5.7 nibabel==5.4.2 numpy==2.4.6

cat > "$folder/signed.py" <<'PYTHON'
import os, re, subprocess, sys
import nibabel, numpy, pydicom, SimpleITK
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGLSLossless, generate_uid

units = [-1000, -1, 0, 40]
print(f"{'HU in the slice:':35}", *units)


def said(output):
    """Without the times, the version and the path."""
    return [line for line in re.sub(r"[\d.]+ seconds|\S*/\S*", "", output).splitlines() if "version" not in line]


def read(bits, how):
    folder = f"{sys.argv[1]}/{bits}-{how.replace(' ', '-')}"
    os.mkdir(folder)
    path = f"{folder}/slice.dcm"
    slice = pydicom.Dataset()
    slice.file_meta = pydicom.dataset.FileMetaDataset()
    slice.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice.SOPClassUID, slice.SOPInstanceUID = CTImageStorage, generate_uid()
    slice.StudyInstanceUID, slice.SeriesInstanceUID, slice.FrameOfReferenceUID = (generate_uid() for _ in range(3))
    slice.ImageType, slice.Modality, slice.InstanceNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], "CT", 1
    slice.SliceThickness, slice.PixelSpacing = 2.5, [1, 1]
    slice.ImagePositionPatient, slice.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    slice.SamplesPerPixel, slice.PhotometricInterpretation, slice.Rows, slice.Columns = 1, "MONOCHROME2", 8, 4
    slice.BitsAllocated, slice.BitsStored, slice.HighBit, slice.PixelRepresentation = 16, bits, bits - 1, 1
    slice.RescaleIntercept, slice.RescaleSlope, slice.RescaleType = 0, 1, "HU"
    stored = numpy.array([units] * 8, "<i2").view("<u2")
    slice.PixelData = (stored & 2**bits - 1 if how == "bits above are 0" else stored).tobytes()
    if how == "JPEG-LS":
        slice.compress(JPEGLSLossless, generate_instance_uid=False)
    slice.save_as(path, enforce_file_format=True)

    assert (pydicom.dcmread(path).pixel_array == units).all()
    assert (SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path)) == units).all()
    command = [sys.argv[1] + "/venv/bin/dcm2niix", "-b", "n", "-z", "n", "-f", "out", folder]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = [int(value) for value in nibabel.load(f"{folder}/out.nii").get_fdata()[:, 0, 0]]
    print(f"{f'{bits} bits, {how}:':35} pydicom and SimpleITK right; dcm2niix", *found)
    return found, said(output)


_, of_12_bits = read(12, "bits above repeat it")
for bits in (12, 13, 15, 16):
    for how in ("bits above repeat it", "bits above are 0", "JPEG-LS"):
        # 16 bits have none above them; the first was read already.
        if bits == 16 and how != "JPEG-LS" or (bits, how) == (12, "bits above repeat it"):
            continue
        wrong = bits in (13, 15) and how != "bits above repeat it"
        assert read(bits, how) == ([unit + 2**bits * (unit < 0 and wrong) for unit in units], of_12_bits)
PYTHON
"$folder/venv/bin/python" "$folder/signed.py" "$folder"
