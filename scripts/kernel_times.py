#!/usr/bin/env python3
"""How long a reader waits for the kernel: from opening a notebook to the first result, for every later cell, and for help.

Three notebooks are opened one after the other; prints tables in Markdown. Run by `make kernel-times`.
"""
import pathlib, statistics, sys, tempfile, time

from jupyter_client import BlockingKernelClient

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


# What is completed by Tab, and asked about by Shift+Tab, at its end.
HELP = [("Tab", "run."), ("Tab", "RunConfig::"), ("Shift+Tab", "Experiment"), ("Shift+Tab", "run"), ("Shift+Tab", "RunConfig::default")]


def help_times(client):
    """Seconds for each answer, and how much it says."""
    for key, code in HELP:
        begun = time.monotonic()
        ask = client.complete if key == "Tab" else client.inspect
        content = ask(code, len(code), reply=True, timeout=60)["content"]
        said = f"{len(content['matches'])} names" if key == "Tab" else f"{len(content['data'].get('text/plain', ''))} characters"
        yield key, code, time.monotonic() - begun, said


def relay_milliseconds(client, rounds=200):
    """How long a message takes to evcxr and back: through the relay, and past it."""
    def taken(asked):
        times = []
        for _ in range(rounds):
            begun = time.monotonic()
            sent = asked.is_complete("1")
            while asked.get_shell_msg(timeout=10)["parent_header"]["msg_id"] != sent:
                pass
            times.append(1000 * (time.monotonic() - begun))
        return statistics.median(times)

    files = pathlib.Path(tempfile.gettempdir()).glob("evcxr-relay-*/connection.json")
    past = BlockingKernelClient(connection_file=str(max(files, key=lambda path: path.stat().st_mtime)))
    past.load_connection_file()
    past.start_channels(iopub=False, stdin=False, hb=False)
    found = taken(client), taken(past)
    past.stop_channels()
    return found


def one_notebook(cells):
    """Seconds until the kernel answers, until the first result, for each later cell; help and messages."""
    begun = time.monotonic()
    manager = nk.start(NOTEBOOKS)
    client = nk.ready(manager)
    up, times = time.monotonic() - begun, []
    for number, cell in enumerate(cells):
        started = time.monotonic()
        nk.execute(client, cell, timeout=1800)
        times.append(time.monotonic() - (begun if number == 0 else started))
    helped, messages = list(help_times(client)), relay_milliseconds(client)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    return up, times[0], times[1:], helped, messages


def main():
    print("| | kernel answers | first result | later cells: median | slowest |\n|---|---|---|---|---|")
    for round_number in range(3):
        up, first, later, helped, (relayed, past) = one_notebook(CELLS)
        print(f"| {round_number + 1} | {up:.1f} s | {first:.1f} s | {statistics.median(later):.1f} s | {max(later):.1f} s |", flush=True)

    print("\n| key | after | answer in | says |\n|---|---|---|---|")
    for key, code, seconds, said in helped:
        print(f"| {key} | `{code}` | {seconds:.2f} s | {said} |")
    print(f"\nA message to evcxr and back: {relayed:.1f} ms through the relay, {past:.1f} ms past it.")


if __name__ == "__main__":
    main()
