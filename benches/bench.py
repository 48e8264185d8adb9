#!/usr/bin/env python3
"""Compares covid-ct with the same work in Python: alternating, on the same files, with the same libtorch and threads.

  bench.py [--rounds 5] [--only NAME] [--data DIR --label NAME] [--device cuda:0] [--out docs]

Draws a phantom of 5,000 slices or more (JPEG, quality 95) unless --data names a data set. Before anything is timed, the
results of both must be equal. Writes performance.json, and from it the table in performance.md and the figure
performance.svg; rows that are not measured are kept. `make bench` runs it and installs what it needs.
"""
import argparse, html, json, math, os, pathlib, platform, statistics, subprocess, sys, tempfile, time, zipfile

REPO = pathlib.Path(__file__).resolve().parent.parent
OURS, PEERS = [str(REPO / "covid-ct"), "bench"], [sys.executable, str(REPO / "benches/peers.py")]

# name, ours, [(peer, its arguments, asked-for ratio)], threads
ROWS = [
    ("audit", "audit", ["audit", "DATA"], [("Pillow, multiprocessing", ["audit", "DATA"], 2.5)], 2),
    ("audit, beside cleanvision", "cleanvision", ["audit", "DATA"], [("cleanvision", ["cleanvision", "DATA"], 15)], 2),
    ("decode and resize to 224×224", "cache", ["cache", "DATA"],
     [("torchvision as written", ["decode", "DATA"], 2.7), ("torchvision tuned", ["decode-tuned", "DATA"], 1.3)], 1),
    ("audit and cache in one pass", "one-pass", ["audit-and-cache", "DATA"],
     [("Pillow audit, then torchvision as written", [["audit", "DATA"], ["decode", "DATA"]], 4)], 2),
    ("the same, straight from the zips", "zips", ["audit-and-cache", "DATA", "--archives", "URL"],
     [("unzip, then the two", [["unzip", "ZIPS"], ["audit", "DATA"], ["decode", "DATA"]], 4)], 2),
    ("reading shuffled batches, cache raw", "read", ["read", "DATA", "--storage", "raw"],
     [("DataLoader over JPEG", ["read", "DATA"], 50)], 2),
    ("reading shuffled batches, cache packed", "read-packed", ["read", "DATA"], [("DataLoader over JPEG", ["read", "DATA"], 25)], 2),
    ("the same, three channels written out", "read-three", ["read", "DATA", "--three-channels"],
     [("DataLoader over JPEG", ["read", "DATA"], 25)], 2),
    ("augmentation of slices at 224×224", "augment", ["augment", "--steps", "40"],
     [("torchvision v2, slice by slice", ["augment", "--steps", "40"], 10),
      ("torch's grid_sample over a batch", ["augment", "--steps", "40", "--tuned"], 5), ("MONAI", ["augment-monai", "--steps", "40"], 10)], 1),
    ("FCN step, f32, batch 32", "step", ["step"],
     [("PyTorch as written", ["step"], 1.45), ("PyTorch tuned", ["step", "--tuned"], 1.0)], 2),
    ("FCN step, bf16, batch 32", "step-bf16", ["step", "--precision", "bf16"], [("PyTorch f32 as written", ["step"], 3.0)], 2),
    ("five epochs of a frozen network", "heads", ["heads", "HEADS"],
     [("forwarding every epoch", ["heads", "HEADS"], 4.9)], 2),
    ("five epochs of a frozen network, bf16", "heads-bf16", ["heads", "HEADS", "--precision", "bf16"],
     [("forwarding every epoch, f32", ["heads", "HEADS"], 15)], 2),
    ("DICOM series to audit and cache", "dicom", ["audit-and-cache", "SCANNER-dicom"],
     [("pydicom, Pillow, multiprocessing", ["dicom", "SCANNER-dicom"], 4), ("MONAI, the cache alone", ["dicom-monai", "SCANNER-dicom"], 4)], 2),
    ("the same, JPEG lossless", "dicom-jpeg", ["audit-and-cache", "SCANNER-dicom-jpeg"],
     [("pydicom with pylibjpeg", ["dicom", "SCANNER-dicom-jpeg"], 2), ("pydicom with gdcm", ["dicom", "SCANNER-dicom-jpeg", "--plugin", "gdcm"], 2),
      ("MONAI, the cache alone", ["dicom-monai", "SCANNER-dicom-jpeg"], 2)], 2),
    ("the same, JPEG 2000", "dicom-j2k", ["audit-and-cache", "SCANNER-dicom-j2k"],
     [("pydicom with pylibjpeg", ["dicom", "SCANNER-dicom-j2k"], 2), ("pydicom with gdcm", ["dicom", "SCANNER-dicom-j2k", "--plugin", "gdcm"], 2),
      ("MONAI, the cache alone", ["dicom-monai", "SCANNER-dicom-j2k"], 2)], 2),
    ("NIfTI volumes (.nii.gz) to audit and cache", "nifti", ["audit-and-cache", "SCANNER-nifti"],
     [("nibabel, Pillow, multiprocessing", ["nifti", "SCANNER-nifti"], 2)], 2),
]


