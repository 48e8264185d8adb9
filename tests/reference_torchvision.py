"""torchvision's networks and EfficientNet-Lite0 on random weights: reference_torchvision.py MODEL FOLDER CLASSES

FOLDER/weights.safetensors   the state dict, with the names of torchvision, of Lite0 with those of the PyPI package
                             efficientnet_lite_pytorch
FOLDER/images.safetensors    images [4, 3, 224, 224], other [2, 3, 128, 96] (of Lite0 [2, 3, 129, 94]), labels [4] (as
                             floats)
FOLDER/answers.safetensors   logits of both in eval mode; logits and running statistics in train mode with seed 11 for
                             dropout; the gradients of a training step; the number of parameters; Grad-CAM maps of
                             classes 1, 0, 1, 0
"""
import pathlib, sys
import torch, torchvision
from safetensors.torch import save_file
from torch import nn


class Same(nn.Conv2d):
    """A convolution under TensorFlow's padding: the pads depend on the size, and the right and lower may be one wider."""

    def forward(self, x):
        pads = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1]):
            pad = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [pad // 2, pad - pad // 2]
        return super().forward(nn.functional.pad(x, pads))


def norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Block(nn.Module):
    """Inverted bottleneck with depthwise convolution (Sandler et al., 2018)."""

    def __init__(self, channels, out, expansion, kernel, stride):
        super().__init__()
        inner, self.adds = expansion * channels, stride == 1 and channels == out
        if expansion > 1:
            self._expand_conv, self._bn0 = Same(channels, inner, 1, bias=False), norm(inner)
        self._depthwise_conv = Same(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = norm(inner)
        self._project_conv, self._bn2 = Same(inner, out, 1, bias=False), norm(out)

    def forward(self, x):
        y = nn.functional.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_bn0") else x
        y = nn.functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class Lite0(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self._conv_stem, self._bn0 = Same(3, 32, 3, 2, bias=False), norm(32)
        blocks, channels = [], 32
        for repeats, kernel, stride, expansion, out in [
            (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
            (1, 3, 1, 6, 320),
        ]:
            for repeat in range(repeats):
                blocks.append(Block(channels, out, expansion, kernel, 1 if repeat else stride))
                channels = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = Same(320, 1280, 1, bias=False), norm(1280)
        self._dropout, self._fc = nn.Dropout(0.2), nn.Linear(1280, classes)

    def maps(self, x):
        x = nn.functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return nn.functional.relu6(self._bn1(self._conv_head(x)))

    def forward(self, x):
        return self._fc(self._dropout(self.maps(x).mean((2, 3))))


name, folder, classes = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
torch.manual_seed(7)
is_lite = name == "efficientnet_lite0"
net = Lite0(classes) if is_lite else getattr(torchvision.models, name)(weights=None, num_classes=classes)
for module in net.modules():
    if isinstance(module, torch.nn.BatchNorm2d):  # running statistics that are not the trivial 0 and 1
        module.running_mean.normal_(0, 0.1)
        module.running_var.uniform_(0.5, 1.5)
save_file({k: v.contiguous() for k, v in net.state_dict().items()}, folder / "weights.safetensors")
other = torch.randn(2, 3, *((129, 94) if is_lite else (128, 96)))
images, labels = torch.randn(4, 3, 224, 224), torch.tensor([0, 1, 1, 0])
save_file({"images": images, "other": other, "labels": labels.float()}, folder / "images.safetensors")
answers = {"count": torch.tensor([sum(p.numel() for p in net.parameters())], dtype=torch.float64)}
with torch.no_grad():
    answers["eval"] = net.eval()(images)
    answers["other"] = net(other)
# Grad-CAM (Selvaraju et al. 2017) on the rectified maps of the last convolutional layer.
with torch.no_grad():
    if name == "vgg19":
        maps = net.features[:36](images)
    elif is_lite:
        maps = net.maps(images)
    elif name.startswith("resnet"):
        maps = torch.nn.Sequential(*list(net.children())[:-2])(images)
    else:
        maps = torch.relu(net.features(images))
maps = maps.detach().requires_grad_()
pooled = net.avgpool(net.features[36:](maps)) if name == "vgg19" else torch.nn.functional.adaptive_avg_pool2d(maps, 1)
head = net._fc if is_lite else net.fc if name.startswith("resnet") else net.classifier
scores = head(torch.flatten(pooled, 1))
(gradient,) = torch.autograd.grad(scores[torch.arange(4), torch.tensor([1, 0, 1, 0])].sum(), maps)
answers["cam"] = torch.relu((maps * gradient.mean((2, 3), keepdim=True)).sum(1)).detach()
torch.manual_seed(11)
# In ours' memory format: 150 layers of batch norm over four images multiply what another order of summing changes
# (torchvision's own two formats differ by 1e-3 in the logits and more in the gradients).
logits = net.train()(images.to(memory_format=torch.channels_last))
answers["train"] = logits.detach()
torch.nn.functional.cross_entropy(logits, labels).backward()
answers |= {f"grad.{k}": p.grad for k, p in net.named_parameters()}
answers |= {f"after.{k}": v for k, v in net.state_dict().items() if "running" in k or "num_batches" in k}
save_file({k: v.contiguous() for k, v in answers.items()}, folder / "answers.safetensors")
