"""torchvision's warps and tones for tests/augment.rs: reference_augment.py FOLDER

FOLDER/images.safetensors    grey images [1, height, width] u8, named 0, 1, ...
FOLDER/cases.json            {"warps": [[flip, angle, [right, down], scale], ...], "contrasts": [float, ...],
                             "gammas": [float, ...], "brightness": [float, ...]}
FOLDER/answers.safetensors   u8, named IMAGE.warp.CASE, IMAGE.contrast.CASE, IMAGE.gamma.CASE, IMAGE.brightness.CASE;
                             brightness is not torchvision's, which multiplies, but the formula in floats
"""
import json, pathlib, sys
from safetensors.torch import load_file, save_file
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

folder = pathlib.Path(sys.argv[1])
cases = json.loads((folder / "cases.json").read_text())
answers = {}
for name, image in load_file(folder / "images.safetensors").items():
    for case, (flip, angle, shift, scale) in enumerate(cases["warps"]):
        given = F.horizontal_flip(image) if flip else image
        answers[f"{name}.warp.{case}"] = F.affine(
            given, angle=angle, translate=shift, scale=scale, shear=[0.0, 0.0], interpolation=InterpolationMode.BILINEAR
        )
    for case, factor in enumerate(cases["contrasts"]):
        answers[f"{name}.contrast.{case}"] = F.adjust_contrast(image, factor)
    for case, gamma in enumerate(cases["gammas"]):
        answers[f"{name}.gamma.{case}"] = F.adjust_gamma(image, gamma)
    for case, share in enumerate(cases["brightness"]):
        answers[f"{name}.brightness.{case}"] = (image.double() + 255 * share).clamp(0, 255).round().to(image.dtype)
save_file({name: answer.contiguous() for name, answer in answers.items()}, folder / "answers.safetensors")