def once(command, threads, environment):
    """Runs a command on `threads` processors and returns its JSON line."""
    processors = sorted(os.sched_getaffinity(0))[-threads:]
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "BENCH_THREADS")}
    done = subprocess.run(["taskset", "-c", ",".join(map(str, processors)), *command], capture_output=True, text=True,
                          env={**os.environ, **environment, **limits})
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def scanner_data(rows, folder):
    """Draws the data sets of DICOM and NIfTI that the rows need; ours and the peers' grey levels must agree before they are timed."""
    import numpy

    places, said = {}, []
    for kind in sorted({a.removeprefix("SCANNER-") for row in rows for a in row[2] if a.startswith("SCANNER-")}):
        print(f"bench: drawing {kind}", flush=True)
        place = places[f"SCANNER-{kind}"] = f"{folder}/{kind}"
        subprocess.run([sys.executable, str(REPO / "benches/volumes.py"), place, "--kind", kind], check=True, capture_output=True)
        ours, theirs = f"{folder}/ours.bin", f"{folder}/theirs.bin"
        once([*OURS, "cache", place, "--bytes", ours], 2, {})
        once([*PEERS, "nifti" if kind == "nifti" else "dicom", place, "--bytes", theirs], 2, {})
        first, second = (numpy.fromfile(path, dtype=numpy.uint8) for path in (ours, theirs))
        assert len(first) == len(second), f"{kind}: {len(first)} and {len(second)} bytes"
        off = numpy.abs(first.astype(numpy.int16) - second)
        assert off.max() <= 1, f"{kind}: the caches differ by {off.max()} grey levels"
        said.append(f"{kind} {(off == 0).mean():.4%}")
    equal = f"the 224×224 bytes are those of pydicom or nibabel with Pillow, within 1 level, to the level: {', '.join(said)}."
    return places, equal if said else None


def added(lines):
    total = dict(lines[-1])
    for key in ("seconds", "cpu_seconds"):
        total[key] = sum(line[key] for line in lines)
    for key in ("items", "peak_mb"):
        total[key] = max(line[key] for line in lines)
    return total


def check_equal(data, folder, environment):
    """Both must compute the same before they are timed."""
    ours, theirs = once([*OURS, "audit", data], 2, environment), once([*PEERS, "audit", data], 2, environment)
    flags = theirs["flags"]
    expected = {key: flags.get(key, 0) for key in ("black", "junk", "unreadable")}
    found = {key: ours[key] for key in expected}
    assert found == expected, f"audit: ours found {found}, Pillow {expected}"
    ours_bytes, their_bytes = (pathlib.Path(folder) / name for name in ("ours.bin", "theirs.bin"))
    cached = once([*OURS, "cache", data, "--list", environment["BENCH_FILES"], "--bytes", str(ours_bytes)], 1, environment)
    once([*PEERS, "decode-tuned", data], 1, {**environment, "BENCH_BYTES": str(their_bytes)})
    import numpy

    first, second = (numpy.fromfile(path, dtype=numpy.uint8) for path in (ours_bytes, their_bytes))
    assert len(first) == len(second) == cached["items"] * 224 * 224, (len(first), len(second), cached["items"])
    off = numpy.abs(first.astype(numpy.int16) - second)
    assert off.max() <= 1, f"the caches differ by {off.max()} grey levels"
    one_pass = once([*OURS, "audit-and-cache", data], 2, environment)
    assert one_pass["digest"] == cached["digest"], "the cache of one pass differs from that of two"
    ours_bytes.unlink()
    their_bytes.unlink()
    return (f"black, junk and unreadable files {expected}; the 224×224 bytes of {cached['items']:,} slices "
            f"are torchvision's, {(off == 0).mean():.4%} of them to the grey level, the others within 1.")


