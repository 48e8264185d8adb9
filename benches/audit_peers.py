#!/usr/bin/env python3
"""What an audit finds, beside cleanvision, imagededup and fastdup: the same planted defects for all.

  audit_peers.py --peers PYTHON [--program covid-ct] [--only PEER …] [DATA …]

DATA is a data set with a phantom.json that lists what was planted; without any, a phantom of every defect and case is drawn.
PYTHON is one that has the peers, best of a virtual environment of their own, because fastdup wants an older numpy than ours:
  python3.11 -m venv peers && peers/bin/pip install cleanvision==0.3.7 imagededup==0.3.3.post2 fastdup==2.54
imagededup needs torch and torchvision. A peer that is missing, or ends with an error, has a column that says so.
Prints a table in Markdown; one run, so that the seconds are no more than an order of magnitude.

A peer has found
- a planted pair (two slices or scans) where it calls a slice of the one a near-duplicate of a slice of the other;
- anything else where an issue that it sees in less than a tenth of the healthy slices is one of the planted file, or of half of
  the slices of the planted scan. An issue that it sees in more is one of all CT slices (cleanvision: all are grey), and says
  nothing; nor do near-duplicates inside one scan, which neighbouring slices are.
- a file that it says it cannot read. cleanvision stops at such a file, so it is given those that Pillow reads.
"""
import argparse, importlib.metadata, json, os, pathlib, subprocess, sys, tempfile, time

PEERS = ["cleanvision", "imagededup", "fastdup"]
SLICES = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}


def pictures(data):
    """Every file that is named like a picture, under the data set's root."""
    paths = (path for path in sorted(data.rglob("*")) if path.is_file() and path.suffix.lower() in SLICES)
    return [path for path in paths if path.relative_to(data).parts[0] != "truth"]


def readable(path):
    from PIL import Image
    try:
        Image.open(path).load()
        return True
    except Exception:
        return False


# Each runs in a process of the peers' Python and returns the issues (name to paths), pairs, and what it could not read.

def cleanvision(data, _):
    from cleanvision import Imagelab
    paths = [path for path in pictures(data) if readable(path)]
    begun = time.perf_counter()
    lab = Imagelab(filepaths=[str(path) for path in paths])
    lab.find_issues(n_jobs=os.cpu_count(), verbose=False)
    seconds = time.perf_counter() - begun
    flags = lab.issues
    issues = {name[3:-6]: list(flags.index[flags[name]]) for name in flags.columns if name.startswith("is_") and "duplicates" not in name}
    pairs = [(group[0], other) for kind in ("exact_duplicates", "near_duplicates") for group in lab.info.get(kind, {}).get("sets", []) for other in group[1:]]
    return issues, pairs, [], seconds


def imagededup(data, _):
    from imagededup.methods import PHash
    paths, hasher, begun = pictures(data), PHash(verbose=False), time.perf_counter()
    encodings = {str(path): hasher.encode_image(image_file=str(path)) for path in paths}
    unread = [path for path, encoding in encodings.items() if encoding is None]
    found = hasher.find_duplicates(encoding_map={path: encoding for path, encoding in encodings.items() if encoding is not None})
    return {}, [(a, b) for a, others in found.items() for b in others], unread, time.perf_counter() - begun


def fastdup(data, work):
    import fastdup as library
    begun = time.perf_counter()
    run = library.create(work_dir=str(work), input_dir=str(data))
    run.run(overwrite=True, verbose=False, print_summary=False, num_threads=os.cpu_count())
    names = lambda frame: list(frame["filename"]) if len(frame) else []
    pairs = run.similarity()
    pairs = list(zip(pairs["filename_from"], pairs["filename_to"])) if len(pairs) else []
    stats, outliers = run.img_stats(), run.outliers()
    # Its documentation's limits: dark and bright by the mean, blurry by the variance of the Laplacian.
    issues = {
        "dark": names(stats[stats["mean"] < 13]), "bright": names(stats[stats["mean"] > 220.5]), "blurry": names(stats[stats["blur"] < 50]),
        "outlier": list(outliers["filename_outlier"]) if len(outliers) else [],
    }
    return issues, pairs, names(run.invalid_instances()), time.perf_counter() - begun


