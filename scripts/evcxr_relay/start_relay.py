"""A relay between Jupyter and evcxr's kernel for Rust.

Starts evcxr on ports of its own and hands messages to and fro. What it changes is described in README.md.
"""
import json, os, pathlib, shutil, signal, subprocess, sys, tempfile

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


def is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # another user's
    return True


def own_folder():
    """A new folder for this relay, after those of relays that were killed are removed: Jupyter kills a kernel to restart it."""
    for left in pathlib.Path(tempfile.gettempdir()).glob("evcxr-relay-*-*"):
        owner = left.name.split("-")[2]
        if owner.isdigit() and not is_running(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    return pathlib.Path(tempfile.mkdtemp(prefix=f"evcxr-relay-{os.getpid()}-"))


def run(connection_file, program, before_start=None):
    """Relays until the kernel is shut down; `before_start` runs in evcxr's process before it starts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    front = json.loads(pathlib.Path(connection_file).read_text())
    folder = own_folder()
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