def measure_device(device, data, rounds, batch, environment, keep):
    """Whole networks trained on a device: covid-ct in f16 from the cache, PyTorch as written, and PyTorch tuned. Every round is
    saved as soon as it is measured."""
    precision = "f16" if device.startswith("cuda") else "f32"
    taken = {}
    for number in range(rounds):
        for network in ("fcn", "vgg19", "resnet152", "densenet161"):
            same = ["train", data, "--batch", str(batch), "--device", device]
            who = {f"covid-ct, {precision}": [*OURS, *same, "--network", network, "--precision", precision],
                   "PyTorch as written, f32": [*PEERS, "train", data, network, *same[2:]],
                   f"PyTorch tuned, {precision}": [*PEERS, "train", data, network, *same[2:], "--tuned"]}
            of = taken.setdefault(network, {name: [] for name in who})
            for name, command in who.items():
                of[name].append(once(command, len(os.sched_getaffinity(0)), environment))
            print(f"bench: {network} on {device}, round {number + 1}/{rounds}: "
                  + ", ".join(f"{n} {t[-1]['images_per_second']:.0f}/s" for n, t in of.items()), flush=True)
            keep(device_table(taken))


def device_table(networks):
    lines = ["| network | who | images/s, median (min to max) | waits for slices | device memory, MB | ratio | rounds |",
             "|---|---|---|---|---|---|---|"]
    for network, taken in networks.items():
        rates = {name: statistics.median(t["images_per_second"] for t in of) for name, of in taken.items()}
        ours = next(iter(rates.values()))
        for number, (name, of) in enumerate(taken.items()):
            each = [t["images_per_second"] for t in of]
            memory = max((t["gpu_mb"] or 0) for t in of)
            lines.append(f"| {network if number == 0 else ''} | {name} | {rates[name]:,.0f} ({min(each):,.0f} to {max(each):,.0f}) | "
                         f"{statistics.median(t['stall'] for t in of):.1%} | {memory or '–'} | {f'**{ours / rates[name]:.2f}**' if number else ''} | {len(of)} |")
    return "\n".join(lines)