def as_peer(name, data, out):
    """One peer on one data set; the result as JSON."""
    data = pathlib.Path(data).resolve()
    with tempfile.TemporaryDirectory() as work:
        issues, pairs, unread, seconds = {"cleanvision": cleanvision, "imagededup": imagededup, "fastdup": fastdup}[name](data, work)
    # fastdup names them from the folder above.
    inside = lambda path: str(pathlib.Path(path).relative_to(data if os.path.isabs(path) else data.name))
    found = {
        "issues": {name: sorted({inside(path) for path in paths}) for name, paths in issues.items()},
        "pairs": sorted({tuple(sorted(map(inside, pair))) for pair in pairs}), "unread": [inside(path) for path in unread],
        "seconds": seconds, "version": importlib.metadata.version(name),
    }
    pathlib.Path(out).write_text(json.dumps(found))


class DataSet:
    """A data set, and what was planted in it."""

    def __init__(self, folder):
        self.folder = folder.resolve()
        self.planted = json.loads((self.folder / "phantom.json").read_text())["defects"]
        self.files = [str(path.relative_to(self.folder)) for path in pictures(self.folder)]
        touched = [path for item in self.planted for path in item["paths"]]
        self.healthy = [file for file in self.files if not any(within(file, path) for path in touched)]

    def slices(self, path):
        return [file for file in self.files if within(file, path)]


def within(file, path):
    return file == path or file.startswith(path + "/")


def ours(program, data, _):
    """(numbers of the planted items found, findings on healthy slices, seconds, version)"""
    with tempfile.TemporaryDirectory() as home:
        begun = time.perf_counter()
        subprocess.run([program, "audit", "--data", data.folder, "--workspace", home], check=True, capture_output=True)
        seconds = time.perf_counter() - begun
        findings = json.loads(next(pathlib.Path(home).glob("data_manifest/*/audit.json")).read_text())["findings"]
    told = lambda of: [path for path in (of["path"], of.get("with")) if path]

    def is_it(item, of):
        if item["check"] == "missing-slice":
            return of["check"] == item["check"] and item["paths"][0].startswith(of["path"])
        return of["check"] == item["check"] and all(path in told(of) for path in item["paths"])

    found = {number for number, item in enumerate(data.planted) if any(is_it(item, of) for of in findings)}
    false = [of for of in findings if not any(is_it(item, of) for item in data.planted)]
    version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.split()[-1]
    return found, [f"{of['check']}: {of['path']}" for of in false], seconds, version


def theirs(python, data, peer):
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [python, __file__, "--as-peer", peer, data.folder, out.name]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "SENTRY_OPT_OUT": "1"})
        if done.returncode:
            raise RuntimeError((done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1][:200])
        result = json.loads(pathlib.Path(out.name).read_text())
    flagged, unread, healthy = {}, set(result["unread"]), set(data.healthy)
    for name, paths in result["issues"].items():
        if len(healthy.intersection(paths)) * 10 < len(healthy):
            flagged[name] = set(paths)
        else:
            print(f"{peer}, {data.folder.name}: {name} is in {len(healthy.intersection(paths))} of {len(healthy)} healthy slices, and says nothing", file=sys.stderr)
    scan = lambda file: file.rsplit("/", 1)[0]
    pairs = [(a, b) for a, b in result["pairs"] if scan(a) != scan(b)]
    any_issue = unread.union(*flagged.values())

    def is_found(item):
        if len(item["paths"]) == 2:
            a, b = item["paths"]
            return any(within(x, a) and within(y, b) or within(x, b) and within(y, a) for x, y in map(tuple, result["pairs"]))
        hits = [slices for path in item["paths"] if (slices := data.slices(path))]
        return bool(hits) and all(2 * len(any_issue.intersection(slices)) >= len(slices) for slices in hits)

    found = {number for number, item in enumerate(data.planted) if is_found(item)}
    false = [f"{name}: {path}" for name, paths in flagged.items() for path in sorted(healthy.intersection(paths))]
    false += [f"near-duplicate: {a} and {b}" for a, b in pairs if a in healthy and b in healthy] + [f"unread: {path}" for path in sorted(healthy & unread)]
    inside = sum(1 for a, b in result["pairs"] if scan(a) == scan(b))
    if inside:
        print(f"{peer}, {data.folder.name}: {inside} near-duplicates inside of scans, not counted", file=sys.stderr)
    return found, false, result["seconds"], result["version"]


