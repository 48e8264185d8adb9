#!/usr/bin/env python3
"""Runs the tests of some targets, with each one's time, and lists at the end which took longest.

  run_tests.py CARGO_OPTION…     such as: run_tests.py --lib --bins

OMP_NUM_THREADS and other variables are passed on. Ends with code 1 if a test failed.
"""
import json, os, re, subprocess, sys

SLOWEST = 15
# A line of a test that has ended, as Rust's test programs print it.
ENDED = re.compile(r"^test (.+?)(?: - should panic)? \.\.\. (ok|FAILED|ignored)(?:, .*)?(?: <([0-9.]+)s>)?$")


def programs(options):
    """Compiles; returns (target's name, program) of each."""
    command = ["cargo", "test", "--locked", "--no-run", "--message-format", "json-render-diagnostics", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    found = []
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            found.append((message["target"]["name"], message["executable"]))
    if not found:
        sys.exit(f"run_tests.py: no test program for {' '.join(options)}")
    return found


def run(name, program):
    """Runs one program; returns its exit code, and (seconds, test) of each test."""
    # Times are an unstable option of test programs. For a compiler that a test starts the variable would mean another
    # compiler: kernel.py removes it.
    environment = {**os.environ, "RUSTC_BOOTSTRAP": "1"}
    print(f"Running {name}", flush=True)
    with subprocess.Popen([program, "-Zunstable-options", "--report-time"], env=environment, stdout=subprocess.PIPE,
                          text=True, errors="replace") as tests:
        times = []
        for line in tests.stdout:
            print(line, end="", flush=True)
            ended = ENDED.match(line.rstrip())
            if ended and ended[3]:
                times.append((float(ended[3]), ended[1]))
    return tests.returncode, times


def main():
    found = [run(*program) for program in programs(sys.argv[1:])]
    times = sorted((time for _, of in found for time in of), reverse=True)
    whole = sum(seconds for seconds, _ in times)
    print(f"The longest of {len(times)} tests, which took {whole:.0f} s one after the other:")
    for seconds, name in times[:SLOWEST]:
        print(f"{seconds:8.1f} s  {name}")
    sys.exit(max(code != 0 for code, _ in found))


if __name__ == "__main__":
    main()
