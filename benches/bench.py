#!/usr/bin/env python3
"""Ours beside the same work in Python: in turns, on the same files, with the same libtorch and the same threads.

  bench.py [--rounds 5] [--only NAME] [--data DIR] [--out docs/performance.md]

Draws a phantom of 5,000 slices or more (JPEG, quality 95) unless --data names a data set. What both compute must be equal
before anything is timed. Run it by `make bench`, which sets up what it needs.
"""
import argparse, json, os, pathlib, platform, statistics, subprocess, sys, tempfile, time

REPO = pathlib.Path(__file__).resolve().parent.parent
OURS, PEERS = [str(REPO / "covid-ct"), "bench"], [sys.executable, str(REPO / "benches/peers.py")]

# name, ours, [(peer, its arguments, asked-for ratio)], threads
ROWS = [
    ("audit", "audit", ["audit", "DATA"], [("Pillow, multiprocessing", ["audit", "DATA"], 2.5)], 2),
    ("audit, beside cleanvision", "audit", ["audit", "DATA"], [("cleanvision", ["cleanvision", "DATA"], 15)], 2),
    ("decode and resize to 224×224", "cache", ["cache", "DATA"],
     [("torchvision as written", ["decode", "DATA"], 2.7), ("torchvision tuned", ["decode-tuned", "DATA"], 1.3)], 1),
    ("audit and cache in one pass", "one-pass", ["audit-and-cache", "DATA"],
     [("Pillow audit, then torchvision as written", [["audit", "DATA"], ["decode", "DATA"]], 4)], 2),
    ("reading shuffled batches, cache raw", "read", ["read", "DATA", "--storage", "raw"],
     [("DataLoader over JPEG", ["read", "DATA"], 50)], 2),
    ("reading shuffled batches, cache packed", "read-packed", ["read", "DATA"], [("DataLoader over JPEG", ["read", "DATA"], 25)], 2),
    ("the same, three channels written out", "read-three", ["read", "DATA", "--three-channels"],
     [("DataLoader over JPEG", ["read", "DATA"], 25)], 2),
    ("FCN step, f32, batch 32", "step", ["step"],
     [("PyTorch as written", ["step"], 1.45), ("PyTorch tuned", ["step", "--tuned"], 1.0)], 2),
    ("FCN step, bf16, batch 32", "step-bf16", ["step", "--precision", "bf16"], [("PyTorch f32 as written", ["step"], 3.0)], 2),
    ("five epochs of a frozen network", "heads", ["heads", "HEADS"],
     [("forwarding every epoch", ["heads", "HEADS"], 4.9)], 2),
    ("five epochs of a frozen network, bf16", "heads-bf16", ["heads", "HEADS", "--precision", "bf16"],
     [("forwarding every epoch, f32", ["heads", "HEADS"], 15)], 2),
]


def once(command, threads, environment):
    """Runs a command on `threads` processors and returns its JSON line."""
    processors = sorted(os.sched_getaffinity(0))[-threads:]
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "BENCH_THREADS")}
    done = subprocess.run(["taskset", "-c", ",".join(map(str, processors)), *command], capture_output=True, text=True,
                          env={**os.environ, **environment, **limits})
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def added(lines):
    total = dict(lines[-1])
    for key in ("seconds", "cpu_seconds"):
        total[key] = sum(line[key] for line in lines)
    total["peak_mb"] = max(line["peak_mb"] for line in lines)
    return total


def check_equal(data, environment):
    """What is timed must give the same."""
    ours, theirs = once([*OURS, "audit", data], 2, environment), once([*PEERS, "audit", data], 2, environment)
    flags = theirs["flags"]
    expected = {key: flags.get(key, 0) for key in ("black", "junk", "unreadable")}
    found = {key: ours[key] for key in expected}
    assert found == expected, f"audit: ours found {found}, Pillow {expected}"
    cached = once([*OURS, "cache", data, "--list", environment["BENCH_FILES"]], 1, environment)
    tuned = once([*PEERS, "decode-tuned", data], 1, environment)
    same = cached["digest"] == tuned["digest"]
    one_pass = once([*OURS, "audit-and-cache", data], 2, environment)
    assert one_pass["digest"] == cached["digest"], "the cache of one pass differs from that of two"
    return f"Equal before timing: black, junk and unreadable files {expected}; the 224×224 bytes of {cached['items']} slices " + (
        "are torchvision's, byte for byte." if same else "differ from torchvision's by rounding (tests/cache.rs bounds it).")


