"""The FCN in PyTorch, from our weights: reference_fcn.py WEIGHTS OUT

WEIGHTS (safetensors): our parameters, `images` [N, 3, H, W], `labels` [N] as floats, and optionally `steps`, `rate`.
OUT (safetensors): logits, the gradients of the first step, and the parameters after the steps of torch.optim.Adam.
"""
import json, struct, sys
import torch
from torch import nn


def read(path):
    data = open(path, "rb").read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, about in header.items():
        if name != "__metadata__":
            begin, end = about["data_offsets"]
            raw = bytearray(data[8 + length + begin : 8 + length + end])
            tensors[name] = torch.frombuffer(raw, dtype=torch.float32).reshape(about["shape"]).clone()
    return tensors


def write(path, tensors):
    header, parts, at = {}, [], 0
    for name, tensor in tensors.items():
        raw = tensor.detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + len(raw)]}
        parts.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + b"".join(parts))


class Fcn(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [3, 64, 128, 256, 512]
        for i in range(4):
            setattr(self, f"conv{i + 1}", nn.Conv2d(widths[i], widths[i + 1], 3, 1, 1))
        self.classifier = nn.Conv2d(512, 2, 2)

    def forward(self, x):
        for i in range(4):
            x = nn.functional.max_pool2d(torch.relu(getattr(self, f"conv{i + 1}")(x)), 2, 2)
        return self.classifier(x).mean((2, 3))


tensors = read(sys.argv[1])
# The memory format of ours: other orders of summing make Adam step the other way where a gradient is nearly zero.
images, labels = tensors.pop("images").to(memory_format=torch.channels_last), tensors.pop("labels").long()
steps, rate = int(tensors.pop("steps").item()), 1e-3
net = Fcn()
net.load_state_dict(tensors, strict=True)
out = {"count": torch.tensor([float(sum(p.numel() for p in net.parameters()))])}
adam = torch.optim.Adam(net.parameters(), lr=rate)
for step in range(steps):
    adam.zero_grad()
    logits = net(images)
    loss = nn.functional.cross_entropy(logits, labels)
    loss.backward()
    if step == 0:
        out["logits"] = logits
        out |= {f"grad.{name}": p.grad.clone() for name, p in net.named_parameters()}
    adam.step()
out |= {f"after.{name}": p for name, p in net.named_parameters()}
write(sys.argv[2], out)
