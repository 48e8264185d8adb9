"""What every trial begins with and is compared with: a tiny phantom, and a workspace in which every stage has ended well."""
import hashlib, json, pathlib, shutil, subprocess, sys

import peers
from running import Program, digest, digest_of_tree

SMALL = ["--small", "--size", "32", "--device", "cpu"]
TWO = ["--epochs", "2"]
RUN = ["--network", "compact", "--name", "first", *SMALL, *TWO]
OTHER = ["--network", "compact", "--name", "other", "--seed", "7", *SMALL, *TWO]
# A head over a frozen network, whose features are kept.
HEAD = ["--network", "efficientnet_lite0", "--pretrained", "none", "--name", "head", *SMALL, *TWO]
LEAKAGE = ["leakage", "--network", "compact", *SMALL, "--epochs", "1", "--repeats", "2"]
# Every stage: its name, its command, and a part of the names of the files it leaves in runs/data/first.
STAGES = [
    ("audit", ["audit"]),
    ("cache", ["cache", *SMALL, "--network", "compact"]),
    ("train", ["train", *RUN]),
    ("evaluate", ["evaluate", "--name", "first"]),
    ("predict", ["predict", "--name", "first"]),
    ("explain", ["explain", "--name", "first"]),
    ("scan-model", ["scan-model", "--name", "first"]),
    ("export", ["export", "--name", "first", "exported/model.pt"]),
    ("leakage", LEAKAGE),
    ("shortcuts", ["shortcuts"]),
    ("head", ["train", *HEAD]),
    ("evaluate head", ["evaluate", "--name", "head"]),
    ("report", ["report"]),
]
# Fields that differ from one training to the next: times, and what follows from them; a checkpoint's hash is of its times, too.
TIMES = {"weights", "checkpoint", "checkpoint_minutes", "seconds", "waited", "images_per_second", "feature_seconds", "time", "date", "made", "written", "created", "peak_mb", "when"}


class Reference:
    """The data, the workspace before and after every stage, and the results."""

    def __init__(self, binary, folder):
        self.folder = pathlib.Path(folder)
        self.data, self.home = self.folder / "data", self.folder / "home"
        self.program = Program(binary, self.home, self.data)
        self.before, self.apart = {}, peers.apart()

    def prepare(self, say):
        """Draws the data and runs every stage once, and the training twice: both must give the same."""
        self.program.must("phantom", str(self.data), "--train-scans", "6", "--val-scans", "3", "--prediction-scans", "2",
                          "--slices", "5", "--size", "96", "--no-defects")
        self.source = digest_of_tree(self.data)
        self.seconds = {}
        for name, command in STAGES:
            say(f"preparing: {name}")
            self.before[name] = self.folder / "before" / name
            copied(self.home, self.before[name])
            if name == "report":
                self.second_run()
            self.seconds[name] = self.program.must(*command).seconds
        self.report = without_times(json.loads((self.home / "report.json").read_text()))
        self.program.must("predict", "--name", "first", str(self.data / "prediction"))
        judged = next((self.home / "runs/data/first/judged").iterdir())
        self.judged_scans = json.loads((judged / "inference.json").read_text())["scans"]
        shutil.rmtree(judged.parent)
        self.results = results(self.home)
        if digest_of_tree(self.data) != self.source:
            sys.exit("faults: the stages changed the source data")

    def second_run(self):
        """A run that differs by its seed, whose files belong to no other."""
        for command in (["train", *OTHER], ["evaluate", "--name", "other"], ["predict", "--name", "other"]):
            self.program.must(*command)

    def workspace(self, folder, before=None):
        """A copy of the finished workspace, or of that before a stage, and the program in it."""
        copied(self.before[before] if before else self.home, folder)
        return self.program.at(folder)


def copied(source, target):
    """Copies a folder. Names of logs and locks are of no run."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not source.exists():
        return target.mkdir()
    shutil.copytree(source, target, symlinks=True)


def without_times(value):
    """JSON without what differs from one run to the next."""
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if key not in TIMES}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value


def content(path):
    """A hash of what a result says."""
    if path.suffix == ".json":
        try:
            return hashlib.sha256(json.dumps(without_times(json.loads(path.read_text())), sort_keys=True).encode()).hexdigest()
        except ValueError:
            return "damaged"
    return digest(path)


# What a stage concludes, and others or people go by.
RESULTS = ("predictions-*.parquet", "predictions-*.csv", "predictions-*.json", "scans-*.csv", "evaluation.json", "assessment.json",
           "inference.json", "scan-model.json", "scan-rule.json", "grey-levels.json", "split.json", "explanations-*.json", "history.json",
           "audit.json", "leakage.json", "manifest.parquet", "shortcuts.json")


def results(home, below=("data_manifest", "runs")):
    """What every result below these folders of a workspace says, by its path."""
    home = pathlib.Path(home)
    files = [path for folder in below for pattern in RESULTS for path in (home / folder).rglob(pattern)]
    return {str(path.relative_to(home)): content(path) for path in files if "judged" not in path.parts}


def leftovers(home):
    """Files that a killed or failed writer left and nobody has swept."""
    return sorted(str(path.relative_to(home)) for path in pathlib.Path(home).rglob(".partial-*"))


def differing(found, expected):
    """Paths of results that are there and say something else."""
    return sorted(path for path in found if path in expected and found[path] != expected[path])


def machine():
    """This machine in words."""
    import os
    models = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    cores = len(os.sched_getaffinity(0))
    return f"{cores} {'core' if cores == 1 else 'cores'} of {models[0] if models else 'a processor'}, {memory / 1e6:.0f} GB of memory"


def commit(repo):
    """The commit of the sources, with + where they differ from it."""
    git = lambda *arguments: subprocess.run(["git", *arguments], cwd=repo, capture_output=True, text=True).stdout.strip()
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+" if git("status", "--porcelain", "--", "src", "Cargo.lock") else "")
