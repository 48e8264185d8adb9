#!/usr/bin/env python3
"""The same work in Python, as it is usually written and tuned. Each call does one thing once and prints one JSON line: wall
seconds, CPU seconds (children included), peak memory, and values to be compared with those of covid-ct.

  peers.py unzip DATA            unzip, every archive of a folder, into another
  peers.py audit DATA            Pillow, numpy, two processes: counts, unreadable and black slices, exact duplicates
  peers.py cleanvision DATA      cleanvision's nine checks
  peers.py decode DATA           torchvision as most write it: PIL RGB, Resize, ToTensor, Normalize
  peers.py decode-tuned DATA     torchvision.io grey, v2.Resize with antialiasing, bytes
  peers.py read DATA             one epoch of shuffled batches from a DataLoader over the JPEG files, two workers
  peers.py augment [--tuned] [--batch N] [--steps N]    torchvision v2 on bytes: flip, affine, brightness, contrast, gamma and noise as
                                 Augmentation::gentle has them, drawn anew for each slice of N batches at 224×224;
                                 tuned, by torch's grid_sample over a whole batch
  peers.py augment-monai         the same with MONAI's random transforms
  peers.py step [--tuned] [--batch N]    an optimiser step of the FCN
  peers.py train DATA NETWORK [--tuned] [--device cuda:0]    two epochs of a whole network, the second measured: from JPEG files
                                 by a DataLoader in f32; tuned, from bytes in memory, channels_last, f16, cudnn.benchmark
  peers.py heads DATA NETWORK    five epochs of a head over a frozen network, every slice forwarded in every epoch
  peers.py dicom DATA            pydicom, pylibjpeg, numpy, Pillow, two processes: each slice hashed, its measures, exact duplicates,
                                 the lung window, 224×224; put in order by series and position
  peers.py dicom-monai DATA      MONAI as its documentation has it: LoadImage on a series' folder, ScaleIntensityRange, Resize
  peers.py nifti DATA            the same as dicom from volumes, by nibabel
                                 --bytes FILE writes the slices of these three: scan by scan, from the feet up, as radiologists
                                 look at them
"""
import argparse, collections, functools, hashlib, importlib, io, json, os, pathlib, re, resource, subprocess, tempfile, time
from multiprocessing import Pool

TORCH = ["torch", "torchvision.transforms.v2", "torchvision.io", "torch.utils.data", "PIL.Image"]
NEEDS = {"audit": ["numpy", "PIL.Image"], "cleanvision": ["cleanvision"], "decode": TORCH, "decode-tuned": TORCH, "read": TORCH, "augment": TORCH, "augment-monai": ["torch", "monai.transforms"],
         "dicom": ["numpy", "PIL.Image", "pydicom.pixels", "libjpeg", "openjpeg"], "nifti": ["numpy", "PIL.Image", "nibabel"],
         "dicom-monai": ["torch", "monai.transforms", "monai.data", "itk", "pydicom.pixels"]}
THREADS = int(os.environ.get("BENCH_THREADS", "2"))


def files(data):
    """The files with a suffix that the audit reads."""
    return sorted(p for p in pathlib.Path(data).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))


def look(path):
    import numpy as np
    from PIL import Image

    if path.name.startswith("._"):
        return "junk", None
    try:
        pixels = np.asarray(Image.open(path).convert("L"))
    except Exception as error:
        return "unreadable", type(error).__name__
    return "black" if pixels.max() <= 8 else "ok", hashlib.sha256(pixels.tobytes()).hexdigest()


def audit(a):
    paths = files(a.data)
    with Pool(THREADS) as pool:
        rows = pool.map(look, paths, chunksize=32)
    hashes = collections.Counter(digest for flag, digest in rows if flag in ("ok", "black"))
    flags = collections.Counter(flag for flag, _ in rows)
    return {"items": len(paths), "flags": dict(flags), "exact_duplicates": sum(n - 1 for n in hashes.values())}


def unzip(a):
    with tempfile.TemporaryDirectory(dir=pathlib.Path(a.data).parent) as folder:
        archives, begun = sorted(pathlib.Path(a.data).glob("*.zip")), time.perf_counter()
        for archive in archives:
            subprocess.run(["unzip", "-q", str(archive), "-d", folder], check=True)
        seconds = time.perf_counter() - begun
        return {"items": sum(1 for p in pathlib.Path(folder).rglob("*") if p.is_file()), "seconds": seconds}


