#!/usr/bin/env python3
"""Faults on purpose: seeded damage, kills, full disks and limits, against the built program. `make faults` runs it for 30 minutes.

  python scripts/faults [--minutes 30 | --trials N] [--seed 1] [--only KIND …] [--first N] [--jobs 2] [--out docs/faults.md]

Every trial ends well, with results as before or with findings that name the file, or it fails and names the file. It never panics,
is never ended by a signal, takes neither long nor much memory, and never changes source data or, without a word, a result.
Exit code 1 where a trial did otherwise; its command is printed. A kind, a seed and a number give the same trial.
"""
import argparse, concurrent.futures, dataclasses, pathlib, random, resource, shutil, sys, tempfile, threading, time, traceback

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import images, kills, resources, state, table, together, weights
from reference import Reference

# Each with the share of the time that it gets.
KINDS = {
    "images": (images.trial, 0.25), "state": (state.trial, 0.3), "weights": (weights.trial, 0.1), "kills": (kills.trial, 0.15),
    "space": (resources.space, 0.07), "limits": (resources.limits, 0.07), "together": (together.trial, 0.06),
}


@dataclasses.dataclass
class Tally:
    """What became of the trials of a kind."""
    tried: int = 0
    failed: int = 0
    seconds: float = 0.0
    megabytes: int = 0
    failures: list = dataclasses.field(default_factory=list)


def one(ref, kind, number, seed, keep):
    """One trial: (words, faults, runs, seconds)."""
    runs, begun, folder = [], time.monotonic(), ref.folder / "trials" / f"{kind}-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        words, faults = KINDS[kind][0](ref, random.Random(f"{seed}/{kind}/{number}"), folder, runs.append)
    except Exception:
        words, faults = "the trial itself failed", [traceback.format_exc(limit=4)]
    faults = [fault for fault in faults if fault]
    if not (faults and keep):
        shutil.rmtree(folder, ignore_errors=True)
    return words, faults, runs, time.monotonic() - begun


def shared(trials, kinds):
    """How many of these trials each kind gets, by its share."""
    asked = {kind: 0 for kind in kinds}
    for _ in range(trials or 0):
        asked[min(kinds, key=lambda kind: (asked[kind] + 1) / KINDS[kind][1])] += 1
    return asked


class Campaign:
    """Trials of all kinds by turns, until the time or their number is up."""

    def __init__(self, ref, args):
        self.ref, self.args = ref, args
        self.kinds = args.only or list(KINDS)
        self.tallies = {kind: Tally() for kind in self.kinds}
        self.begun = {kind: 0 for kind in self.kinds}
        self.asked = shared(args.trials, self.kinds)
        self.spent = {kind: 0.0 for kind in self.kinds}
        self.lock, self.shown, self.start = threading.Lock(), 0.0, time.monotonic()

    def next(self):
        """The kind that is furthest behind its share, and the number of its next trial; None at the end."""
        args = self.args
        with self.lock:
            if args.trials is None and time.monotonic() - self.start > 60 * args.minutes:
                return None
            open_ = [kind for kind in self.kinds if args.trials is None or self.begun[kind] < self.asked[kind]]
            if not open_:
                return None
            kind = min(open_, key=lambda kind: self.spent[kind] / KINDS[kind][1])
            number = args.first + self.begun[kind]
            self.begun[kind] += 1
            # Until it is measured, so that workers do not all take the same kind.
            self.spent[kind] += 1.0
            return kind, number

    def work(self):
        while (job := self.next()) is not None:
            kind, number = job
            words, faults, runs, seconds = one(self.ref, kind, number, self.args.seed, self.args.keep)
            with self.lock:
                self.count(kind, number, words, faults, runs, seconds)

    def count(self, kind, number, words, faults, runs, seconds):
        tally = self.tallies[kind]
        self.spent[kind] += seconds - 1.0
        tally.tried += 1
        tally.seconds += seconds
        tally.megabytes = max([tally.megabytes, *(run.megabytes for run in runs)])
        if faults:
            tally.failed += 1
            again = f"--only {kind} --seed {self.args.seed} --first {number} --trials 1"
            tally.failures.append((words, faults, again))
            print(f"\nFAILED {kind} {number}: {words}", *(f"  {fault}" for fault in faults), *(run.shown() for run in runs),
                  f"  again: make faults FAULTS=\"{again}\"", sep="\n", flush=True)
        elif self.args.verbose:
            print(f"{kind} {number}: {words}, {seconds:.1f} s, {' '.join(str(run.code) for run in runs)}", flush=True)
        self.show()

    def show(self):
        """A line with the time left, every ten seconds."""
        now = time.monotonic()
        if now - self.shown < 10:
            return
        self.shown = now
        tried = sum(tally.tried for tally in self.tallies.values())
        failed = sum(tally.failed for tally in self.tallies.values())
        left = f"{max(0, self.args.minutes - (now - self.start) / 60):.1f} min left" if self.args.trials is None else \
            f"{self.args.trials - tried} trials left"
        print(f"faults: {tried} tried, {failed} failed, {left}", flush=True)

    def run(self):
        with concurrent.futures.ThreadPoolExecutor(self.args.jobs) as pool:
            for done in [pool.submit(self.work) for _ in range(self.args.jobs)]:
                done.result()


def arguments():
    parser = argparse.ArgumentParser(prog="faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--trials", type=int, help="this many instead of a time, divided among the kinds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first trial of each kind")
    parser.add_argument("--only", nargs="+", choices=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--jobs", type=int, default=2, help="trials at once")
    parser.add_argument("--program", default=str(REPO / "covid-ct"))
    parser.add_argument("--out", type=pathlib.Path, help="write the table into this page")
    parser.add_argument("--keep", action="store_true", help="keep the folders of failed trials")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args()


def main():
    args = arguments()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="covid-ct-faults-"))
    ref = Reference(args.program, folder)
    try:
        ref.prepare(lambda line: print(f"faults: {line}", flush=True))
        if not args.only or "weights" in args.only:
            weights.prepare(ref)
        campaign = Campaign(ref, args)
        campaign.run()
        failed = table.conclude(campaign, args, REPO)
    finally:
        ref.apart.shutdown()
        if args.keep:
            print(f"faults: kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
