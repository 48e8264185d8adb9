#!/usr/bin/env python3
"""How long a reader waits for the kernel: from opening a notebook to the first result, and for every later cell.

Three notebooks are opened one after the other; prints a table in Markdown. Run by `make kernel-times`.
"""
import pathlib, statistics, sys, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import notebook_kernel as nk

NOTEBOOKS = pathlib.Path(__file__).resolve().parent.parent / "notebooks"
# What a reader does: a value, library calls, libtorch and polars directly, a function of their own.
CELLS = [
    "let work = Workspace::open()?; work",
    "let run = RunConfig::default();",
    "run",
    "let x = tch::Tensor::from_slice(&[1.0_f32, 2.0, 3.0]);",
    "(&x * 2.0).print();",
    'let frame = polars::df!("scan" => ["ct_scan_0", "ct_scan_1"], "slices" => [224_i64, 210])?;',
    "frame",
    "fn doubled(n: usize) -> usize { 2 * n }",
    "doubled(21)",
    "ConfusionMatrix::from_labels(&Label::NAMES, &[0, 1, 1], &[0, 1, 0])?",
]


def one_notebook(cells):
    """Seconds until the kernel answers, until the first result, and for each later cell."""
    begun = time.monotonic()
    manager = nk.start(NOTEBOOKS)
    client = nk.ready(manager)
    up, times = time.monotonic() - begun, []
    for number, cell in enumerate(cells):
        started = time.monotonic()
        nk.execute(client, cell, timeout=1800)
        times.append(time.monotonic() - (begun if number == 0 else started))
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    return up, times[0], times[1:]


def main():
    print("| | kernel answers | first result | later cells: median | slowest |\n|---|---|---|---|---|")
    for round_number in range(3):
        up, first, later = one_notebook(CELLS)
        print(f"| {round_number + 1} | {up:.1f} s | {first:.1f} s | {statistics.median(later):.1f} s | {max(later):.1f} s |", flush=True)


if __name__ == "__main__":
    main()
