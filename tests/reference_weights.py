"""Writes files of weights as PyTorch writes them, and beside each <name>.pth a <name>.json of what it holds.

A JSON with "tensors" lists [name, element type, shape, bytes in hexadecimal digits] in the file's order; one with
"error" holds words that the error must have. names.json and folders.json are answers of Python itself.

Usage: reference_weights.py FOLDER
"""

import json
import os
import re
import sys
from collections import OrderedDict
from pathlib import Path

import torch

TYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "Bool",
}  # fmt: skip


def flat_bytes(tensor):
    return bytes(tensor.detach().clone(memory_format=torch.contiguous_format).untyped_storage().tolist())


def expected(state):
    rows = [[k, TYPES[t.dtype], list(t.shape), flat_bytes(t).hex()] for k, t in state.items()]
    return {"tensors": rows}


def states():
    """Name, object to save, and the state dict that is to be read from it."""
    torch.manual_seed(1)
    layers = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Linear(4, 2))
    layers = layers.state_dict()  # an OrderedDict with _metadata
    types = {f"type.{name}": (torch.randn(2, 3) * 50).to(dtype) for dtype, name in TYPES.items()}
    types |= {"scalar": torch.tensor(2.5), "count": torch.tensor(-7), "empty": torch.zeros(0, 3)}
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    views = {
        "transposed": base.t(), "column": base[:, 2], "part": base[1:3, 2:5], "steps": base[::2, ::3],
        "shared": base, "again": base, "expanded": base[0:1].expand(3, 6), "one": base[3:, 5:],
        "permuted": base.view(2, 2, 6).permute(2, 0, 1), "ones": torch.ones(2, 1, 3).transpose(0, 1),
    }  # fmt: skip
    parameter = torch.nn.Parameter(base * 2)
    marked = torch.nn.Parameter(base * 3)
    marked.note = "a Python attribute"
    parameters = {"weight": parameter, "frozen": torch.nn.Parameter(base.t(), requires_grad=False), "marked": marked}
    wrapped = OrderedDict((f"module.{key}", tensor) for key, tensor in layers.items())
    checkpoint = {"epoch": 3, "best": 0.5, "arch": "resnet", "state_dict": wrapped, "flags": [True, None, -2**40]}
    return [
        ("layers", layers, layers), ("types", types, types), ("views", views, views),
        ("parameters", parameters, parameters), ("module", wrapped, layers), ("checkpoint", checkpoint, layers),
        ("model", {"model": dict(layers), "lr": 1e-3}, layers), ("nothing", {}, {}),
    ]  # fmt: skip


class Malicious:
    def __reduce__(self):
        return os.system, ("touch executed",)


class Doubling(torch.nn.Module):
    def forward(self, x):
        return x * 2


def write_errors(folder):
    whole = torch.nn.Linear(2, 2)
    numbers = torch.arange(6, dtype=torch.float32)
    cases = {
        "malicious": ({"weight": numbers, "extra": Malicious()}, "would call posix.system; nothing in a file"),
        "whole": (whole, "would call torch.nn.modules.linear.Linear"),
        "list": ([numbers], "expected a state dict, found a list"),
        "tensor": (numbers, "expected a state dict, found a result of torch._utils._rebuild_tensor_v2"),
        "numbered": ({1: numbers}, "expected a state dict with names as its keys, found an int"),
        "setting": ({"weight": numbers, "epoch": 3}, 'the value of "epoch": expected a tensor, found an int'),
        "complex": ({"weight": numbers.to(torch.complex64)}, "found torch.ComplexFloatStorage"),
        "sparse": ({"weight": numbers.to_sparse()}, "nothing in a file of weights may run, refused"),
        "large": ({f"weight{i}": numbers[:1].expand(1 << 16, 1 << 16) for i in range(2)}, "many times as large"),
    }
    for name, (value, error) in cases.items():
        for new in (True, False):
            path = folder / f"{name}-{'zip' if new else 'legacy'}.pth"
            torch.save(value, path, _use_new_zipfile_serialization=new)
            path.with_suffix(".json").write_text(json.dumps({"error": error}))
    torch.jit.script(Doubling()).save(folder / "script.pth")
    (folder / "script.json").write_text(json.dumps({"error": "found a TorchScript program"}))


def write_deep(folder):
    """Of 3-D networks, to be flattened; `w` is a tensor that is refused."""
    folder.mkdir()
    kernel = torch.tensor([1.0, 2.0, 10.0, 20.0, 100.0, 200.0, -1.0, 0.5, 3.0, 3.0, 0.25, 0.0]).reshape(1, 2, 3, 1, 2)
    network = {
        "conv1.weight": kernel, "layer1.0.conv1.weight": torch.arange(8.0).reshape(4, 2, 1, 1, 1).bfloat16(),
        "bn1.running_mean": torch.tensor([1.5, -2.0]).bfloat16(), "bn1.num_batches_tracked": torch.tensor(2**40 + 1),
    }  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    cases = {
        "network": {"state_dict": network, "meta": {"origin": "a test", "count": 4}},
        "kernel": {"conv.weight": torch.randn(4, 3, 3, 7, 7, generator=generator)},
        "flat": {"w": torch.zeros(2, 3, 3, 3)}, "no-depth": {"w": torch.zeros(2, 3, 0, 3, 3)},
        "half": {"w": torch.zeros(2).half()}, "whole-numbers": {"w": torch.zeros(1, 1, 1, 1, 1).long()},
    }  # fmt: skip
    for name, value in cases.items():
        torch.save(value, folder / f"{name}.pth")


def write_answers(folder):
    """The rule for names from torchvision's models/densenet.py, and the folder of torch.hub."""
    rule = re.compile(
        r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var))$"
    )
    layers = ["features.denseblock1.denselayer1", "denselayer24", "features.denselayer", "features.layer1", "layer1x"]
    ends = [f"{kind}.{n}.{p}" for kind in ("norm", "relu", "conv", "pool") for n in (0, 1, 2, 12)
            for p in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]  # fmt: skip
    keys = [f"{layer}.{end}" for layer in layers for end in [*ends, "norm1.weight", "conv2.weight"]]
    keys += ["classifier.weight", "weight", "", ".1.weight", "norm.1.weight", "features.denselayer1.norm.1.weight.x"]
    names = {}
    for key in keys:
        found = rule.match(key)
        names[key] = found.group(1) + found.group(2) if found else key
    (folder / "names.json").write_text(json.dumps(names))
    folders = []
    for home in (None, "/srv/torch", "~/models", "relative", ""):
        for cache in (None, "/var/cache", "~/.other", ""):
            for variable, value in (("TORCH_HOME", home), ("XDG_CACHE_HOME", cache), ("HOME", "/home/someone")):
                os.environ.pop(variable, None)
                if value is not None:
                    os.environ[variable] = value
            folders.append([home, cache, os.path.join(torch.hub.get_dir(), "checkpoints")])
    (folder / "folders.json").write_text(json.dumps(folders))


def main():
    folder = Path(sys.argv[1])
    for name, value, state in states():
        for protocol in (2, 4):
            for new in (True, False):
                path = folder / f"{name}-{'zip' if new else 'legacy'}-{protocol}.pth"
                torch.save(value, path, _use_new_zipfile_serialization=new, pickle_protocol=protocol)
                path.with_suffix(".json").write_text(json.dumps(expected(state)))
    write_errors(folder)
    write_deep(folder / "deep")
    write_answers(folder)


if __name__ == "__main__":
    main()
