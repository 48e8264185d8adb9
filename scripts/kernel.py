#!/usr/bin/env python3
"""Starts evcxr in a build folder of its own that is already warm.

  kernel.py CONNECTION_FILE    a kernel, for Jupyter
  kernel.py --compile          compiles what every cell is linked with, as evcxr would, and needs no evcxr for it

evcxr compiles each cell as a crate; two kernels must never share the folder they compile in, and a folder made anew
would compile polars and tch for minutes. So there are slots: a kernel takes the first free one, and makes another where
none is free. A slot begins as hard links to what `cargo build` has compiled (same flags, same profile: see
.cargo/config.toml) and keeps what it learns. The lock on a slot ends with the kernel, however it ends.
"""
import ctypes, fcntl, hashlib, os, pathlib, shutil, signal, sys

REPO = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ["COVID_CT_CACHE"])
CLONE = CACHE / "kernels" / hashlib.sha256(str(REPO).encode()).hexdigest()[:12]
# Written once by the compiler and then replaced, never changed: safe to share between folders.
IMMUTABLE = {".rlib", ".rmeta", ".so", ".a", ".o"}
# Names the folder it was made in, and CMake refuses to work in another.
CMAKE = {"CMakeCache.txt"}


def copy(source, target):
    """Copies a file with its times; shares what is never written again."""
    if pathlib.Path(source).suffix in IMMUTABLE:
        try:
            os.link(source, target)
            return
        except OSError:
            pass  # another file system
    shutil.copy2(source, target)


def dependencies_only(folder, names):
    """Leaves out what belongs to the clone that built it, and programs."""
    if pathlib.Path(folder).name not in ("deps", "build", ".fingerprint"):
        return set()
    return {n for n in names if n.startswith(("covid_ct", "libcovid_ct", "covid-ct", "main-"))}


def fill(slot, source, ignore):
    """A new slot from another target folder: what is compiled, and the stamps that say so."""
    partial = slot.with_name(slot.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    host = next((p.parent.name for p in source.glob("*/debug") if p.parent.name.count("-") >= 2), None)
    for part in [f"{host}/debug", "debug"] if host else []:
        for kind in ("deps", "build", ".fingerprint"):
            if (source / part / kind).is_dir():
                shutil.copytree(source / part / kind, partial / "target" / part / kind, copy_function=copy,
                                ignore=lambda folder, names: (ignore(folder, names) if ignore else set()) | CMAKE & set(names))
    partial.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(slot, ignore_errors=True)
    partial.rename(slot)


def prepare(slot, number):
    """Fills a slot that is not there, or that was filled from a library that has changed since."""
    first, warm = CLONE / "slot-0", CLONE / "warm"
    state = warm.read_text() if warm.is_file() else ""
    filled = slot / "filled"
    if number == 0 or not first.is_dir() or not state:
        if not slot.is_dir():
            fill(slot, CLONE / "build/target", dependencies_only)
    elif not filled.is_file() or filled.read_text() != state:
        # The first slot is warm: library included, and nothing of it is written while it is used.
        fill(slot, first / "target", None)
        filled.write_text(state)
    # evcxr's crate would otherwise take the newest versions of the day, and compile them.
    wanted, given = (REPO / "Cargo.lock").read_bytes(), slot / "given.lock"
    if not given.is_file() or given.read_bytes() != wanted:
        (slot / "Cargo.lock").write_bytes(wanted)
        given.write_bytes(wanted)
    for folder in ("debug", "debug/deps"):
        for old in slot.glob(f"target/*/{folder}/libcode_*.so"):
            old.unlink()


def take():
    """The first free slot, locked; the lock is inherited by the kernel."""
    CLONE.mkdir(parents=True, exist_ok=True)
    number = 0
    while True:
        slot = CLONE / f"slot-{number}"
        lock = os.open(CLONE / f"slot-{number}.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            number += 1
            continue
        os.set_inheritable(lock, True)
        prepare(slot, number)
        return slot


def end_with_parent():
    """A Jupyter that is killed leaves no kernel behind, holding its memory and its slot."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def compile_library(slot):
    """Becomes cargo, at the library in this slot. A cell that needs other settings would compile it once more: set-up looks."""
    (slot / "src").mkdir(exist_ok=True)
    (slot / "src/lib.rs").touch()
    (slot / "Cargo.toml").write_text((REPO / "scripts/evcxr_cell.toml").read_text().replace("@REPO@", str(REPO)))
    # Target and flags: from the folder above, where set-up has put them for all cells.
    os.environ["CARGO_TARGET_DIR"] = str(slot / "target")
    os.chdir(slot)
    os.execvp("cargo", ["cargo", "build", "--package", "covid-ct-notebook"])


if __name__ == "__main__":
    end_with_parent()
    # What a cargo around this one, such as `cargo test`, has set for its own crate: build scripts would take it for a change,
    # and ring, rustls and the library be compiled anew.
    for name in [name for name in os.environ if name.startswith(("CARGO_PKG_", "CARGO_MANIFEST_")) or name == "OUT_DIR"]:
        del os.environ[name]
    slot = take()
    if sys.argv[1] == "--compile":
        compile_library(slot)
    os.environ["EVCXR_TMPDIR"] = str(slot)
    # Where cells find the library, from wherever they are loaded.
    folders = [str(path) for path in slot.glob("target/*/debug/deps")]
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join([*folders, os.environ["LD_LIBRARY_PATH"]])
    program = os.environ["COVID_CT_EVCXR"]
    os.execv(program, [program, "--control_file", sys.argv[1]])
