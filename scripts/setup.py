#!/usr/bin/env python3
"""Sets everything up: Python packages, the notebooks' kernel, the library and the command line. What is up to date is skipped.

  setup.py [--demo DIR] [--mpi]    with DIR: while the kernel is compiled, computes there what the notebooks will show;
                                   with --mpi: the command line can also be started by mpirun and srun

Everything is stored in a folder of the user (COVID_CT_CACHE, else ~/.cache/covid-ct) that all clones share; it can be deleted
at any time. Two things outside of it may be added: Rust's sources (`rustup component add rust-src`) and, with apt-get, the
system package nasm (for --mpi also Open MPI and libclang); COVID_CT_NO_APT=1 skips the latter. Versions: requirements.txt
(Python), Cargo.toml (Rust).
Needs only Python's standard library.
"""
import argparse, atexit, functools, hashlib, json, os, pathlib, shutil, subprocess, sys, time, tomllib

REPO = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("COVID_CT_CACHE") or pathlib.Path.home() / ".cache/covid-ct").resolve()
os.environ["COVID_CT_CACHE"] = str(CACHE)
import kernel  # reads COVID_CT_CACHE
import setup_mpi

CARGO = tomllib.loads((REPO / "Cargo.toml").read_text())["package"]
EVCXR = CARGO["metadata"]["covid-ct"]["evcxr_jupyter"]
# Each clone's own: its build folder and its kernels.
CLONE = kernel.CLONE


def fail(message):
    sys.exit(f"setup: {message}")


def say(message):
    print(f"setup: {message}", flush=True)


def run(command, **options):
    done = subprocess.run([str(part) for part in command], **options)
    if done.returncode:
        fail(f"`{' '.join(map(str, command))}` failed with code {done.returncode}")
    return done


def start(command, **options):
    """Starts a process in the background, which ends with this one."""
    process = subprocess.Popen([str(part) for part in command], **options)
    atexit.register(process.terminate)
    return process


def check_tools():
    """Checks what is needed; each message names the command that installs what is missing."""
    # Newer ones have no torch 2.11.0 yet.
    if not (3, 11) <= sys.version_info[:2] <= (3, 14):
        fail(f"Python 3.11 to 3.14 is needed, this is {sys.version.split()[0]}: install one, then `make PYTHON=python3.12 …`")
    home = pathlib.Path(os.environ.get("CARGO_HOME") or pathlib.Path.home() / ".cargo") / "bin"
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", "/usr/bin:/bin"), str(home)])
    if not shutil.which("cargo") or not shutil.which("rustup"):
        fail("Rust is missing: install it with rustup (https://rustup.rs), then open a new shell")
    said = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.split()
    if len(said) < 2:
        fail("rustup is there but no Rust: run `rustup toolchain install stable`")
    found = said[1]
    if tuple(map(int, found.split("-")[0].split(".")[:2])) < tuple(map(int, CARGO["rust-version"].split("."))):
        fail(f"Rust {CARGO['rust-version']} or newer is needed, this is {found}: run `rustup update stable`")
    if not shutil.which("c++"):
        fail("a C++ compiler is missing: on Debian or Ubuntu run `sudo apt-get install g++`")
    sources = pathlib.Path(output("rustc", "--print", "sysroot")) / "lib/rustlib/src/rust/library"
    if not sources.is_dir():
        say("adding Rust's sources with `rustup component add rust-src` (the kernel reads types from them)")
        run(["rustup", "component", "add", "rust-src"])
    # Optional: without nasm everything works, only slower.
    if not shutil.which("nasm"):
        install_system("nasm")
    if not shutil.which("nasm"):
        say("nasm is missing, so JPEG files are decoded without SIMD, at half the speed: on Debian or Ubuntu run "
            "`sudo apt-get install nasm`")


