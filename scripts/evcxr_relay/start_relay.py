"""A relay between Jupyter and evcxr's kernel for Rust.

Starts evcxr on ports of its own and hands messages to and fro. What it changes is described in README.md.
"""
import json, os, pathlib, shutil, signal, subprocess, tempfile

from relay import Relay, ports

HERE = pathlib.Path(__file__).resolve().parent


def environment(folder):
    """evcxr's environment: cargo calls mark_cell.sh for every cell, and cells know where to write how they ended."""
    return {
        **os.environ,
        "EVCXR_RELAY": str(folder / "events"),
        "EVCXR_RELAY_INTERRUPT": str(folder / "interrupt"),
        "EVCXR_RELAY_MARKS": str(HERE / "marks.rs"),
        "RUSTC_WORKSPACE_WRAPPER": str(HERE / "mark_cell.sh"),
    }


def run(connection_file, program, before_start=None):
    """Relays until the kernel is shut down; `before_start` runs in evcxr's process before it starts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    front = json.loads(pathlib.Path(connection_file).read_text())
    folder = pathlib.Path(tempfile.mkdtemp(prefix="evcxr-relay-"))
    try:
        back = {**front, **ports(front["ip"])}
        path = folder / "connection.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(back))
        kernel = subprocess.Popen([program, "--control_file", str(path)], env=environment(folder),
                                  preexec_fn=before_start, close_fds=False)
        try:
            Relay(front, back, folder, kernel).run()
        finally:
            kernel.kill()
            kernel.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)