def cleanvision(a):
    from cleanvision import Imagelab

    # It stops at the first file that is not an image, so it gets only the readable ones.
    paths = readable(a.data)
    lab = Imagelab(filepaths=[str(path) for path in paths])
    lab.find_issues(n_jobs=THREADS, verbose=False)
    return {"items": len(paths)}


def readable(data):
    """The slices of our cache: BENCH_FILES lists them, one per line."""
    return [pathlib.Path(data) / line for line in pathlib.Path(os.environ["BENCH_FILES"]).read_text().splitlines()]


def decode(a):
    import torch
    from PIL import Image
    from torchvision import transforms as T

    torch.set_num_threads(1)
    tf = T.Compose([T.Resize((224, 224)), T.ToTensor(), T.Normalize([0.5] * 3, [0.5] * 3)])
    paths = readable(a.data)
    total = 0.0
    for path in paths:
        total += float(tf(Image.open(path).convert("RGB"))[0, 100, 100])
    return {"items": len(paths)}


def decode_tuned(a):
    import torch
    from torchvision.io import ImageReadMode, read_image
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    resize = v2.Resize((224, 224), antialias=True)
    paths = readable(a.data)
    with open(os.environ.get("BENCH_BYTES", os.devnull), "wb") as out:
        for path in paths:
            out.write(resize(read_image(str(path), ImageReadMode.GRAY)).numpy().tobytes())
    return {"items": len(paths)}


def read(a):
    import torch
    from torch.utils.data import DataLoader

    paths = readable(a.data)
    torch.manual_seed(1)
    seen = sum(len(images) for images, _ in DataLoader(labelled(paths), 32, shuffle=True, num_workers=THREADS))
    return {"items": seen}


def augmented(a, change, kind):
    """Changes batch after batch; the first is not measured."""
    import torch

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    slices, seen = torch.randint(0, 256, (a.batch, 1, 224, 224), dtype=torch.uint8).to(kind), 0
    for number in range(a.steps + 1):
        if number == 1:
            begun = time.perf_counter()
        batch = change(slices)
        seen += int(batch[0, 0, 0, 0])
    return {"items": a.steps * a.batch, "seconds": time.perf_counter() - begun, "sum": seen}


def augment(a):
    import math, random
    import torch
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as F

    within = lambda most: random.uniform(-most, most)

    def one(image):
        if random.random() < 0.5:
            image = F.horizontal_flip(image)
        shift = [within(0.06 * 224), within(0.06 * 224)]
        image = F.affine(image, within(10), shift, 1 + within(0.1), [0.0, 0.0], interpolation=InterpolationMode.BILINEAR)
        # Brightness is multiplied; there is no v2 function that adds, and noise is for floats only.
        image = F.adjust_contrast(F.adjust_brightness(image, 1 + within(0.1)), 1 + within(0.15))
        image = F.adjust_gamma(image, math.exp(within(math.log(1.15))))
        return torch.randn(image.shape).mul_(0.02 * 255).add_(image).round_().clamp_(0, 255).to(torch.uint8)

    def all_at_once(images):
        """The warps of a batch in one call and its tones in a few, in floats."""
        each = lambda most: torch.empty(len(images), 1, 1, 1).uniform_(-most, most)
        angle, scale = each(math.radians(10)), 1 + each(0.1)
        cos, sin, mirrored = angle.cos() / scale, angle.sin() / scale, torch.where(each(1) < 0, -1.0, 1.0)
        theta = torch.cat([torch.cat([mirrored * cos, mirrored * sin, each(0.12)], 3), torch.cat([-sin, cos, each(0.12)], 3)], 2).squeeze(1)
        grid = torch.nn.functional.affine_grid(theta, images.shape, align_corners=False)
        images = torch.nn.functional.grid_sample(images.float().div_(255), grid, align_corners=False).add_(each(0.1)).clamp_(0, 1)
        mean = images.mean((1, 2, 3), keepdim=True)
        images = images.sub_(mean).mul_(1 + each(0.15)).add_(mean).clamp_(0, 1).pow_((each(1) * math.log(1.15)).exp())
        return images.add_(torch.randn(images.shape), alpha=0.02).mul_(255).round_().clamp_(0, 255).to(torch.uint8)

    return augmented(a, all_at_once if a.tuned else lambda images: torch.stack([one(image) for image in images]), torch.uint8)


