#!/usr/bin/env python3
"""Starts evcxr in a build folder of its own that is already warm.

  kernel.py CONNECTION_FILE       a kernel, for Jupyter
  kernel.py --compile             compiles what every cell is linked with, as evcxr would, and the command line
  kernel.py --compile PACKAGE     this package and what is below it alone

evcxr compiles each cell as a crate; two kernels must never share the folder they compile in, and a folder made anew
would compile polars and tch for minutes. So there are slots: a kernel takes the first free one, and makes another where
none is free. A slot begins as hard links to what another has compiled (same flags, same profile: see .cargo/config.toml)
and keeps what it learns. The lock on a slot ends with the kernel, however it ends.
"""
import contextlib, ctypes, fcntl, hashlib, os, pathlib, shutil, signal, subprocess, sys, tomllib

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


@contextlib.contextmanager
def dependencies():
    """The folder of what clones share: other people's crates, compiled. Locked as long as it is used."""
    with open(CACHE / "dependencies.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield CACHE / "dependencies"


def is_ours(name):
    """Whether a compiled file belongs to the clone that compiled it: the library, programs, cells."""
    return name.startswith(("covid_ct", "libcovid_ct", "covid-ct", "main-", "ctx-", "libctx"))


def ours(folder, names):
    """What clones must not share. Names further down are those of other people."""
    return {name for name in names if is_ours(name)} if folder.endswith(("/deps", "/build", "/.fingerprint")) else set()


def programs(folder, names):
    """What no kernel needs."""
    return {name for name in names if name.startswith("covid_ct-") and "." not in name} if folder.endswith("/deps") else set()


def fill(slot, source, ignore):
    """A new slot from another target folder: what is compiled, and the stamps that say so, without what `ignore` names."""
    partial = slot.with_name(slot.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    host = next((p.parent.name for p in source.glob("*/debug") if p.parent.name.count("-") >= 2), None)
    for part in [f"{host}/debug", "debug"] if host else []:
        for kind in ("deps", "build", ".fingerprint"):
            if (source / part / kind).is_dir():
                shutil.copytree(source / part / kind, partial / "target" / part / kind, copy_function=copy,
                                ignore=lambda folder, names: ignore(folder, names) | CMAKE & set(names))
    partial.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(slot, ignore_errors=True)
    partial.rename(slot)


def prepare(slot, number):
    """Fills a slot that is not there, or that was filled from a library that has changed since."""
    first, compiled = CLONE / "slot-0", CLONE / "compiled"
    state = compiled.read_text() if compiled.is_file() else ""
    filled = slot / "filled"
    if number == 0 or not first.is_dir() or not state:
        if not slot.is_dir():
            with dependencies() as shared:
                fill(slot, shared / "target", ours)
    elif not filled.is_file() or filled.read_text() != state:
        # The first slot is complete: library included, and nothing of it is written while it is used.
        fill(slot, first / "target", programs)
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


def compile_in(slot, package):
    """The library and the command line, which becomes CLONE/covid-ct, or one package and what is below it; cargo's exit code.
    A cell that needs other settings would compile the library once more (tests/notebooks.rs looks)."""
    folder = slot / "program"
    folder.mkdir(exist_ok=True)
    version = tomllib.loads((REPO / "Cargo.toml").read_text())["package"]["version"]
    manifest = (REPO / "scripts/program.toml").read_text().replace("@REPO@", str(REPO)).replace("@VERSION@", version)
    (folder / "Cargo.toml").write_text(manifest)
    shutil.copyfile(REPO / "Cargo.lock", folder / "Cargo.lock")
    # So that the program finds its libraries from whatever shell.
    libraries = [f"-Clink-arg=-Wl,-rpath={path}" for path in os.environ["LD_LIBRARY_PATH"].split(os.pathsep)]
    command = ["cargo", "build", "--package", package] if package else ["cargo", "rustc", "--", *libraries]
    # Target and flags: from the folder above, where set-up has put them for all cells.
    environment = {**os.environ, "CARGO_TARGET_DIR": str(slot / "target")}
    done = subprocess.run(command, cwd=folder, env=environment, preexec_fn=end_with_parent)
    if done.returncode == 0 and not package:
        made, = slot.glob("target/*-*-*/debug/covid-ct")
        # As a new file: the old one may be running.
        shutil.copy2(made, CLONE / "covid-ct.new")
        os.replace(CLONE / "covid-ct.new", CLONE / "covid-ct")
    return done.returncode


if __name__ == "__main__":
    end_with_parent()
    # What a cargo around this one, such as `cargo test`, has set for its own crate: build scripts would take it for a change,
    # and ring, rustls and the library be compiled anew.
    for name in [name for name in os.environ if name.startswith(("CARGO_PKG_", "CARGO_MANIFEST_")) or name == "OUT_DIR"]:
        del os.environ[name]
    slot = take()
    if sys.argv[1] == "--compile":
        sys.exit(compile_in(slot, sys.argv[2] if sys.argv[2:] else None))
    os.environ["EVCXR_TMPDIR"] = str(slot)
    # Where cells find the library, from wherever they are loaded.
    folders = [str(path) for path in slot.glob("target/*/debug/deps")]
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join([*folders, os.environ["LD_LIBRARY_PATH"]])
    program = os.environ["COVID_CT_EVCXR"]
    os.execv(program, [program, "--control_file", sys.argv[1]])
