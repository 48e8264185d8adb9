"""Files of pretrained weights that are damaged."""
import json, struct

import peers
import reference as at
from damage import BYTES
from running import digest

TRAIN = ["train", "--network", at.HEAD[1], "--name", "weights", *at.SMALL, "--epochs", "1"]


def prepare(ref):
    """The same weights as safetensors and as PyTorch's own files, from the run with a frozen network."""
    folder = ref.folder / "weights"
    folder.mkdir()
    plain = folder / "weights.safetensors"
    ref.program.must("export", "--name", "head", str(plain))
    ref.weights = [plain, folder / "weights.pth", folder / "older.pth"]
    ref.apart.submit(peers.save_weights, *ref.weights).result()


def trial(ref, rng, folder, note):
    """Trains a head on a damaged file: it is refused by name, or it is one that PyTorch reads too."""
    source = rng.choice(ref.weights)
    program = ref.workspace(folder / "home", before="head")
    path = folder / source.name
    bytes_, how = near_the_structure(source.read_bytes(), rng)
    path.write_bytes(bytes_)
    outcome = program.run(*TRAIN, "--pretrained", str(path))
    note(outcome)
    faults = [outcome.misbehaved()]
    if not outcome.ended_well:
        faults += [] if outcome.says(path.name) else ["it failed and does not name the file"]
    else:
        refusal = ref.apart.submit(peers.refusal, path).result()
        faults += [f"it trained on a file that PyTorch refuses: {refusal}"] if refusal else []
        faults += recorded(program.home, path)
    return f"{how} {source.name}", faults


def near_the_structure(bytes_, rng):
    """Damages the beginning or the end more often than the numbers between, which are most of a file."""
    how = rng.choice(BYTES)
    part = rng.choice(["begin", "begin", "end", "all"])
    near = min(len(bytes_), rng.choice([64, 1024, 65536]))
    begin, middle, end = b"", bytes_, b""
    if part == "begin":
        middle, end = bytes_[:near], bytes_[near:]
    elif part == "end":
        begin, middle = bytes_[:-near], bytes_[-near:]
    result = begin + how(middle, rng) + end
    return (result, f"{how.__name__} in the {part} of" if part != "all" else how.__name__) if result != bytes_ else (bytes_ + b"\0", "lengthened")


def recorded(home, path):
    """Whether the checkpoint names the file that it began with."""
    best = home / "runs/data/weights/best.safetensors"
    with open(best, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        info = json.loads(json.loads(file.read(length))["__metadata__"]["covid-ct"])["description"]
    return [] if (info.get("pretrained") or {}).get("sha256") == digest(path) else ["its checkpoint does not name the file by its hash"]
