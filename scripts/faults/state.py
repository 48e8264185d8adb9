"""Files of the workspace that are damaged, edited by hand, taken from elsewhere or gone."""
import json, shutil

import reference as at
from damage import damaged

# Read by people only, or by nothing.
NOT_READ = (".svg", ".html", ".md", ".csv", "lock", ".pt")
TRAINED = {"first": at.RUN, "other": at.OTHER, "head": at.HEAD}


def trial(ref, rng, folder, note):
    """Damages a file, runs what reads it, and compares every other result with what it was."""
    program = ref.workspace(folder / "home")
    home = program.home
    path = chosen(home, rng)
    how, name = hurt(path, rng, home), str(path.relative_to(home))
    commands = rng.choice(readers(path, home, ref))
    if rng.random() < 0.7:
        forget(home, path, commands)
    faults, said = [], ""
    for command in commands:
        outcome = program.run(*command)
        note(outcome)
        said += outcome.out + outcome.err
        faults.append(outcome.misbehaved())
        if not outcome.ended_well:
            break
    if not outcome.ended_well:
        faults += [] if path.name in said or str(path.parent) in outcome.err else ["it failed and does not name the file"]
    # A cache is known by its folder.
    elif not (path.name in said or (name.startswith("cache/") and str(path.parent) in said)):
        changed = [result for result in at.differing(at.results(home), ref.results) if result != name]
        faults += [f"{', '.join(changed[:3])} changed in silence"] if changed else []
        # A report without what a stage never wrote is whole.
        faults += unlike(ref, home, path) if ["report"] in commands and how != "without" else []
    return f"{how} {name}, then {', '.join(command[0] for command in commands)}", faults


# Stages that read a file, by a part of its path: the first that fits.
READERS = [
    ("features-efficientnet", "train-head evaluate-head train-head"), ("features-", "scan-model leakage train"),
    ("slices.bin", "train-anew evaluate predict explain train-head leakage"), ("cache/", "cache train-anew evaluate train-head"),
    ("leakage.json", "report leakage"), ("shortcuts.json", "report shortcuts"), ("inspected.bin", "audit"), ("data_manifest/", "split cache train-anew report predict shortcuts"),
    ("history.json", "report train"), ("config.json", "report train evaluate predict judge"), ("split.json", "report train evaluate predict"),
    ("assessment.json", "report predict export judge"), ("evaluation.json", "report export"), ("grey-levels.json", "predict judge"),
    ("scan-rule.json", "report predict judge"), ("scan-model", "report scan-model"), ("last.safetensors", "train"), ("best-head", "train"),
    ("best.safetensors", "evaluate predict explain export judge"), ("predictions-", "report evaluate predict explain scan-model"), ("", "report"),
]


def readers(path, home, ref):
    """The commands that may read a file, each with those that it needs before it."""
    parts = path.relative_to(home).parts
    run = parts[2] if parts[0] == "runs" else "first"
    commands = {stage: [[stage, "--name", run]] for stage in ("evaluate", "predict", "explain", "scan-model")} | {
        "train": [["train", *TRAINED[run]]], "train-anew": [["train", *at.RUN], ["evaluate", "--name", "first"]],
        "train-head": [["train", *at.HEAD], ["evaluate", "--name", "head"]], "evaluate-head": [["evaluate", "--name", "head"]],
        "export": [["export", "--name", run, "exported/again.safetensors"]], "judge": [["predict", "--name", run, str(ref.data / "prediction")]],
        "cache": [["cache", *at.SMALL, "--network", "compact"]], "split": [["split"]], "report": [["report"]], "shortcuts": [["shortcuts"]],
        "leakage": [at.LEAKAGE], "audit": [["audit"]],
    }
    name = str(path.relative_to(home))
    stages = next(stages for part, stages in READERS if part in name)
    return [commands[stage] for stage in stages.split()]


def forget(home, keep, commands):
    """Removes what the commands make, so that they make it again."""
    for command in commands:
        run = command[command.index("--name") + 1] if "--name" in command else None
        folder = home / "runs/data" / (run or "none")
        gone = {"train": ["*"], "evaluate": ["predictions-*", "evaluation.json", "assessment.json"], "predict": ["*-prediction.*", "inference.json"],
                "explain": ["explanations-*"], "scan-model": ["scan-model*"]}.get(command[0], [])
        if command[0] == "train" and folder in keep.parents:
            # What a training resumes from is what is tried.
            gone = ["history.json"]
        for path in [path for pattern in gone for path in folder.glob(pattern) if path != keep]:
            path.unlink() if path.is_file() else shutil.rmtree(path)
        if command == at.LEAKAGE and keep.name != "leakage.json":
            (home / "data_manifest/data/leakage.json").unlink(missing_ok=True)


# By the beginning of a path in the workspace and the end of a file's name.
GROUPS = [("cache/", (".bin", ".rows")), ("data_manifest/", ""), ("runs/", ".safetensors"), ("runs/", ".parquet"), ("runs/", ".json"),
          ("", "")]


def chosen(home, rng):
    """A file of a group, so that the few large ones are tried as often as the many small ones."""
    begin, end = rng.choice(GROUPS)
    return rng.choice([path for path in files(home) if str(path.relative_to(home)).startswith(begin) and path.name.endswith(end)])


def files(home):
    return sorted(path for path in home.rglob("*") if path.is_file() and not path.name.endswith(NOT_READ) and "exported" not in path.parts
                  and path.name not in ("report.json",) and "judged" not in path.parts)


def hurt(path, rng, home):
    """Damages a file; in one of four cases it is taken from elsewhere, or it is gone."""
    pick = rng.random()
    others = [other for other in files(home) if other != path and other.suffix == path.suffix and other.read_bytes() != path.read_bytes()]
    twins = [other for other in others if other.name == path.name] or others
    if pick < 0.2 and twins:
        other = rng.choice(twins)
        shutil.copy(other, path)
        return f"{other.relative_to(home)} in place of"
    if pick < 0.25:
        path.unlink()
        return "without"
    bytes_, how = damaged(path, rng)
    path.write_bytes(bytes_)
    return how


def unlike(ref, home, path):
    """What a report says otherwise than before though it leaves nothing out."""
    report = home / "report.json"
    if not report.is_file():
        return ["there is no report.json"]
    now = json.loads(report.read_text())
    said = json.dumps(list(left_out(now)))
    # The machines of a run decide nothing.
    if path.name in said or f"runs/data/{path.parent.name}" in said or path.name == "provenance.json":
        return []
    return [f"report.json differs in {where}, and names nothing that was left out" for where in unequal(ref.report, at.without_times(now))[:1]]


def left_out(value):
    """Everything that a report says it left out."""
    if isinstance(value, dict):
        yield from (inner for key, inner in value.items() if key == "left_out")
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from left_out(inner)


def unequal(before, now, where=""):
    """Where two JSON values differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [key for key in before.keys() | now.keys() if before.get(key) != now.get(key)]
        return [place for key in sorted(keys) for place in unequal(before.get(key), now.get(key), f"{where}.{key}")]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [place for i, (a, b) in enumerate(zip(before, now)) if a != b for place in unequal(a, b, f"{where}[{i}]")]
    return [where.lstrip(".") or "everything"] if before != now else []