def augment_monai(a):
    import math
    import torch
    from monai import transforms as T

    move = T.RandAffine(prob=1, rotate_range=math.radians(10), translate_range=0.06 * 224, scale_range=[0.1, 0.1], mode="bilinear",
                        padding_mode="zeros", cache_grid=True, spatial_size=(224, 224))
    tone = [T.RandShiftIntensity(0.1 * 255, prob=1), T.RandScaleIntensityFixedMean(prob=1, factors=0.15),
            T.RandAdjustContrast(prob=1, gamma=(1 / 1.15, 1.15)), T.RandGaussianNoise(prob=1, std=0.02 * 255, sample_std=False)]
    tf = T.Compose([T.RandFlip(prob=0.5, spatial_axis=1), move, *tone, T.ToTensor(track_meta=False)])
    # MONAI computes in floats.
    return augmented(a, lambda images: torch.stack([tf(image) for image in images]), torch.float32)


def fcn(tuned):
    import torch.nn as nn

    layers, width_in = [], 3
    for width in (64, 128, 256, 512):
        conv = nn.Conv2d(width_in, width, 3, 1, 1)
        layers += [conv, nn.MaxPool2d(2, 2), nn.ReLU()] if tuned else [conv, nn.ReLU(), nn.MaxPool2d(2, 2)]
        width_in = width
    return nn.Sequential(*layers, nn.Conv2d(512, 2, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def step(a):
    import torch
    from torch import nn

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    net, x, y = fcn(a.tuned).train(), torch.randn(a.batch, 3, 224, 224), torch.randint(0, 2, (a.batch,))
    if a.tuned:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    adam, times = torch.optim.Adam(net.parameters(), lr=1e-4), []
    for number in range(a.steps + 1):
        begun = time.perf_counter()
        adam.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        adam.step()
        loss.item()
        if number:
            times.append(time.perf_counter() - begun)
    return {"items": a.batch * a.steps, "seconds": sum(times)}


def network(name):
    import torchvision
    from torch import nn

    if name == "fcn":
        return fcn(False)
    net = getattr(torchvision.models, name)(weights=None)
    if name == "vgg19":
        net.classifier[6] = nn.Linear(4096, 2)
    elif name == "resnet152":
        net.fc = nn.Linear(2048, 2)
    else:
        net.classifier = nn.Linear(2208, 2)
    return net


def labelled(paths):
    """The files as they are usually read, each with a label."""
    from PIL import Image
    from torch.utils.data import Dataset
    from torchvision import transforms as T

    class Slices(Dataset):
        tf = T.Compose([T.Resize((224, 224)), T.ToTensor(), T.Normalize([0.5] * 3, [0.5] * 3)])

        def __len__(self):
            return len(paths)

        def __getitem__(self, index):
            return self.tf(Image.open(paths[index]).convert("RGB")), index % 2

    return Slices()


def train(a):
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision.io import ImageReadMode, read_image
    from torchvision.transforms import v2

    cuda, paths = a.device.startswith("cuda"), [p for p in readable(a.data) if "prediction" not in p.parts]

    torch.manual_seed(0)
    net = (fcn(a.tuned) if a.network == "fcn" else network(a.network)).train().to(a.device)
    scaler = torch.amp.GradScaler(enabled=a.tuned and cuda)
    if a.tuned:
        torch.backends.cudnn.benchmark = True
        net = net.to(memory_format=torch.channels_last)
        resize = v2.Resize((224, 224), antialias=True)
        kept = torch.stack([resize(read_image(str(path), ImageReadMode.GRAY)) for path in paths])
        labels = (torch.arange(len(paths)) % 2).to(a.device)
        kept = kept.to(a.device)  # The bytes of all slices fit on a GPU: nothing is copied during training.

        def batches():
            for index in torch.randperm(len(paths), device=a.device).split(a.batch):
                x = kept[index].float().div_(255).sub_(0.5).div_(0.5)
                yield x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last), labels[index]
    else:
        loader = DataLoader(labelled(paths), a.batch, shuffle=True, num_workers=THREADS, pin_memory=cuda)
        batches = lambda: iter(loader)
    adam = torch.optim.Adam(net.parameters(), lr=1e-4, fused=a.tuned and cuda)
    for _ in range(2):
        begun, stall, source = time.perf_counter(), 0.0, batches()
        while True:
            asked = time.perf_counter()
            batch = next(source, None)
            stall += time.perf_counter() - asked
            if batch is None:
                break
            x, y = (part.to(a.device, non_blocking=True) for part in batch)
            adam.zero_grad(set_to_none=True)
            with torch.autocast("cuda", torch.float16, enabled=a.tuned and cuda):
                loss = nn.functional.cross_entropy(net(x), y)
            scaler.scale(loss).backward()
            scaler.step(adam)
            scaler.update()
        loss.item()
        seconds = time.perf_counter() - begun
    memory = torch.cuda.max_memory_reserved(a.device) // 2**20 if cuda else None
    return {"items": len(paths), "seconds": seconds, "images_per_second": len(paths) / seconds, "stall": stall / seconds, "gpu_mb": memory}


def heads(a):
    import torch
    from torch import nn
    from torch.utils.data import DataLoader

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    net = network(a.network)
    net.requires_grad_(False)
    list(net.children())[-1].requires_grad_(True) if a.network != "vgg19" else net.classifier[6].requires_grad_(True)
    paths = readable(a.data)

    begun = time.perf_counter()
    loader = DataLoader(labelled(paths), 64, shuffle=True, num_workers=THREADS)
    adam = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1e-4)
    net.eval()
    for _ in range(5):
        for x, y in loader:
            adam.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(net(x), y).backward()
            adam.step()
    return {"items": 5 * len(paths), "seconds": time.perf_counter() - begun}