def make_archives(data, folder):
    """The data set's files in deflated archives, one for each of its parts, as the data base is distributed."""
    folder.mkdir()
    for part in sorted(p for p in pathlib.Path(data).iterdir() if p.is_dir()):
        with zipfile.ZipFile(folder / f"{part.name}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for path in sorted(part.rglob("*")):
                archive.write(path, path.relative_to(data))


def measure(rows, rounds, places, environment, keep):
    """Each row is saved as soon as it is measured."""
    for title, _, ours, peers, threads in rows:
        fill = lambda arguments: [places.get(a, a) for a in arguments]
        run_ours = lambda: once([*OURS, *fill(ours)], threads, environment)
        runs = {"covid-ct": [run_ours]}
        for name, arguments, _ in peers:
            parts = arguments if isinstance(arguments[0], list) else [arguments]
            runs[name] = [lambda part=part: once([*PEERS, *fill(part)], threads, environment) for part in parts]
        taken = {name: [] for name in runs}
        few = rounds if "heads" not in ours else min(rounds, 3)
        for number in range(few):
            for name, parts in runs.items():
                taken[name].append(added([part() for part in parts]))
            print(f"bench: {title}, round {number + 1}/{few}: " + ", ".join(f"{n} {t[-1]['seconds']:.2f} s" for n, t in taken.items()), flush=True)
        keep([(title, taken, {name: ratio for name, _, ratio in peers}, threads)])


def summed_up(results):
    """The table's values for each row: covid-ct first, then the peers."""
    rows = {}
    for title, taken, asked, threads in results:
        middle = {name: statistics.median(t["seconds"] for t in of) for name, of in taken.items()}
        rows[title] = [
            {"who": name, "seconds": [f(t["seconds"] for t in of) for f in (statistics.median, min, max)],
             "cpu_seconds": statistics.median(t["cpu_seconds"] for t in of), "items_per_second": of[0]["items"] / middle[name],
             "peak_mb": max(t["peak_mb"] for t in of), "ratio": middle[name] / middle["covid-ct"], "asked": asked.get(name), "rounds": len(of),
             "processors": threads, "machine": machine()}
            for name, of in taken.items()
        ]
    return rows


def shown(number, form):
    return "–" if number is None else format(number, form)


def table(rows):
    lines = ["| work | who | seconds, median (min to max) | CPU seconds | items/s | peak MB | ratio | asked |",
             "|---|---|---|---|---|---|---|---|"]
    for title, who in rows.items():
        for number, of in enumerate(who):
            middle, least, most = of["seconds"]
            ratio, asked = ("", "") if number == 0 else (f"**{of['ratio']:.2f}**", of["asked"])
            lines.append(f"| {title if number == 0 else ''} | {of['who']} | {middle:.2f} ({least:.2f} to {most:.2f}) | {shown(of['cpu_seconds'], '.2f')} | "
                         f"{of['items_per_second']:,.0f} | {shown(of['peak_mb'], ',')} | {ratio} | {asked} |")
    return "\n".join(lines)


def figure(rows):
    """Bars of how many times as long the peers take, on a logarithmic axis, with a line at the ratio asked for."""
    bars = [(f"{title}: {of['who']}", of["ratio"], of["asked"]) for title, who in rows.items() for of in who[1:]]
    left, width, height = 470, 380, 24
    x = lambda ratio: left + width * (math.log10(max(ratio, 0.5)) - math.log10(0.5)) / (math.log10(200) - math.log10(0.5))
    bottom = 60 + height * len(bars)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 70} {bottom + 50}" font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="white"/>',
             '<text x="10" y="24" font-size="15" font-weight="bold">How many times as long the same work takes in Python</text>']
    for tick in (0.5, 1, 2, 5, 10, 20, 50, 100, 200):
        parts.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="44" y2="{bottom}" stroke="{"#888" if tick == 1 else "#ddd"}"/>'
                     f'<text x="{x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    for number, (title, ratio, asked) in enumerate(bars):
        y, met = 50 + height * number, asked is None or ratio >= asked
        parts.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{html.escape(title)}</text>'
                     f'<rect x="{min(x(1), x(ratio)):.1f}" y="{y}" width="{abs(x(ratio) - x(1)):.1f}" height="{height - 8}" fill="{"#3b6fb0" if met else "#c46b2d"}"/>'
                     f'<text x="{max(x(1), x(ratio), x(asked or 1)) + 6:.1f}" y="{y + 13}">{ratio:.1f}</text>')
        if asked:
            parts.append(f'<line x1="{x(asked):.1f}" x2="{x(asked):.1f}" y1="{y - 3}" y2="{y + height - 5}" stroke="black" stroke-width="2"/>')
    parts.append(f'<text x="{left + width / 2}" y="{bottom + 36}" text-anchor="middle">times as long (median of the rounds; black: what was asked for; '
                 'blue: reached, orange: not)</text></svg>')
    return "\n".join(parts)


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = next((l.split(":", 1)[1].strip() for l in text.splitlines() if l.startswith("model name")), platform.processor())
    import torch

    return f"{model}, {len(os.sched_getaffinity(0))} processors, torch {torch.__version__}, {time.strftime('%B %Y')}"


def write(out, rows, equal, label, data="phantom"):
    """Adds rows to performance.json, and makes table and figure from all its rows."""
    page, kept = out / "performance.md", out / "performance.json"
    known = json.loads(kept.read_text()) if kept.is_file() else {"equal": {}, "rows": {}}
    known["equal"][label or data] = equal
    known["rows"].update({f"{title} ({label})" if label else title: row for title, row in rows.items()})
    order = [title for row in ROWS for title in known["rows"] if title == row[0] or title.startswith(f"{row[0]} (")]
    known["rows"] = {title: known["rows"][title] for title in order}
    kept.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    (out / "performance.svg").write_text(figure(known["rows"]) + "\n")
    said = "\n".join(f"- {name}: {sentence}" for name, sentence in known["equal"].items())
    machines = sorted({of["machine"] for row in known["rows"].values() for of in row})
    block = (f"Measured on: {'; '.join(machines)}. Equal before timing:\n\n{said}\n\n{table(known['rows'])}\n\n"
             f"![How many times as long the same work takes in Python](performance.svg)")
    return into(page, "bench", block)


