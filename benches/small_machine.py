#!/usr/bin/env python3
"""One epoch over a slice cache larger than the memory, from a slow disk: bytes read, and time waited.

  small_machine.py [--slices 50000] [--memory-mb 1000] [--disk-mbs 60] [--folder DIR]

Needs root, control groups with memory and blkio (version 1), and a real disk under --folder. Draws a phantom, caches it
without limits, then reads one epoch of batches in a control group: in the order of a training, and in any order, as most
loaders do. Writes the table into docs/performance.md.
"""
import argparse, json, os, pathlib, subprocess, tempfile

from bench import into

REPO = pathlib.Path(__file__).resolve().parent.parent
GROUPS = pathlib.Path("/sys/fs/cgroup")
PROGRAM = str(REPO / "covid-ct")


def disk_of(folder):
    """Major and minor number of the whole disk below a folder."""
    device = os.stat(folder).st_dev
    path = pathlib.Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
    whole = path.parent if (path / "partition").exists() else path
    return (whole / "dev").read_text().strip()


class Group:
    """A control group for memory and disk, removed at the end."""

    def __init__(self, memory, disk, folder):
        self.paths = [GROUPS / kind / f"covid-ct-{os.getpid()}" for kind in ("memory", "blkio")]
        self.limits = [("memory.limit_in_bytes", str(memory)), ("blkio.throttle.read_bps_device", f"{disk_of(folder)} {disk}")]

    def __enter__(self):
        for path, (name, limit) in zip(self.paths, self.limits):
            path.mkdir()
            (path / name).write_text(limit)
        return self

    def enter(self):
        for path in self.paths:
            (path / "cgroup.procs").write_text(str(os.getpid()))

    def __exit__(self, *_):
        for path in self.paths:
            if path.is_dir():
                path.rmdir()


def epoch(environment, group, *options):
    subprocess.run(["sync"], check=True)
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
    done = subprocess.run([PROGRAM, "bench", "epoch", *options], env=environment, capture_output=True, text=True, preexec_fn=group.enter)
    if done.returncode:
        raise SystemExit(f"bench epoch {' '.join(options)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=50_000)
    parser.add_argument("--memory-mb", type=int, default=1000)
    parser.add_argument("--disk-mbs", type=int, default=60)
    parser.add_argument("--folder", help="folder for phantom and cache [default: a temporary folder]")
    parser.add_argument("--out", default=str(REPO / "docs/performance.md"))
    a = parser.parse_args()
    if os.geteuid() != 0 or not all((GROUPS / kind).is_dir() for kind in ("memory", "blkio")):
        raise SystemExit("small_machine: needs root and control groups (version 1) with memory and blkio")
    with tempfile.TemporaryDirectory(prefix="covid-ct-small-", dir=a.folder) as folder:
        home = pathlib.Path(folder)
        environment = {**os.environ, "COVID_CT_WORKSPACE": folder, "COVID_CT_DATA": str(home / "data")}
        scans = a.slices // 50
        print(f"small_machine: drawing and caching {a.slices:,} slices", flush=True)
        subprocess.run([PROGRAM, "phantom", str(home / "data"), "--size", "224", "--slices", "50", "--no-defects", "--train-scans",
                        str(scans * 2 // 5), "--val-scans", str(scans // 10), "--prediction-scans", "2"], check=True, stderr=subprocess.DEVNULL)
        subprocess.run([PROGRAM, "audit", "--cache"], env=environment, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        size = sum(f.stat().st_size for f in home.glob("cache/*/slices.bin")) / 1e6
        rows = []
        with Group(a.memory_mb * 10**6, a.disk_mbs * 10**6, folder) as group:
            for title, options in (("a training's order", []), ("any order, each batch asked for when it is wanted", ["--any-order"])):
                line = epoch(environment, group, *options)
                rows.append((title, line))
                print(f"small_machine: {title}: {line}", flush=True)
    lines = [f"A packed cache of {rows[0][1]['items']:,} slices ({size:,.0f} MB), {a.memory_mb:,} MB of memory, a disk that reads "
             f"{a.disk_mbs} MB/s (control groups), page cache empty at the start. One pass over the disk takes {size / a.disk_mbs:.0f} s.", "",
             "| order | slices | read from disk, MB | times the cache | seconds | of these waited | slices/s |", "|---|---|---|---|---|---|---|"]
    for title, line in rows:
        lines.append(f"| {title} | {line['items']:,} | {line['read_mb']:,.0f} | {line['read_mb'] / size:.2f} | {line['seconds']:.0f} | "
                     f"{line['waited']:.0f} | {line['items'] / line['seconds']:,.0f} |")
    print(into(pathlib.Path(a.out), "small machine", "\n".join(lines)))


if __name__ == "__main__":
    main()