def measure(rows, rounds, data, heads, environment):
    results = []
    for title, _, ours, peers, threads in rows:
        fill = lambda arguments: [{"DATA": data, "HEADS": heads}.get(a, a) for a in arguments]
        run_ours = lambda: once([*OURS, *fill(ours)], threads, environment)
        runs = {"covid-ct": [run_ours]}
        for name, arguments, _ in peers:
            parts = arguments if isinstance(arguments[0], list) else [arguments]
            runs[name] = [lambda part=part: once([*PEERS, *fill(part)], threads, environment) for part in parts]
        taken = {name: [] for name in runs}
        few = rounds if "heads" not in ours else min(rounds, 3)
        for number in range(few):
            for name, parts in runs.items():
                taken[name].append(added([part() for part in parts]))
            print(f"bench: {title}, round {number + 1}/{few}: " + ", ".join(f"{n} {t[-1]['seconds']:.2f} s" for n, t in taken.items()), flush=True)
        results.append((title, taken, {name: ratio for name, _, ratio in peers}, threads))
    return results


def table(results):
    lines = ["| work | who | seconds, median (min to max) | CPU seconds | items/s | peak MB | ratio | asked |",
             "|---|---|---|---|---|---|---|---|"]
    for title, taken, asked, threads in results:
        per = {name: [t["seconds"] / t["items"] for t in of] for name, of in taken.items()}
        base = statistics.median(per["covid-ct"])
        for name, of in taken.items():
            seconds = [t["seconds"] for t in of]
            middle = statistics.median(per[name])
            ratio = "" if name == "covid-ct" else f"**{middle / base:.2f}**"
            lines.append(f"| {title if name == 'covid-ct' else ''} | {name} | {statistics.median(seconds):.2f} ({min(seconds):.2f} to "
                         f"{max(seconds):.2f}) | {statistics.median(t['cpu_seconds'] for t in of):.2f} | {1 / middle:,.0f} | "
                         f"{max(t['peak_mb'] for t in of):,} | {ratio} | {asked.get(name, '')} |")
    return "\n".join(lines)


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = next((l.split(":", 1)[1].strip() for l in text.splitlines() if l.startswith("model name")), platform.processor())
    import torch

    return f"{model}, {len(os.sched_getaffinity(0))} processors, torch {torch.__version__}, {time.strftime('%B %Y')}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", help="the second column of ROWS, such as audit or step")
    parser.add_argument("--data", help="a data set instead of the phantom")
    parser.add_argument("--out", default=str(REPO / "docs/performance.md"))
    a = parser.parse_args()
    rows = [row for row in ROWS if not a.only or row[1] in a.only]
    with tempfile.TemporaryDirectory(prefix="covid-ct-bench-") as folder:
        data, heads = a.data or f"{folder}/phantom", f"{folder}/heads"
        draw = lambda to, *options: subprocess.run([OURS[0], "phantom", to, "--quality", "95", *options], check=True, capture_output=True)
        if not a.data:
            print("bench: drawing 5,000 slices", flush=True)
            draw(data, "--train-scans", "50", "--val-scans", "20", "--prediction-scans", "10", "--slices", "34")
        draw(heads, "--train-scans", "8", "--val-scans", "3", "--prediction-scans", "1", "--slices", "8", "--no-defects")
        environment = {"BENCH_FILES": f"{folder}/files.txt", "COVID_CT_WORKSPACE": folder}
        equal = check_equal(data, environment)
        heads_list = f"{folder}/heads.txt"
        once([*OURS, "cache", heads, "--list", heads_list], 1, environment)
        split = [row for row in rows if "HEADS" in row[2]]
        results = measure([row for row in rows if row not in split], a.rounds, data, heads, environment)
        results += measure(split, a.rounds, data, heads, {**environment, "BENCH_FILES": heads_list})
        page = pathlib.Path(a.out)
        begin, end = "<!-- bench: begin -->", "<!-- bench: end -->"
        block = f"{begin}\n{machine()}. {equal}\n\n{table(results)}\n{end}"
        text = page.read_text() if page.is_file() else f"# Performance\n\n{begin}\n{end}\n"
        head, rest = text.split(begin, 1)
        page.write_text(head + block + rest.split(end, 1)[1])
        print(block)


if __name__ == "__main__":
    main()
