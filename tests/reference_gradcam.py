"""Grad-CAM by pytorch-grad-cam on our weights: reference_gradcam.py NETWORK WEIGHTS GIVEN OUT

WEIGHTS (safetensors): our network as it is exported, with two classes. GIVEN (safetensors): `images` [N, 3, H, W] and
`classes` [N] as floats. OUT (safetensors): `maps` [N, h, w] of the layer that docs/explanations.md names, each
normalised as the package does it: minus its least value, by its greatest.
"""
import sys
import torch, torchvision
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from safetensors.torch import load_file, save_file
from torch import nn


class Fcn(nn.Module):
    """As tests/reference_fcn.py has it, with the ReLU of the fourth convolution as a module that can be named."""

    def __init__(self):
        super().__init__()
        widths = [3, 64, 128, 256, 512]
        for i in range(4):
            setattr(self, f"conv{i + 1}", nn.Conv2d(widths[i], widths[i + 1], 3, 1, 1))
        self.last = nn.ReLU()
        self.classifier = nn.Conv2d(512, 2, 2)

    def forward(self, x):
        for i in range(3):
            x = nn.functional.max_pool2d(torch.relu(getattr(self, f"conv{i + 1}")(x)), 2, 2)
        x = nn.functional.max_pool2d(self.last(self.conv4(x)), 2, 2)
        return self.classifier(x).mean((2, 3))


class DenseNet(nn.Module):
    """torchvision's forward, its functional ReLU after norm5 as a module that can be named."""

    def __init__(self, net):
        super().__init__()
        self.net, self.last = net, nn.ReLU()

    def forward(self, x):
        x = self.last(self.net.features(x))
        return self.net.classifier(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


class SmallMaps(GradCAM):
    """Maps as large as the layer's, not as large as the picture: how they are enlarged is another question."""

    def get_target_width_height(self, input_tensor):
        return None


name, weights, given, out = sys.argv[1:]
net = Fcn() if name == "fcn" else getattr(torchvision.models, name)(weights=None, num_classes=2)
net.load_state_dict(load_file(weights), strict=True)
if name == "densenet161":
    net = DenseNet(net)
layer = {
    "fcn": lambda: net.last,
    "vgg19": lambda: net.features[35],
    "resnet152": lambda: net.layer4[2],
    "densenet161": lambda: net.last,
}[name]()
given = load_file(given)
targets = [ClassifierOutputTarget(int(index)) for index in given["classes"]]
# As ours lies in memory: torchvision's two memory formats differ by more than ours and theirs.
images = given["images"].to(memory_format=torch.channels_last)
with SmallMaps(model=net.eval().to(memory_format=torch.channels_last), target_layers=[layer]) as cam:
    maps = cam(input_tensor=images, targets=targets)
save_file({"maps": torch.from_numpy(maps)}, out)
