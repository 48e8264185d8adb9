"""The part of setup.py for MPI=1: a command line that mpirun and srun can start as several processes."""
import os, pathlib, shutil, subprocess

REPO = pathlib.Path(__file__).resolve().parent.parent
# Debian's names; libclang reads MPI's headers when the crate mpi-sys is compiled.
PACKAGES = ("libopenmpi-dev", "openmpi-bin", "libclang-dev")


def is_there():
    libraries = [*pathlib.Path("/usr/lib").glob("llvm-*/lib"), *pathlib.Path("/usr/lib").glob("*-linux-gnu"), pathlib.Path("/usr/lib64")]
    clang = [found for folder in libraries for pattern in ("libclang.so*", "libclang-[0-9]*.so*") for found in folder.glob(pattern)]
    return shutil.which("mpicc") and shutil.which("mpirun") and (clang or os.environ.get("LIBCLANG_PATH"))


def check(install_system, fail):
    """The MPI of the system or of a cluster's modules; only where there is none, Debian's."""
    if not is_there():
        install_system(*PACKAGES)
    if not is_there():
        fail(f"MPI=1 needs mpicc, mpirun and libclang: on Debian or Ubuntu run `sudo apt-get install {' '.join(PACKAGES)}`; on a "
             "cluster load its MPI (`module load openmpi`), and set LIBCLANG_PATH")


def state(wanted):
    """What a program is made from: the library's state, and which MPI."""
    mpicc = shutil.which("mpicc")
    shown = subprocess.run([mpicc, "-show"], capture_output=True, text=True).stdout if mpicc else ""
    return f"{wanted} {mpicc} {shown}"


def is_current(program, wanted):
    stamp = program.with_suffix(".made-from")
    return program.exists() and stamp.is_file() and stamp.read_text() == state(wanted)


def build(program, wanted, run):
    """The command line once more, with the feature mpi, in the folder that `cargo` here uses."""
    run(["cargo", "build", "--locked", "--quiet", "--features", "mpi", "--bin", "covid-ct"], cwd=REPO)
    made, = pathlib.Path(os.environ["CARGO_TARGET_DIR"]).glob("*-*-*/debug/covid-ct")
    # As a new file: the old one may be running.
    shutil.copy2(made, program.with_suffix(".new"))
    os.replace(program.with_suffix(".new"), program)
    program.with_suffix(".made-from").write_text(state(wanted))
