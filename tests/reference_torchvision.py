"""torchvision's networks on random weights: reference_torchvision.py MODEL FOLDER CLASSES

FOLDER/weights.safetensors   the state dict, torchvision's own names
FOLDER/images.safetensors    images [4, 3, 224, 224], other [2, 3, 128, 96], labels [4] (as floats)
FOLDER/answers.safetensors   logits of both in eval mode; logits and running statistics in train mode with seed 11 for
                             dropout; the gradients of a training step; the number of parameters; Grad-CAM maps of
                             classes 1, 0, 1, 0
"""
import pathlib, sys
import torch, torchvision
from safetensors.torch import save_file

name, folder, classes = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
torch.manual_seed(7)
net = getattr(torchvision.models, name)(weights=None, num_classes=classes)
for module in net.modules():
    if isinstance(module, torch.nn.BatchNorm2d):  # running statistics that are not the trivial 0 and 1
        module.running_mean.normal_(0, 0.1)
        module.running_var.uniform_(0.5, 1.5)
save_file({k: v.contiguous() for k, v in net.state_dict().items()}, folder / "weights.safetensors")
images, other, labels = torch.randn(4, 3, 224, 224), torch.randn(2, 3, 128, 96), torch.tensor([0, 1, 1, 0])
save_file({"images": images, "other": other, "labels": labels.float()}, folder / "images.safetensors")
answers = {"count": torch.tensor([sum(p.numel() for p in net.parameters())], dtype=torch.float64)}
with torch.no_grad():
    answers["eval"] = net.eval()(images)
    answers["other"] = net(other)
# Grad-CAM (Selvaraju et al. 2017) on the rectified maps of the last convolutional layer.
with torch.no_grad():
    if name == "vgg19":
        maps = net.features[:36](images)
    elif name == "resnet152":
        maps = torch.nn.Sequential(*list(net.children())[:-2])(images)
    else:
        maps = torch.relu(net.features(images))
maps = maps.detach().requires_grad_()
pooled = net.avgpool(net.features[36:](maps)) if name == "vgg19" else torch.nn.functional.adaptive_avg_pool2d(maps, 1)
scores = (net.fc if name == "resnet152" else net.classifier)(torch.flatten(pooled, 1))
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