def in_order(path):
    """Folders and files as people count: 2 before 10."""
    return [[int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)] for name in path.parts]


def lung_window(hu):
    """Grey levels by the linear function of DICOM PS3.3 C.11.2.1.2.1, centre -600, width 1500, rounded."""
    import numpy as np

    return np.clip(((hu + 600.5) / 1499 + 0.5) * 255 + 0.5, 0, 255).astype(np.uint8)


def measured(hu):
    """A slice in Hounsfield units: its measures, the hash of its grey levels, and these at 224×224."""
    import numpy as np
    from PIL import Image

    grey = lung_window(hu)
    levels = np.bincount(grey.ravel(), minlength=256)
    percentiles = np.searchsorted(np.cumsum(levels), np.array([0.01, 0.5, 0.99]) * grey.size)
    numbers = [float(hu.min()), float(hu.max()), float(hu.mean()), *map(int, percentiles)]
    small = Image.fromarray(grey).resize((224, 224), Image.Resampling.BILINEAR)
    return "black" if levels[9:].sum() == 0 else "ok", numbers, hashlib.sha256(grey.tobytes()).hexdigest(), small.tobytes()


def look_dicom(plugin, path):
    """One file: the series and the place of its slice, the file's hash, and the slice measured."""
    import numpy as np
    from pydicom import dcmread
    from pydicom.pixels import pixel_array

    series, place, file = None, 0.0, path.read_bytes()
    digest = hashlib.sha256(file).hexdigest()
    try:
        ds = dcmread(io.BytesIO(file))
        series, axes = ds.SeriesInstanceUID, np.array(ds.ImageOrientationPatient, float).reshape(2, 3)
        normal = np.cross(*axes)
        place = float(normal @ np.array(ds.ImagePositionPatient, float)) * (1 if normal[2] > 0 else -1)
        plugin = plugin if ds.file_meta.TransferSyntaxUID.is_compressed else ""
        hu = pixel_array(ds, decoding_plugin=plugin).astype(np.float32) * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        if abs(axes[0, 0]) < abs(axes[0, 1]):
            hu, axes = hu.T, axes[::-1]
        hu = hu[:: 1 if axes[1, 1] > 0 else -1, :: 1 if axes[0, 0] > 0 else -1]
        return path, series, place, digest, measured(hu)
    except Exception as error:
        return path, series, place, digest, ("unreadable", type(error).__name__, None, None)


def dicom(a):
    paths = sorted((p for p in pathlib.Path(a.data).rglob("*") if p.suffix.lower() == ".dcm"), key=in_order)
    with Pool(THREADS) as pool:
        looked = pool.map(functools.partial(look_dicom, a.plugin), paths, chunksize=16)
    series = {}
    for path, uid, place, _, found in looked:
        series.setdefault(uid, []).append((place, path.name, found))
    scans = [[found for *_, found in sorted(of, key=lambda each: each[:2])] for of in series.values()]
    files = collections.Counter(digest for *_, digest, _ in looked)
    return {**summary(scans, a.bytes), "series": len(series.keys() - {None}), "repeated_files": sum(n - 1 for n in files.values())}


