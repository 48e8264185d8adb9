#!/usr/bin/env python3
"""Compares the values that covid-ct reads from DICOM, NIfTI, NRRD and MetaImage with pydicom, nibabel and SimpleITK.

  conformance.py FOLDER...     each with files of any layout; without one, what pydicom, pydicom-data and nibabel bring

Each file is read alone, so that every slice counts whatever series it belongs to. Values in Hounsfield units must be equal (in lossy
transfer syntaxes within one stored value), and pictures turned alike. Exit code 1 where one differs. `make check-formats` installs
what it needs.
"""
import json, os, pathlib, subprocess, sys, tempfile, warnings

import nibabel, numpy as np, pydicom, SimpleITK
from pydicom.pixels import apply_rescale

warnings.filterwarnings("ignore")
PROGRAM = pathlib.Path(__file__).resolve().parent.parent / "covid-ct"
LOSSY = {"1.2.840.10008.1.2.4." + end for end in ("50", "51", "81", "91", "203")}


def ours(path):
    """Slices of one file, as (frame, values), and why others are none."""
    with tempfile.TemporaryDirectory() as folder:
        # Linked, so that its neighbours are not read; a header's data file comes along.
        scan = pathlib.Path(folder) / "scan"
        scan.mkdir()
        (scan / path.name).symlink_to(path)
        if path.suffix in (".mhd", ".nhdr"):
            for other in path.parent.glob(path.stem + ".*"):
                if other != path:
                    (scan / other.name).symlink_to(other)
        out = pathlib.Path(folder) / "values"
        done = subprocess.run([PROGRAM, "bench", "values", scan, "--bytes", out], capture_output=True, text=True)
        if done.returncode:
            return [], done.stderr.strip().splitlines()[-1]
        line = json.loads(done.stdout.strip().splitlines()[-1])
        values, at, slices = np.fromfile(out, dtype="<f4"), 0, []
        through_window(values, np.fromfile(out.with_suffix(".grey"), dtype=np.uint8), path)
        for of in line["slices"]:
            if "error" in of:
                return [], of["error"]
            size = of["width"] * of["height"]
            slices.append((of["frame"], values[at:at + size].reshape(of["height"], of["width"])))
            at += size
        return slices, ", ".join(of["detail"] for of in line["rejected"])


def through_window(values, grey, path):
    """Grey levels must follow PS3.3 C.11.2.1.2.1 within one level; padding is black."""
    levels = np.rint(np.clip(((values.astype(np.float64) + 600.5) / 1499 + 0.5) * 255, 0, 255))
    off = np.abs(levels - grey)[grey > 0]
    assert len(off) == 0 or off.max() <= 1, f"{path}: grey levels are {off.max()} off"


def turned(picture, orientation):
    """The patient's right on the left, anterior up."""
    rows, columns = np.array(orientation[:3], float), np.array(orientation[3:], float)
    if abs(rows[0]) < abs(columns[0]):
        picture, rows, columns = picture.T, columns, rows
    picture = picture[:, ::-1] if rows[0] < 0 else picture
    return picture[::-1] if columns[1] < 0 else picture


def of_dicom(path):
    """The same by pydicom: {frame: values}, and the largest difference that is allowed."""
    data = pydicom.dcmread(path, force=True)
    lossy = str(data.file_meta.get("TransferSyntaxUID", "")) in LOSSY
    lossy = 1.001 * abs(float(data.get("RescaleSlope", 1) or 1)) if lossy else 0
    stored = data.pixel_array
    frames = {None: stored} if int(data.get("NumberOfFrames", 1) or 1) == 1 else dict(enumerate(stored))
    values = {}
    for frame, picture in frames.items():
        groups = [g[frame or 0 if len(g) > 1 else 0] for g in
                  (data.get("PerFrameFunctionalGroupsSequence"), data.get("SharedFunctionalGroupsSequence")) if g]
        of = lambda sequence, source: next((g[sequence][0] for g in groups if sequence in g), source)
        transform, plane = of("PixelValueTransformationSequence", data), of("PlaneOrientationSequence", data)
        value = apply_rescale(picture, transform).astype(np.float64)
        values[frame] = turned(value, plane.ImageOrientationPatient) if "ImageOrientationPatient" in plane else value
    return values, lossy


def of_volume(path):
    """The same by nibabel or SimpleITK: {slice from the feet up: values}."""
    if ".nii" in path.name:
        image = nibabel.as_closest_canonical(nibabel.load(path))
        data = np.asanyarray(image.dataobj, dtype=np.float64)
        data = np.where(np.isnan(data), -1024, data)
        return {k: data[::-1, ::-1, k].T for k in range(data.shape[2])}, 0
    image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), "LPS")
    return dict(enumerate(SimpleITK.GetArrayFromImage(image).astype(np.float64))), 0


def main():
    site = pathlib.Path(pydicom.__file__).parent.parent
    own = [site / "pydicom/data/test_files", site / "data_store/data", pathlib.Path(nibabel.__file__).parent / "tests/data"]
    same = differ = refused = 0
    for root in [pathlib.Path(argument) for argument in sys.argv[1:]] or own:
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            volume = any(ending in path.name for ending in (".nii", ".nrrd", ".nhdr", ".mha", ".mhd"))
            slices, why = ours(path)
            if not slices:
                refused += 1
                print(f"not read: {path.name}: {why[-160:]}")
                continue
            try:
                theirs, allowed = of_volume(path) if volume else of_dicom(path)
            except Exception as error:  # a file that only we read
                print(f"only ours: {path.name}: {str(error).splitlines()[0][:120]}")
                continue
            worst = max(np.abs(values - theirs[frame]).max() if values.shape == theirs[frame].shape else np.inf
                        for frame, values in slices)
            same, differ = same + (worst <= allowed), differ + (worst > allowed)
            if worst > 0:
                print(f"{'lossy' if worst <= allowed else 'DIFFERS'}: {path.name}: by {worst}")
    print(f"{same} files alike, {differ} differ, {refused} not read")
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
