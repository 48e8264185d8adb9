"""One run of the program under limits, and what no run may do."""
import dataclasses, hashlib, os, pathlib, resource, signal, subprocess, time

# A trial's run takes a second or two and about 400 MB.
SECONDS, MEGABYTES = 90, 3000
PANICKED, ABORTED = 101, {134, 139}
NO_MEMORY = ("memory allocation of", "allocate memory", "bad_alloc", "Cannot allocate", "error while loading shared libraries",
             "Resource temporarily unavailable", "out of memory", "failed to spawn thread", "failed to map segment")


@dataclasses.dataclass
class Outcome:
    """How a run ended."""
    arguments: list
    code: int
    seconds: float
    megabytes: int
    out: str
    err: str
    killed: bool = False

    @property
    def ended_well(self):
        return self.code in (0, 3)

    def says(self, *words):
        """Whether any of these words is in what it printed."""
        return any(word and word in self.out + self.err for word in words)

    def misbehaved(self, may_lack_memory=False):
        """What no input and no machine excuses, in words; None where there is nothing."""
        if may_lack_memory and self.code != 0 and any(words in self.err for words in NO_MEMORY):
            return None
        if "panicked at" in self.err or self.code == PANICKED:
            return "it panicked"
        if self.code < 0 and not self.killed:
            return f"it was ended by {signal.Signals(-self.code).name}"
        if self.code in ABORTED:
            return f"it ended with {self.code}"
        if self.seconds > SECONDS:
            return f"it took longer than {SECONDS} s"
        if self.megabytes > MEGABYTES:
            return f"it took {self.megabytes} MB"
        if self.code != 0 and not self.killed and not self.err.strip() and not self.out.strip():
            return f"it ended with {self.code} without a word"
        return None

    def shown(self):
        """Its command and the end of what it said."""
        said = (self.err.strip() or self.out.strip()).splitlines()[-4:]
        return f"$ covid-ct {' '.join(self.arguments)}   → {self.code}\n" + "\n".join(f"    {line[:400]}" for line in said)


class Program:
    """The program, in a workspace of a data set."""

    def __init__(self, binary, home, data):
        self.binary, self.home, self.data = str(binary), pathlib.Path(home), pathlib.Path(data)

    def at(self, home, data=None):
        """The same in another workspace, or on other data."""
        return Program(self.binary, home, data or self.data)

    def environment(self):
        # One thread each: several trials share the processors, and sums round alike.
        one = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS")}
        plain = {name: value for name, value in os.environ.items() if not name.startswith("COVID_CT_")}
        return {**plain, **one, "COVID_CT_WORKSPACE": str(self.home), "COVID_CT_DATA": str(self.data), "TMPDIR": str(self.home)}

    def start(self, arguments, limits=()):
        """Starts it; `limits`: pairs of a limit of the system and its value."""
        self.home.mkdir(parents=True, exist_ok=True)
        log = self.home / f".log-{time.monotonic_ns()}"
        out, err = open(f"{log}-out", "w+b"), open(f"{log}-err", "w+b")
        for file in (out, err):
            os.unlink(file.name)

        def limit():
            for what, value in limits:
                resource.setrlimit(what, (value, value))

        child = subprocess.Popen([self.binary, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=self.home,
                                 env=self.environment(), process_group=0, preexec_fn=limit if limits else None)
        return Running(child, list(arguments), out, err)

    def run(self, *arguments, limits=()):
        """Runs it to its end."""
        return self.start(arguments, limits).wait()

    def must(self, *arguments):
        """Runs it; it must succeed, since trials begin with what it leaves."""
        outcome = self.run(*arguments)
        if not outcome.ended_well or outcome.misbehaved():
            raise SystemExit(f"faults: preparing the trials failed\n{outcome.shown()}")
        return outcome


class Running:
    """A run that goes on."""

    def __init__(self, child, arguments, out, err):
        self.child, self.arguments, self.out, self.err = child, arguments, out, err
        self.begun, self.ended, self.killed = time.monotonic(), None, False

    def poll(self):
        """Whether it has ended."""
        if self.ended is None:
            pid, status, usage = os.wait4(self.child.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self.child.returncode = code
                self.ended = (code, time.monotonic() - self.begun, usage.ru_maxrss // 1024)
        return self.ended is not None

    def kill(self):
        """Kills it, unless it has ended."""
        if not self.poll():
            self.killed = True
            os.kill(self.child.pid, signal.SIGKILL)

    def wait(self, seconds=SECONDS + 5):
        """Waits for its end; where that takes too long, it is killed."""
        pause = 0.002
        while not self.poll():
            if time.monotonic() - self.begun > seconds:
                os.kill(self.child.pid, signal.SIGKILL)
                seconds = float("inf")
            time.sleep(pause)
            pause = min(1.3 * pause, 0.05)
        texts = []
        for file in (self.out, self.err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
            file.close()
        return Outcome(self.arguments, *self.ended, *texts, killed=self.killed)


def digest(path):
    """The SHA-256 of a file."""
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def digest_of_tree(folder):
    """One hash of all names, kinds and contents below a folder."""
    folder, whole = pathlib.Path(folder), hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        content = digest(path) if path.is_file() and not path.is_symlink() else "-"
        whole.update(f"{path.relative_to(folder)}\0{content}\0".encode(errors="surrogateescape"))
    return whole.hexdigest()