def summary(scans, out):
    """What all slices amount to; writes their grey levels to a file."""
    slices = [found for scan in scans for found in scan]
    read = [found for found in slices if found[0] != "unreadable"]
    hashes, flags = collections.Counter(digest for _, _, digest, _ in read), collections.Counter(flag for flag, *_ in slices)
    if out:
        pathlib.Path(out).write_bytes(b"".join(small for *_, small in read))
    least, most, mean, *_ = zip(*(numbers for _, numbers, _, _ in read))
    return {"items": len(slices), "flags": dict(flags), "exact_duplicates": sum(n - 1 for n in hashes.values()),
            "hu": [min(least), max(most), round(sum(mean) / len(mean), 3)]}


def look_nifti(path):
    """One volume: the file's hash, and its slices measured."""
    import nibabel
    import numpy as np

    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        # Towards right, front and head; the picture's columns go to the left, its rows to the back.
        voxels = np.asanyarray(nibabel.as_closest_canonical(nibabel.load(path)).dataobj)
        return digest, [measured(voxels[::-1, ::-1, k].T.astype(np.float32)) for k in range(voxels.shape[2])]
    except Exception as error:
        return digest, [("unreadable", type(error).__name__, None, None)]


def nifti(a):
    paths = sorted((p for p in pathlib.Path(a.data).rglob("*") if p.name.endswith((".nii", ".nii.gz"))), key=in_order)
    with Pool(THREADS) as pool:
        looked = pool.map(look_nifti, paths, chunksize=1)
    files = collections.Counter(digest for digest, _ in looked)
    return {**summary([scan for _, scan in looked], a.bytes), "series": len(paths), "repeated_files": sum(n - 1 for n in files.values())}


def dicom_monai(a):
    import torch
    from monai import transforms as T
    from monai.data import DataLoader, Dataset

    torch.set_num_threads(1)
    folders = sorted({p.parent for p in pathlib.Path(a.data).rglob("*.dcm")}, key=in_order)
    tf = T.Compose([T.LoadImage(reader=a.reader, image_only=True, ensure_channel_first=True), T.Orientation(axcodes="LPS"),
                    T.ScaleIntensityRange(-1350, 150, 0, 255, clip=True), T.Resize((224, 224, -1)), T.ToTensor(track_meta=False)])
    # ITK imports its parts at their first use.
    T.LoadImage(reader=a.reader)(str(folders[0]))
    seen, begun = 0, time.perf_counter()
    with open(a.bytes or os.devnull, "wb") as out:
        for volume in DataLoader(Dataset([str(folder) for folder in folders], tf), batch_size=1, num_workers=THREADS):
            slices = volume[0, 0].permute(2, 1, 0)
            seen += len(slices)
            if a.bytes:
                out.write(slices.round().to(torch.uint8).contiguous().numpy().tobytes())
    return {"items": seen, "series": len(folders), "seconds": time.perf_counter() - begun}


def own_peak():
    """Peak memory in KiB. Not from getrusage, whose value for a process starts with that of its parent."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what")
    parser.add_argument("data", nargs="?")
    parser.add_argument("network", nargs="?", default="densenet161")
    parser.add_argument("--tuned", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--bytes", help="dicom, dicom-monai, nifti: write the slices at 224×224 to this file")
    parser.add_argument("--plugin", default="pylibjpeg", help="dicom: what pydicom decodes with, pylibjpeg or gdcm")
    parser.add_argument("--reader", default="ITKReader", help="dicom-monai: ITKReader or PydicomReader")
    a = parser.parse_args()
    work = {"unzip": unzip, "audit": audit, "cleanvision": cleanvision, "decode": decode, "decode-tuned": decode_tuned, "read": read,
            "augment": augment, "augment-monai": augment_monai, "step": step, "train": train, "heads": heads, "dicom": dicom, "dicom-monai": dicom_monai, "nifti": nifti}[a.what]
    # Importing libraries is not timed.
    for module in NEEDS.get(a.what, []):
        importlib.import_module(module)
    begun = time.perf_counter()
    row = work(a)
    row.setdefault("seconds", time.perf_counter() - begun)
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    row["cpu_seconds"] = sum(of.ru_utime + of.ru_stime for of in usage)
    row["peak_mb"] = max(own_peak(), usage[1].ru_maxrss) // 1024
    print(json.dumps({"what": a.what, **row}), flush=True)


if __name__ == "__main__":
    main()
