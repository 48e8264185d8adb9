#!/usr/bin/env python3
"""The same work in Python, as it is usually written and tuned. Each call does one thing once and prints one JSON line: wall
seconds, CPU seconds (children included), peak memory, and values to be compared with those of covid-ct.

  peers.py unzip DATA            unzip, every archive of a folder, into another
  peers.py audit DATA            Pillow, numpy, two processes: counts, unreadable and black slices, exact duplicates
  peers.py cleanvision DATA      cleanvision's nine checks
  peers.py decode DATA           torchvision as most write it: PIL RGB, Resize, ToTensor, Normalize
  peers.py decode-tuned DATA     torchvision.io grey, v2.Resize with antialiasing, bytes
  peers.py read DATA             one epoch of shuffled batches from a DataLoader over the JPEG files, two workers
  peers.py step [--tuned] [--batch N]    an optimiser step of the FCN
  peers.py train DATA NETWORK [--tuned] [--device cuda:0]    two epochs of a whole network, the second measured: from JPEG files
                                 by a DataLoader in f32; tuned, from bytes in memory, channels_last, f16, cudnn.benchmark
  peers.py heads DATA NETWORK    five epochs of a head over a frozen network, every slice forwarded in every epoch
"""
import argparse, collections, hashlib, importlib, json, os, pathlib, resource, subprocess, tempfile, time
from multiprocessing import Pool

TORCH = ["torch", "torchvision.transforms.v2", "torchvision.io", "torch.utils.data", "PIL.Image"]
NEEDS = {"audit": ["numpy", "PIL.Image"], "cleanvision": ["cleanvision"], "decode": TORCH, "decode-tuned": TORCH, "read": TORCH}
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
    a = parser.parse_args()
    work = {"unzip": unzip, "audit": audit, "cleanvision": cleanvision, "decode": decode, "decode-tuned": decode_tuned, "read": read,
            "step": step, "train": train, "heads": heads}[a.what]
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
