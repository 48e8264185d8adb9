"""Images that are damaged, cut or another's: in the data set that is audited, and in scans that are judged."""
import io, json, shutil

from PIL import Image

import peers
from damage import damaged
from running import digest_of_tree

ENDINGS = (".jpg", ".jpeg", ".png", ".tif")


def trial(ref, rng, folder, note):
    """Damages one to three images, and lets audit and judgement read them."""
    data, home = folder / "data", folder / "home"
    shutil.copytree(ref.data, data)
    program = ref.workspace(home).at(home, data)
    hurt = [hurt_one(ref, path, rng) for path in sample(data, rng)]
    source = digest_of_tree(data)
    audit = program.run("audit")
    note(audit)
    faults = [audit.misbehaved()]
    if audit.ended_well:
        faults += unnoticed(home, hurt)
    elif not audit.says(*(str(path.name) for path, *_ in hurt), str(data)):
        faults.append("the audit failed and names no file")
    judged = program.run("predict", "--name", "first", str(data / "prediction"))
    note(judged)
    faults += [judged.misbehaved()]
    if judged.ended_well:
        faults += wrongly_judged(ref, home, data, hurt)
    if digest_of_tree(data) != source:
        faults.append("the source data was changed")
    return "; ".join(f"{how} {path.relative_to(data)}" for path, how, _ in hurt), faults


def sample(data, rng):
    images = sorted(path for path in data.rglob("*") if path.suffix in ENDINGS and "truth" not in path.parts)
    # As often among the scans that are judged as among all others.
    judged = [path for path in images if "prediction" in path.parts]
    return rng.sample(rng.choice([images, judged]), rng.choice([1, 1, 2, 3]))


def hurt_one(ref, path, rng):
    """Damages an image, or saves it otherwise: its path, how, and why other decoders cannot read it (None where they can)."""
    before = path.read_bytes()
    if rng.random() < 0.15:
        how = recoded(path, rng)
    else:
        bytes_, how = damaged(path, rng)
        path.write_bytes(bytes_)
    return path, how, ref.apart.submit(peers.unreadable, path.read_bytes(), before).result()


def recoded(path, rng):
    """The picture in another format or mode, sometimes under its old name."""
    format_, mode = rng.choice([("PNG", "L"), ("PNG", "RGB"), ("JPEG", "RGB"), ("TIFF", "L"), ("PNG", "I;16"), ("BMP", "L")])
    image = Image.open(path).convert("L")
    image = image.convert("I").convert("I;16") if mode == "I;16" else image.convert(mode)
    held = io.BytesIO()
    image.save(held, format_)
    path.write_bytes(held.getvalue())
    return f"as {format_} {mode}"


def findings(folder):
    """The paths that an audit names, in findings and among rejected files."""
    audit = json.loads((folder / "audit.json").read_text())
    return json.dumps(audit)


def unnoticed(home, hurt):
    """Damaged files that others cannot read and the audit does not name."""
    said = findings(home / "data_manifest/data")
    for path, how, why in hurt:
        if why and "/".join(path.parts[-2:]) not in said:
            yield f"{path.parent.name}/{path.name} ({how}) cannot be read ({why}), and the audit does not say so"


def wrongly_judged(ref, home, data, hurt):
    """Scans without a damaged file that are judged otherwise than before, and slices judged that cannot be read."""
    written = sorted((home / "runs/data/first/judged").iterdir()) if (home / "runs/data/first/judged").is_dir() else []
    if not written:
        yield "it judged and wrote nothing"
        return
    inference = json.loads((written[-1] / "inference.json").read_text())
    before = {scan["scan"]: scan for scan in ref.judged_scans}
    touched = {path.parent.name for path, *_ in hurt}
    for scan in inference["scans"]:
        name = scan["scan"].split("/")[-1]
        same = all(scan.get(key) == before.get(scan["scan"], {}).get(key) for key in ("mean", "slices", "decision"))
        if name not in touched and not same:
            yield f"{name} has no damaged file and is judged otherwise"
    judged = (written[-1] / "predictions-prediction.csv").read_text()
    for path, how, why in hurt:
        name = f"{path.parent.name}/{path.name}"
        if "prediction" in path.parts and name in judged and why:
            yield f"{name} ({how}) cannot be read ({why}) and is judged"
