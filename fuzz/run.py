#!/usr/bin/env python3
"""Builds the fuzz targets and runs each for a while, with the valid inputs in corpus/ as its beginning.

  python fuzz/run.py [--seconds 3600] [--jobs 2] [TARGET …]

Inputs that reach something new are added to work/, which is minimised at the end and from where the next run goes on. It is not
committed: damaged files may not be harmless to other programs. A crash is kept in artifacts/, and the exit code is then 1. Runs on
the stable compiler: fuzz/coverage.sh says how.
"""
import argparse, concurrent.futures, os, pathlib, re, shutil, subprocess, sys

HERE = pathlib.Path(__file__).resolve().parent
TARGETS = sorted(path.stem for path in (HERE / "fuzz_targets").glob("*.rs"))


def built():
    """The folder of the built targets."""
    environment = {**os.environ, "RUSTC_WRAPPER": str(HERE / "coverage.sh")}
    subprocess.run(["cargo", "build", "--locked"], cwd=HERE, env=environment, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE / "target"))
    return next(path.parent for path in target.glob(f"**/debug/{TARGETS[0]}") if path.is_file())


def run(programs, target, seconds):
    """One target: what it printed at its end."""
    corpus, work, artifacts = HERE / "corpus" / target, HERE / "work" / target, HERE / "artifacts" / target
    for folder in (corpus, work, artifacts):
        folder.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", "-max_len=65536", "-timeout=20", "-rss_limit_mb=4096", "-print_final_stats=1", f"-artifact_prefix={artifacts}/"]
    done = subprocess.run(["nice", "-n", "19", programs / target, *options, work, corpus], capture_output=True, text=True, errors="replace", cwd=HERE)
    return done.returncode, done.stderr


def minimised(programs, target):
    """Merges what was found into as few inputs as reach the same."""
    corpus, work, merged = HERE / "corpus" / target, HERE / "work" / target, HERE / "merged" / target
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir(parents=True)
    subprocess.run([programs / target, "-merge=1", "-max_len=65536", merged, work, corpus], capture_output=True, check=False)
    if any(merged.iterdir()):
        shutil.rmtree(work)
        merged.rename(work)


def said(text):
    """Executions, branches reached, inputs and peak memory, of libFuzzer's last lines."""
    last = re.findall(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)/(\S+)", text)
    number = lambda name: next(iter(re.findall(rf"stat::{name}:\s+(\d+)", text)), "?")
    cov, corp = (last[-1][1], last[-1][3]) if last else ("?", "?")
    return f"{number('number_of_executed_units')} executions, {cov} branches, {corp} inputs, {number('peak_rss_mb')} MB"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    unknown = set(args.targets) - set(TARGETS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    programs, failed = built(), False

    def one(target):
        code, text = run(programs, target, args.seconds)
        minimised(programs, target)
        return target, code, text

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for target, code, text in pool.map(one, args.targets or TARGETS):
            print(f"{target}: {args.seconds} s, {said(text)}{'' if code == 0 else f', ended with {code}'}", flush=True)
            if code:
                failed = True
                print("\n".join(text.splitlines()[-40:]), flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