def into(page, name, block):
    """Writes a block between its marks in a page, or at the end."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = page.read_text() if page.is_file() else "# Performance\n"
    if begin not in text:
        text += f"\n{begin}\n{end}\n"
    head, rest = text.split(begin, 1)
    page.write_text(f"{head}{begin}\n{block}\n{end}{rest.split(end, 1)[1]}")
    return block


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", help="the second column of ROWS, such as audit or step")
    parser.add_argument("--data", help="a data set instead of the phantom")
    parser.add_argument("--device", help="train the four networks on this device instead, such as cuda:0, and compare with PyTorch")
    parser.add_argument("--batch", type=int, default=32, help="slices in a batch of --device")
    parser.add_argument("--label", help="what to call that data set in the table, for rows of its own")
    parser.add_argument("--out", default=str(REPO / "docs"), help="the folder of performance.md, .json and .svg")
    a = parser.parse_args()
    if a.data and not a.label:
        parser.error("--data needs a --label: the table has rows of the phantom and of other data")
    rows = [row for row in ROWS if not a.only or row[1] in a.only]
    if a.data:
        rows = [row for row in rows if "SCANNER" not in str(row)]
    if not a.only and "avx512_bf16" not in pathlib.Path("/proc/cpuinfo").read_text():
        print("bench: this processor does not compute in bf16; those rows are skipped (--only step-bf16 runs them anyway)")
        rows = [row for row in rows if "bf16" not in row[1]]
    with tempfile.TemporaryDirectory(prefix="covid-ct-bench-") as folder:
        data, heads = a.data or f"{folder}/phantom", f"{folder}/heads"
        draw = lambda to, *options: subprocess.run([OURS[0], "phantom", to, "--quality", "95", *options], check=True, capture_output=True)
        if not a.data:
            print("bench: drawing 5,000 slices", flush=True)
            draw(data, "--train-scans", "50", "--val-scans", "20", "--prediction-scans", "10", "--slices", "34")
        draw(heads, "--train-scans", "5", "--val-scans", "2", "--prediction-scans", "1", "--slices", "8", "--no-defects")
        environment = {"BENCH_FILES": f"{folder}/files.txt", "COVID_CT_WORKSPACE": folder}
        equal = check_equal(data, folder, environment)
        if a.device:
            import torch

            name = torch.cuda.get_device_name(a.device) if a.device.startswith("cuda") else "CPU"
            page = pathlib.Path(a.out) / "performance.md"
            keep = lambda block: into(page, f"device {a.device}", f"{name}; {machine()}.\n\n{block}")
            measure_device(a.device, data, min(a.rounds, 3), a.batch, environment, keep)
            print(page.read_text())
            return
        heads_list = f"{folder}/heads.txt"
        once([*OURS, "cache", heads, "--list", heads_list], 1, environment)
        split = [row for row in rows if "HEADS" in row[2]]
        zips = pathlib.Path(folder) / "zips"
        if any("ZIPS" in str(row) for row in rows):
            make_archives(data, zips)
        scanners, alike = ({}, None) if a.data else scanner_data(rows, folder)
        places = {"DATA": data, "HEADS": heads, "ZIPS": str(zips), "URL": f"file://{zips}", **scanners}
        of_scanners = [row for row in rows if any(place in scanners for place in row[2])]
        keep = lambda results: write(pathlib.Path(a.out), summed_up(results), equal, a.label)
        measure([row for row in rows if row not in split and row not in of_scanners], a.rounds, places, environment, keep)
        measure(split, a.rounds, places, {**environment, "BENCH_FILES": heads_list}, keep)
        keep = lambda results: write(pathlib.Path(a.out), summed_up(results), alike, a.label, "DICOM and NIfTI")
        measure(of_scanners, a.rounds, places, environment, keep)
    print((pathlib.Path(a.out) / "performance.md").read_text())


if __name__ == "__main__":
    main()
