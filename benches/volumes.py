#!/usr/bin/env python3
"""Draws data sets of DICOM series or NIfTI volumes to be measured with: a chest in Hounsfield units, made up from the same seed
for every kind, so that all kinds hold the same voxels.

  volumes.py OUT --kind dicom          train/{covid,non-covid}/ct_scan_N/*.dcm, explicit VR little endian
  volumes.py OUT --kind dicom-jpeg     the same in JPEG lossless, first-order prediction (1.2.840.10008.1.2.4.70)
  volumes.py OUT --kind dicom-jpegls   the same in JPEG-LS lossless (…80)
  volumes.py OUT --kind dicom-j2k      the same in JPEG 2000 lossless (…90)
  volumes.py OUT --kind nifti          train/{covid,non-covid}/ct_scan_N/volume.nii.gz

Every scan is of a patient, a study and a series of its own. Even scans store 12 bits without sign, odd ones 16 bits with sign and
padding around the round field of view, both with intercept -1024. Every other pair numbers its slices from the head down, and
scan 2 lies prone: its pictures are stored turned by half. --defects repeats a slice, blackens one and cuts a DICOM file short.
"""
import argparse, gzip, pathlib

import numpy as np

INTERCEPT, PADDING, NOISE = -1024, -2000, 20.0
AIR, LUNG, FAT, MUSCLE, BLOOD, MARROW, BONE = -1000, -860, -100, 55, 40, 250, 800


def inside(x, y, centre, radii):
    """Below 1 inside of an ellipse."""
    return ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2


class Chest:
    """The organs of one patient. Millimetres: x to the patient's left, y to the back, t from 0 at the diaphragm to 1 at the apex."""

    def __init__(self, rng, ill, prone):
        self.prone = prone
        self.wide, self.deep = rng.uniform(160, 185), rng.uniform(108, 128)
        self.spacing = float(np.round(rng.uniform(0.68, 0.82), 4))
        side = rng.choice([-1, 1], 700)
        self.vessels = np.column_stack([side, rng.uniform(0, 1, 700) ** 0.7, rng.uniform(0, 2 * np.pi, 700), rng.uniform(-0.1, 1.1, 700),
                                        rng.uniform(-60, 60, 700), rng.uniform(0.8, 3.2, 700)])
        count = rng.integers(8, 20) if ill else 0
        self.lesions = np.column_stack([rng.choice([-1, 1], count), rng.uniform(0.55, 0.95, count), rng.uniform(0, 2 * np.pi, count),
                                        rng.uniform(0, 0.9, count), rng.uniform(8, 26, count), rng.uniform(-650, -250, count)])
        self.ribs = rng.uniform(0, 1)

    def section(self, x, y, t):
        """Hounsfield units without noise at the height t."""
        narrow = 1 - 0.35 * max(0.0, t - 0.75) / 0.25
        body = (self.wide * narrow, self.deep)
        hu = np.full(x.shape, AIR, np.float32)
        hu[np.abs(np.hypot(x, y + (-320 if self.prone else 320)) - 480) < 4] = -650  # The table.
        hu[inside(x, y, (0, 0), body) < 1] = FAT
        wall = inside(x, y, (0, 2), (body[0] - 14, body[1] - 14))
        hu[wall < 1] = MUSCLE
        for k in range(14):
            angle = 2 * np.pi * (k + self.ribs + 3.1 * t) / 14
            centre = ((body[0] - 21) * np.cos(angle), 2 + (body[1] - 21) * np.sin(angle))
            rib = inside(x, y, centre, (9, 5) if abs(np.sin(angle)) > 0.7 else (5, 9))
            hu[rib < 1], hu[rib < 0.45] = BONE, MARROW
        lung = np.sqrt(max(0.02, 1 - (1.15 * t - 0.12) ** 4)) * min(1.0, 0.55 + 3 * t)
        radii = (62 * lung * narrow, (self.deep - 30) * lung)
        for side in (-1, 1):
            hu[inside(x, y, (76 * side * narrow, 0), radii) < 1] = LUNG + 30 * side * t
        self.inner(hu, x, y, t, radii, narrow)
        heart = max(0.0, 1 - ((t - 0.28) / 0.33) ** 2) ** 0.5
        if heart:
            hu[inside(x, y, (22, -26), (58 * heart, 44 * heart)) < 1] = BLOOD
        hu[inside(x, y, (24, 38), (13, 13)) < 1] = BLOOD + 5
        hu[inside(x, y, (0, -4), (9, 8)) < 1] = AIR + 20 if t > 0.55 else BLOOD
        spine = inside(x, y, (0, 62), (21, 17))
        hu[spine < 1], hu[spine < 0.75] = BONE, MARROW
        hu[inside(x, y, (0, 84), (9, 8)) < 1] = MARROW + 150
        return hu

    def inner(self, hu, x, y, t, radii, narrow):
        """Vessels and lesions of the lungs, each drawn in the square around it."""
        step, grid = x[0, 1] - x[0, 0], x.shape[0]
        for side, far, angle, level, drift, thick in self.vessels:
            if abs(level - t) < 0.12:
                self.blob(hu, x, y, grid, step, side * 76 * narrow + far * radii[0] * np.cos(angle) + drift * (t - level),
                          far * radii[1] * np.sin(angle) + drift * (t - level), thick, MUSCLE, 1.0)
        for side, far, angle, level, large, dense in self.lesions:
            shrunk = large**2 - (300 * (t - level)) ** 2
            if shrunk > 4:
                self.blob(hu, x, y, grid, step, side * 76 * narrow + far * radii[0] * np.cos(angle), far * radii[1] * np.sin(angle),
                          shrunk**0.5, dense, 0.8)

    def blob(self, hu, x, y, grid, step, cx, cy, r, value, weight):
        j, i = round(float(cx - x[0, 0]) / step), round(float(cy - y[0, 0]) / step)
        reach = int(1.5 * r / step) + 2
        part = np.s_[max(0, i - reach):min(grid, i + reach + 1), max(0, j - reach):min(grid, j + reach + 1)]
        within = inside(x[part], y[part], (cx, cy), (r, r))
        soft = weight * np.clip(1.5 - within, 0, 1) * (hu[part] < -500)
        hu[part] += soft * (value - hu[part])