def table(sets, results):
    """Rows of planted kinds, columns of programs."""
    names = list(results)
    rows = [["planted", "number", *(f"{name} {results[name]['version']}".strip() for name in names)]]
    kinds = dict.fromkeys(item["check"] for data in sets for item in data.planted)
    for kind in kinds:
        of_kind = [(at, number) for at, data in enumerate(sets) for number, item in enumerate(data.planted) if item["check"] == kind]
        counts = [results[name].get("error") and "–" or str(sum(place in results[name]["found"] for place in of_kind)) for name in names]
        rows.append([kind, str(len(of_kind)), *counts])
    healthy = sum(len(data.healthy) for data in sets)
    every = sum(len(data.planted) for data in sets)
    rows.append(["all", str(every), *(results[name].get("error") and "–" or str(len(results[name]["found"])) for name in names)])
    rows.append(["findings where nothing was planted", f"{healthy:,} slices", *(results[name].get("error") and "–" or str(len(results[name]["false"])) for name in names)])
    rows.append(["seconds", "", *(results[name].get("error") and "–" or f"{results[name]['seconds']:.1f}" for name in names)])
    line = lambda cells: "| " + " | ".join(cells) + " |"
    return "\n".join([line(rows[0]), "|" + "---|" * len(rows[0]), *map(line, rows[1:])])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", type=pathlib.Path)
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--program", default="covid-ct")
    parser.add_argument("--only", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--size", default="256", help="of the phantom's slices")
    parser.add_argument("--details", action="store_true", help="list what was not found, and findings where nothing was planted")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not args.data:
            args.data = [pathlib.Path(folder) / "phantom"]
            subprocess.run([args.program, "phantom", args.data[0], "--field-cases", "--size", args.size], check=True)
        sets = [DataSet(data) for data in args.data]
        results = {}
        for name, look, what in [("covid-ct", ours, args.program), *((peer, theirs, args.peers) for peer in args.only)]:
            of = results[name] = {"found": set(), "false": [], "seconds": 0.0, "version": ""}
            for at, data in enumerate(sets):
                try:
                    found, false, seconds, of["version"] = look(what, data, name)
                except RuntimeError as error:
                    of["error"] = f"{name}, {data.folder.name}: {error}"
                    print(of["error"], file=sys.stderr)
                    break
                of["found"] |= {(at, number) for number in found}
                of["false"] += false
                of["seconds"] += seconds
        print(table(sets, results))
        if args.details:
            for name, of in results.items():
                missed = [item for at, data in enumerate(sets) for number, item in enumerate(data.planted) if (at, number) not in of["found"]]
                print(f"\n{name}: not found\n" + "\n".join(f"  {item['check']}: {' and '.join(item['paths'])} ({item['note']})" for item in missed))
                print(f"{name}: where nothing was planted\n" + "\n".join(f"  {line}" for line in of["false"][:40]))
        # What a peer finds and we do not.
        for name in args.only:
            for at, number in sorted(results[name]["found"] - results["covid-ct"]["found"]):
                print(f"found by {name} and not by covid-ct: {sets[at].planted[number]}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as-peer"]:
        as_peer(*sys.argv[2:])
    else:
        main()
