"""The FCN in PyTorch, from our weights: reference_fcn.py WEIGHTS OUT

WEIGHTS (safetensors): our parameters, `images` [N, 3, H, W], `labels` [N] as floats, and optionally `steps`, `rate`.
OUT (safetensors): logits, the gradients of the first step, Grad-CAM maps of each image's label on the rectified maps of the
fourth convolution, and the parameters after the steps of torch.optim.Adam.
"""
import sys
import torch
from safetensors.torch import load_file, save_file
from torch import nn


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


tensors = load_file(sys.argv[1])
# The memory format of ours: other orders of summing make Adam step the other way where a gradient is nearly zero.
images, labels = tensors.pop("images").to(memory_format=torch.channels_last), tensors.pop("labels").long()
steps, rate = int(tensors.pop("steps").item()), 1e-3
net = Fcn()
net.load_state_dict(tensors, strict=True)
out = {"count": torch.tensor([float(sum(p.numel() for p in net.parameters()))])}
with torch.no_grad():
    x = images
    for i in range(3):
        x = nn.functional.max_pool2d(torch.relu(getattr(net, f"conv{i + 1}")(x)), 2, 2)
    maps = torch.relu(net.conv4(x))
maps = maps.detach().requires_grad_()
scores = net.classifier(nn.functional.max_pool2d(maps, 2, 2)).mean((2, 3))
(gradient,) = torch.autograd.grad(scores[torch.arange(len(labels)), labels].sum(), maps)
out["cam"] = torch.relu((maps * gradient.mean((2, 3), keepdim=True)).sum(1))
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
save_file({name: tensor.detach().contiguous() for name, tensor in out.items()}, sys.argv[2])