def noise(rng, size):
    """Noise with the grain of a filtered back projection: little at low frequencies, a maximum, little at the highest ones."""
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    grain = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size), np.float32)) * (f + 0.02) * np.exp(-((f / 0.25) ** 2)), (size, size))
    return grain * (NOISE / grain.std())


def draw(number, slices, size, seed, ill, defects):
    """The voxels of one scan as stored (slice, row, column), from the feet up, as radiologists look at them, and the chest."""
    rng = np.random.default_rng([seed, number])
    chest, signed = Chest(rng, ill, number == 2), number % 2 == 1
    chest.spacing *= 512 / size
    at = (np.arange(size, dtype=np.float32) - (size - 1) / 2) * np.float32(chest.spacing)
    y, x = np.meshgrid(at, at, indexing="ij")
    volume = np.empty((slices, size, size), np.int16)
    for k in range(slices):
        hu = chest.section(x, y, (k + 0.5) / slices)
        for axis in (0, 1):  # The scanner's blur.
            hu = (np.roll(hu, 1, axis) + 2 * hu + np.roll(hu, -1, axis)) / 4
        stored = np.clip(np.rint(hu + noise(rng, size)) - INTERCEPT, 0, 4095).astype(np.int16)
        if signed:
            stored[np.hypot(x, y) > at[-1]] = PADDING
        volume[k] = stored
    if defects and number == 1:
        volume[slices // 3] = volume[slices // 3 - 1]
        volume[-1] = PADDING
    return volume, chest


def encoded(stored, bits, kind):
    """One slice as the data set stores it."""
    import imagecodecs

    raw = np.ascontiguousarray(stored).view(np.uint16)
    if kind == "dicom-jpeg":
        return imagecodecs.jpeg8_encode(raw, lossless=True, predictor=1, bitspersample=bits)
    return imagecodecs.jpegls_encode(raw, level=0)


def series(folder, number, volume, chest, kind, ill, thickness, seed, defects):
    """Writes a scan as one DICOM file for each slice."""
    from pydicom import uid
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate

    made = lambda *what: uid.generate_uid(entropy_srcs=["covid-ct volumes", str(seed), str(number), *map(str, what)])
    syntax = {"dicom": uid.ExplicitVRLittleEndian, "dicom-jpeg": uid.JPEGLosslessSV1, "dicom-jpegls": uid.JPEGLSLossless,
              "dicom-j2k": uid.JPEG2000Lossless}[kind]
    signed, prone, down = number % 2 == 1, chest.prone, number // 2 % 2 == 1
    bits, size, count = 16 if signed else 12, volume.shape[1], len(volume)
    corner = -(size - 1) / 2 * chest.spacing
    for k, stored in enumerate(volume):
        instance = count - k if down else k + 1
        turned = stored[::-1, ::-1] if prone else stored
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = syntax if kind != "dicom-j2k" else uid.ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = uid.CTImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = made("slice", k)
        ds.SpecificCharacterSet, ds.ImageType = "ISO_IR 100", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.StudyDate, ds.StudyTime, ds.AccessionNumber, ds.Modality = "20200401", f"{8 + number:02}0000", f"A{number:04}", "CT"
        ds.Manufacturer, ds.ManufacturerModelName = "Phantom", ["Twelve", "Sixteen"][signed]
        ds.ReferringPhysicianName, ds.StudyDescription, ds.SeriesDescription = "", "Chest", "Chest lung"
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = f"Phantom^{number}", f"P{number:04}", "", "O"
        ds.BodyPartExamined, ds.SliceThickness, ds.KVP = "CHEST", thickness, "120"
        ds.PatientPosition = "HFP" if prone else "HFS"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = made("study"), made("series"), made("frame")
        ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = str(number), 2, 1, instance
        ds.ImagePositionPatient = [round(v, 4) for v in ((-corner, -corner) if prone else (corner, corner))] + [round(k * thickness - 300.0, 4)]
        ds.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0] if prone else [1, 0, 0, 0, 1, 0]
        ds.PositionReferenceIndicator, ds.SliceLocation = "", round(k * thickness - 300.0, 4)
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", size, size
        ds.PixelSpacing = [round(chest.spacing, 6)] * 2
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, bits, bits - 1, int(signed)
        if signed:
            ds.add_new("PixelPaddingValue", "SS", PADDING)
        ds.WindowCenter, ds.WindowWidth = [-600, 40], [1500, 400]
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = INTERCEPT, 1, "HU"
        if kind in ("dicom", "dicom-j2k"):
            ds.PixelData = np.ascontiguousarray(turned).tobytes()
            ds["PixelData"].VR = "OW"
            if kind == "dicom-j2k":
                ds.compress(syntax, encoding_plugin="pylibjpeg", generate_instance_uid=False)
        else:
            ds.PixelData = encapsulate([encoded(turned, bits, kind)])
            ds["PixelData"].VR = "OB"
        path = folder / f"{instance:04}.dcm"
        ds.save_as(path, enforce_file_format=True)
        if defects and number == 3 and k == count - 1:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def nifti(folder, number, volume, chest, thickness):
    """Writes a scan as one volume in Hounsfield units; axes to left, back, head, or in every other scan to left, front, head."""
    import nibabel

    size = volume.shape[1]
    end = (size - 1) / 2 * chest.spacing
    voxels = (volume + np.int16(INTERCEPT)).transpose(2, 1, 0)
    affine = np.diag([-chest.spacing, -chest.spacing, thickness, 1.0])
    affine[:3, 3] = [end, end, -300.0]
    if number % 2:
        voxels = voxels[:, ::-1]
        affine[1, 1], affine[1, 3] = chest.spacing, -end
    image = nibabel.Nifti1Image(np.asfortranarray(voxels), affine)
    image.header.set_xyzt_units("mm")
    (folder / "volume.nii.gz").write_bytes(gzip.compress(image.to_bytes(), 6, mtime=0))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--kind", choices=["dicom", "dicom-jpeg", "dicom-jpegls", "dicom-j2k", "nifti"], default="dicom")
    parser.add_argument("--scans", type=int, default=8)
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--defects", action="store_true")
    a = parser.parse_args()
    thickness = round(300 / a.slices, 4)
    for number in range(a.scans):
        ill = number < a.scans // 2
        folder = a.out / "train" / ("covid" if ill else "non-covid") / f"ct_scan_{number if ill else number - a.scans // 2}"
        folder.mkdir(parents=True, exist_ok=True)
        volume, chest = draw(number, a.slices, a.size, a.seed, ill, a.defects)
        if a.kind == "nifti":
            nifti(folder, number, volume, chest, thickness)
        else:
            series(folder, number, volume, chest, a.kind, ill, thickness, a.seed, a.defects)
    written = [p for p in a.out.rglob("*") if p.is_file()]
    print(f"{a.scans * a.slices} slices in {len(written)} files, {sum(p.stat().st_size for p in written) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
