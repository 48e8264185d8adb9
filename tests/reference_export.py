"""PyTorch at both ends of a run on pretrained weights.

  reference_export.py make FOLDER     densenet161 with 1000 classes and random weights: FOLDER/new.pth as torch.save writes
                                      it, FOLDER/old.pth in the old format and with the names of old files
  reference_export.py load FOLDER     FOLDER/model.safetensors into torchvision's network with two classes (strict), and
                                      FOLDER/model.pt by itself and as ONNX; their logits of FOLDER/images.safetensors,
                                      largest difference to FOLDER/logits.safetensors, as JSON
"""
import json, pathlib, re, subprocess, sys
import onnxruntime, torch, torchvision
from safetensors.torch import load_file

what, folder = sys.argv[1], pathlib.Path(sys.argv[2])
if what == "make":
    torch.manual_seed(5)
    state = torchvision.models.densenet161(weights=None).state_dict()
    torch.save(state, folder / "new.pth")
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): value for name, value in state.items()
           if "num_batches_tracked" not in name}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, folder / "old.pth", _use_new_zipfile_serialization=False)
else:
    images = load_file(folder / "images.safetensors")["images"]
    ours = load_file(folder / "logits.safetensors")["logits"]
    net = torchvision.models.densenet161(weights=None, num_classes=2)
    net.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    script = torch.jit.load(folder / "model.pt")
    with torch.no_grad():
        answers = {"state_dict": net.eval()(images), "script": script(images), "one": script(images[:1])}
    # The line of docs/networks.md, run as it stands there.
    page = (pathlib.Path(__file__).parent.parent / "docs/networks.md").read_text()
    line = re.search(r"^python -c '(import torch;[^']*)'$", page, re.M).group(1).replace("224", str(images.shape[-1]))
    subprocess.run([sys.executable, "-W", "ignore", "-c", line], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    onnx = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    for key, of in [("onnx", images), ("onnx_one", images[:1])]:
        answers[key] = torch.from_numpy(onnx.run(None, {"slices": of.contiguous().numpy()})[0])
    scale = ours.abs().max()
    print(json.dumps({k: ((v - ours[: len(v)]).abs().max() / scale).item() for k, v in answers.items()}))