def install_system(*packages):
    """Installs system packages, where that is possible without a question."""
    root = ["sudo", "-n"] if os.geteuid() and shutil.which("sudo") else []
    if os.environ.get("COVID_CT_NO_APT") == "1" or not shutil.which("apt-get") or (os.geteuid() and not root):
        return
    install = [*root, "apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    say(f"installing system packages with `apt-get update` and `{' '.join(install)}` (COVID_CT_NO_APT=1 skips this)")
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run([*root, "apt-get", "update", "-q"], **quiet)
    subprocess.run(install, **quiet)


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def venv_python():
    """The Python with torch: that of the conda environment covid-ct if it is active, else of a venv in the cache."""
    if os.environ.get("CONDA_DEFAULT_ENV") == "covid-ct":
        return pathlib.Path(os.environ["CONDA_PREFIX"]) / "bin/python"
    return CACHE / "venv/bin/python"


# The packages that compiling needs: libtorch itself, without the CUDA libraries it depends on, and CMake.
FOR_COMPILING = ("torch==", "cmake==")


def install_python():
    """If packages are missing, installs those that compiling needs and starts pip for the rest; returns a function that waits."""
    python, requirements = venv_python(), REPO / "requirements.txt"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    stamp = python.parent.parent / f".covid-ct-requirements-{wanted[:12]}"
    if stamp.is_file():
        return lambda: None
    ours = python.is_relative_to(CACHE)
    # An incomplete venv has a Python and no pip.
    if ours and (not python.exists() or subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode):
        shutil.rmtree(python.parent.parent, ignore_errors=True)
        if subprocess.run([sys.executable, "-m", "venv", python.parent.parent]).returncode:
            fail("Python's venv is missing: on Debian or Ubuntu run `sudo apt-get install python3-venv`")
    say("installing PyTorch and Jupyter (about 5 GB; minutes on a fast line)")
    # Python compiles files when they are first used, and most never are.
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    first = [line for line in requirements.read_text().split() if line.startswith(FOR_COMPILING)]
    run([*pip, "--no-deps", *first])
    rest = start([*pip, "-r", requirements])

    @functools.cache
    def finish():
        if rest.wait():
            fail("pip could not install requirements.txt; see its output above")
        for old in stamp.parent.glob(".covid-ct-requirements-*"):
            old.unlink()
        # Otherwise JupyterLab asks every new user whether to fetch news, in front of the notebook.
        overrides = stamp.parent / "share/jupyter/lab/settings/overrides.json"
        overrides.parent.mkdir(parents=True, exist_ok=True)
        overrides.write_text('{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}\n')
        stamp.touch()
        say("Python packages are installed")

    return finish


# Bytes of memory: polars alone takes 3.5 GB to compile, rust-analyzer 2.
ROOM_FOR_BOTH = 10e9


def install_evcxr(niceness):
    """Starts cargo if the kernel is missing; returns the program, and a function that waits."""
    program = CACHE / f"evcxr-{EVCXR}/bin/evcxr_jupyter"
    if program.is_file():
        return program, lambda: None
    say(f"building the Jupyter kernel evcxr {EVCXR} (minutes on two cores, in the background)")
    # No progress bar: another cargo may have one.
    environment = {**os.environ, "CARGO_TARGET_DIR": str(CACHE / "evcxr-build"), "CARGO_TERM_PROGRESS_WHEN": "never"}
    cargo = start(["nice", "-n", str(niceness), "cargo", "install", "evcxr_jupyter", "--locked", "--version", EVCXR,
                   "--root", program.parent.parent, "--config", REPO / "scripts/evcxr_build.toml"], env=environment, cwd=CACHE)

    @functools.cache
    def finish():
        if cargo.wait():
            fail(f"cargo could not build evcxr {EVCXR}; see its output above")
        shutil.rmtree(CACHE / "evcxr-build", ignore_errors=True)
        say("the kernel is built")

    return program, finish


def write_environment(python):
    """The environment of every build and every kernel, as a shell file and as a dictionary."""
    site = output(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    torch = pathlib.Path(site) / "torch"
    rust = output("rustc", "--print", "target-libdir")
    environment = {
        "COVID_CT_CACHE": str(CACHE),
        "COVID_CT_PYTHON": str(python),
        "LIBTORCH": str(torch),
        # For cells: they are loaded by evcxr and may call libtorch and Rust's own library directly.
        "LD_LIBRARY_PATH": f"{torch / 'lib'}:{rust}",
        "CARGO_TARGET_DIR": str(CLONE / "build/target"),
        # This clone's kernel first, also if another clone was set up later.
        "JUPYTER_PATH": str(CLONE / "jupyter"),
        "PATH": os.pathsep.join(dict.fromkeys([str(python.parent), *os.environ["PATH"].split(os.pathsep)])),
    }
    lines = [f"export {name}='{value}'\n" for name, value in environment.items()]
    CLONE.mkdir(parents=True, exist_ok=True)
    (CLONE / "env.sh").write_text("".join(lines))
    (CLONE / "repository").write_text(str(REPO))
    os.environ.update(environment)
    return environment


def forget_clones_that_are_gone():
    """Removes the compiled files (3 GB) of clones that were deleted or moved."""
    for named in (CACHE / "kernels").glob("*/repository"):
        clone = named.read_text()
        if not os.path.lexists(clone):
            say(f"removing the compiled files of {clone}, which no longer exists")
            shutil.rmtree(named.parent, ignore_errors=True)


def build(environment, finish_python):
    """The library and the command line, in the first kernel's folder (see kernel.py)."""
    compiling = [environment["COVID_CT_PYTHON"], REPO / "scripts/kernel.py", "--compile"]
    say("building the library and the command line (on two cores about 15 minutes the first time, 2 after a change)")
    run([*compiling, "covid-ct"])
    # Linking needs them all.
    finish_python()
    run(compiling)
    kernel.share()


def program(path, *lines):
    """Writes a small shell program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


def install_kernel(environment, evcxr):
    """Installs the kernelspec, for our own Jupyter and for any other of this user."""
    cargo_home = os.environ.get("CARGO_HOME") or str(pathlib.Path.home() / ".cargo")
    kept = ("COVID_CT_CACHE", "LIBTORCH", "LD_LIBRARY_PATH")
    spec = {
        "argv": [environment["COVID_CT_PYTHON"], str(REPO / "scripts/kernel.py"), "{connection_file}"],
        "display_name": "Rust (covid-ct)",
        "language": "rust",
        "interrupt_mode": "message",
        "env": {name: environment[name] for name in kept} | {
            "PATH": f"{CLONE / 'bin'}{os.pathsep}{environment['PATH']}",
            "COVID_CT_EVCXR": str(evcxr),
            "EVCXR_CONFIG_DIR": str(CLONE / "config"),
            # rust-analyzer asks the cargo of CARGO_HOME for the list of crates: ours, which answers with the few it
            # needs. Builds use the real CARGO_HOME.
            "CARGO_HOME": str(CLONE / "cargo-home"),
            "COVID_CT_CARGO": shutil.which("cargo"),
            "COVID_CT_CARGO_HOME": cargo_home,
        },
    }
    user = os.environ.get("JUPYTER_DATA_DIR") or pathlib.Path.home() / ".local/share/jupyter"
    for folder in (CLONE / "jupyter/kernels/covid-ct", pathlib.Path(user) / "kernels/covid-ct"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kernel.json").write_text(json.dumps(spec, indent=1) + "\n")
        shutil.copyfile(REPO / "scripts/kernel_logo.svg", folder / "logo-svg.svg")
    program(CLONE / "cargo-home/bin/cargo",
            f'exec "{environment["COVID_CT_PYTHON"]}" "{REPO}/scripts/kernel_cargo.py" "$@"')
    # evcxr asks rustup which cargo to call: this one.
    program(CLONE / "bin/cargo",
            f'exec sh "{REPO}/scripts/kernel_build.sh" "{REPO}" "{output("rustup", "which", "cargo")}" "$@"')
    program(CLONE / "bin/rustup",
            f'[ "$*" != "which cargo" ] || exec echo "{CLONE}/bin/cargo"',
            f'exec "{shutil.which("rustup")}" "$@"')
    settings = (REPO / "scripts/evcxr.toml").read_text().replace("@REPO@", str(REPO)).replace("@CARGO_HOME@", cargo_home)
    (CLONE / "config").mkdir(exist_ok=True)
    (CLONE / "config/evcxr.toml").write_text(settings)
    # Cells are compiled below this folder, with the flags of this clone. Cargo joins the flags of all folders above: with those
    # that an older version left one folder above, everything would be compiled a second time.
    shutil.rmtree(CACHE / "kernels/.cargo", ignore_errors=True)
    flags, ours = CLONE / ".cargo/config.toml", REPO / ".cargo/config.toml"
    if flags.is_file() and flags.read_bytes() != ours.read_bytes():
        # With other flags everything is compiled again, and the old files would stay.
        for slot in CLONE.glob("slot-*/"):
            shutil.rmtree(slot, ignore_errors=True)
    flags.parent.mkdir(exist_ok=True)
    shutil.copyfile(ours, flags)


def start_demo(out):
    """Starts to compute what the notebooks show; returns a function that waits.

    Where it fails the notebooks say why: they do what is not done."""
    environment = {**os.environ, "COVID_CT_WORKSPACE": str(out)}
    if data := environment.get("COVID_CT_DATA"):
        environment["COVID_CT_DATA"] = str(pathlib.Path(data).resolve())
    say("computing what the notebooks will show while the kernel is still compiled")
    out.mkdir(parents=True, exist_ok=True)
    demo = start([CLONE / "covid-ct", "demo"], env=environment)

    def finish():
        if demo.poll() is None:
            say("the kernel is there; waiting for what the notebooks will show")
        if demo.wait():
            say("that failed (see above); the notebooks do what is missing")

    return finish


def state():
    """A hash of everything that the library and the command line are made from."""
    # The library includes files of data_manifest and scripts/cloud.
    made_from = [*(REPO / "src").rglob("*.rs"), *(REPO / "src").rglob("*.cpp"), *(REPO / "scripts/notebook_crate").iterdir(), *REPO.glob("Cargo.*"),
                 *(REPO / "data_manifest").glob("*.json"), *(REPO / "scripts/cloud").glob("*.sh"),
                 *(REPO / name for name in ("build.rs", "requirements.txt", ".cargo/config.toml", "scripts/kernel.py",
                                            "scripts/program.toml"))]
    sources = b"".join(source.read_bytes() for source in sorted(made_from))
    return hashlib.sha256(sources + output("rustc", "-vV").encode()).hexdigest()


# The library takes longer than the kernel: it has priority, so that both end at about the same time.
BOTH_AT_ONCE = 3
# The library as soon as can be, for there is something to compute while the kernel is compiled.
LIBRARY_FIRST = 15


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--mpi", action="store_true")
    parser.add_argument("--share", action="store_true", help="only share what this clone has compiled with others")
    options = parser.parse_args()
    if options.share:
        return kernel.share()
    out = options.demo
    data = os.environ.get("COVID_CT_DATA")
    if out and data and not pathlib.Path(data).is_dir():
        fail(f"COVID_CT_DATA={data}: there is no such folder")
    if out and out.exists() and not out.is_dir():
        fail(f"{out}: expected a folder for results, found a file")
    begun = time.monotonic()
    CACHE.mkdir(parents=True, exist_ok=True)
    check_tools()
    if options.mpi:
        setup_mpi.check(install_system, fail)
    evcxr, finish_evcxr = install_evcxr(LIBRARY_FIRST if out else BOTH_AT_ONCE)
    finish_python = install_python()
    environment = write_environment(venv_python())
    forget_clones_that_are_gone()
    # One crate of the kernel keeps a core busy for minutes: the library is compiled meanwhile, if there is memory for both.
    if os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") < ROOM_FOR_BOTH:
        finish_evcxr()
    install_kernel(environment, evcxr)
    stamp, wanted = CLONE / "compiled", state()
    if not all(made.exists() for made in (stamp, CLONE / "slot-0", CLONE / "covid-ct")) or stamp.read_text() != wanted:
        build(environment, finish_python)
        stamp.write_text(wanted)
    finish_python()
    # Where the kernel was compiled before there is nothing to wait for: the notebooks compute by themselves.
    finish_demo = start_demo(out.resolve()) if out and not evcxr.is_file() else lambda: None
    finish_evcxr()
    finish_demo()
    with_mpi = CLONE / "covid-ct-mpi"
    if options.mpi and not setup_mpi.is_current(with_mpi, wanted):
        say("building the command line with MPI (minutes)")
        setup_mpi.build(with_mpi, wanted, run)
    link = REPO / "covid-ct"
    if link.is_symlink() or not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(with_mpi if setup_mpi.is_current(with_mpi, wanted) else CLONE / "covid-ct")
    say(f"ready after {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
