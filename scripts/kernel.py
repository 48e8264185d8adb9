#!/usr/bin/env python3
"""Starts evcxr in a build folder of its own that is already warm.

  kernel.py CONNECTION_FILE       a kernel, for Jupyter
  kernel.py --compile             compiles the library that cells are linked with, as evcxr would, and the command line
  kernel.py --compile PACKAGE     compiles only this package and its dependencies

evcxr compiles each cell as a crate. Two kernels must never compile in the same folder, and a new folder would compile polars
and tch for minutes. So there are slots: a kernel takes the first free one, and makes another if none is free. A new slot
consists of hard links to what another has compiled (same flags, same profile: see .cargo/config.toml). The lock on a slot
is released when the kernel ends, however it ends.
"""
import contextlib, ctypes, fcntl, hashlib, os, pathlib, shutil, signal, subprocess, sys, tomllib

REPO = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ["COVID_CT_CACHE"])
CLONE = CACHE / "kernels" / hashlib.sha256(str(REPO).encode()).hexdigest()[:12]
# Written once by the compiler and then replaced, never changed: safe to share between folders.
IMMUTABLE = {".rlib", ".rmeta", ".so", ".a", ".o"}
# Contains the path of its folder, and CMake refuses to work in another.
CMAKE = {"CMakeCache.txt"}


def copy(source, target):
    """Copies a file with its times; immutable files are hard links."""
    if pathlib.Path(source).suffix in IMMUTABLE:
        try:
            os.link(source, target)
            return
        except OSError:
            pass  # another file system
    shutil.copy2(source, target)


@contextlib.contextmanager
def dependencies():
    """The folder that clones share: compiled third-party crates. Locked while it is used."""
    with open(CACHE / "dependencies.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield CACHE / "dependencies"


def is_ours(name):
    """Whether a compiled file belongs to the clone that compiled it: the library, programs, cells."""
    return name.startswith(("covid_ct", "libcovid_ct", "covid-ct", "main-", "ctx-", "libctx"))


def ours(folder, names):
    """Names in a folder that clones must not share; those in deeper folders belong to third-party crates."""
    return {name for name in names if is_ours(name)} if folder.endswith(("/deps", "/build", "/.fingerprint")) else set()


def programs(folder, names):
    """Files that no kernel needs."""
    return {name for name in names if name.startswith("covid_ct-") and "." not in name} if folder.endswith("/deps") else set()


def fill(slot, source, ignore):
    """Makes a slot from another target folder: compiled files and cargo's fingerprints, without the names in `ignore`."""
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
    """Fills a slot that does not exist, or that was filled from a library that has changed since."""
    first, compiled = CLONE / "slot-0", CLONE / "compiled"
    state = compiled.read_text() if compiled.is_file() else ""
    filled = slot / "filled"
    if number == 0 or not first.is_dir() or not state:
        if not slot.is_dir():
            with dependencies() as shared:
                fill(slot, shared / "target", ours)
    elif not filled.is_file() or filled.read_text() != state:
        # The first slot is complete, library included, and none of these files is written while it is in use.
        fill(slot, first / "target", programs)
        filled.write_text(state)
    # Otherwise evcxr's crate would take the newest versions of all crates, and compile them.
    wanted, given = (REPO / "Cargo.lock").read_bytes(), slot / "given.lock"
    if not given.is_file() or given.read_bytes() != wanted:
        (slot / "Cargo.lock").write_bytes(wanted)
        given.write_bytes(wanted)
    for folder in ("debug", "debug/deps"):
        for old in slot.glob(f"target/*/{folder}/libcode_*.so"):
            old.unlink()


def share():
    """Shares the third-party crates that this clone has compiled with later clones, and with `cargo` here, as hard links.
    The folder itself is never shared: cargo distinguishes the crates of two clones only by the times of their files, and
    would run the program of one for the other."""
    def crates(folder):
        return {found.name for found in folder.glob("target/*/debug/.fingerprint/*") if not is_ours(found.name)}

    with dependencies() as shared:
        build, checked = CLONE / "build", CACHE / "checked"
        if not crates(CLONE / "slot-0") <= crates(shared):
            fill(shared, CLONE / "slot-0/target", ours)
        # With what `cargo clippy` and `cargo doc` need of all crates; kernels do not.
        if crates(build) > crates(shared) and not crates(build) <= crates(checked):
            fill(checked, build / "target", ours)
        if not crates(build) and crates(shared) <= crates(checked):
            fill(build, checked / "target", ours)
        elif not crates(shared) <= crates(build):
            fill(build, shared / "target", ours)


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
    """Ends this kernel when Jupyter is killed, so that it does not keep its memory and its slot."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def compile_in(slot, package):
    """The library and the command line, which becomes CLONE/covid-ct, or one package and what is below it; cargo's exit code.
    With settings other than those of cells the library would be compiled once more (tests/notebooks.rs checks it)."""
    folder = slot / "program"
    folder.mkdir(exist_ok=True)
    version = tomllib.loads((REPO / "Cargo.toml").read_text())["package"]["version"]
    manifest = (REPO / "scripts/program.toml").read_text().replace("@REPO@", str(REPO)).replace("@VERSION@", version)
    (folder / "Cargo.toml").write_text(manifest)
    shutil.copyfile(REPO / "Cargo.lock", folder / "Cargo.lock")
    # So that the program finds its libraries from any shell.
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
    # Variables that an outer cargo or a test program has set for its own crate: build scripts would take them for a change,
    # and ring, rustls and the library would be compiled again.
    theirs = ("OUT_DIR", "RUSTC_BOOTSTRAP")
    for name in [name for name in os.environ if name.startswith(("CARGO_PKG_", "CARGO_MANIFEST_")) or name in theirs]:
        del os.environ[name]
    slot = take()
    if sys.argv[1] == "--compile":
        sys.exit(compile_in(slot, sys.argv[2] if sys.argv[2:] else None))
    os.environ["EVCXR_TMPDIR"] = str(slot)
    # So that cells find the library.
    folders = [str(path) for path in slot.glob("target/*/debug/deps")]
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join([*folders, os.environ["LD_LIBRARY_PATH"]])
    sys.path.insert(0, str(REPO / "scripts/evcxr_relay"))
    import start_relay
    # The package that cells are linked with stands for the library (evcxr.toml).
    os.environ["EVCXR_RELAY_RENAME"] = "covid_ct_notebook=covid_ct"
    start_relay.run(sys.argv[1], os.environ["COVID_CT_EVCXR"], end_with_parent)
