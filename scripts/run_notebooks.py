#!/usr/bin/env python3
"""Executes notebooks on the real kernel, in order; saves them executed, as HTML, and their figures.

  run_notebooks.py --out DIR [NOTEBOOK …]     all of notebooks/ unless some are named
Stops at the first cell that fails, also by a panic or an error returned by `?`. While one notebook runs, the kernel of the
next one starts, as long as no cell computes.
"""
import argparse, base64, contextlib, copy, os, pathlib, re, signal, subprocess, sys, threading, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import nbformat
import notebook_kernel as nk
from jupyter_core.paths import jupyter_path
from nbconvert import HTMLExporter

REPO = pathlib.Path(__file__).resolve().parent.parent


def headline(code):
    """The first line of a cell that is neither empty nor a comment."""
    lines = [line.strip() for line in code.splitlines() if line.strip() and not line.strip().startswith("//")]
    return (lines or [""])[0][:90]


def jobs(paths, wanted):
    """(name, notebook): once for each set of parameters that a notebook's metadata lists, else once."""
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        variants = notebook.metadata.get("covid_ct", {}).get("parameters", {})
        if not variants:
            yield path.stem, notebook
        for variant, source in variants.items():
            if wanted and variant not in wanted:
                continue
            varied = copy.deepcopy(notebook)
            cells = [cell for cell in varied.cells if "parameters" in cell.metadata.get("tags", [])]
            if len(cells) != 1:
                sys.exit(f"{path}: expected one cell with the tag 'parameters', found {len(cells)}")
            cells[0].source = source
            yield f"{path.stem}-{variant}", varied


# Seconds after which a cell is compiled and computes.
COMPILED = 2.0


@contextlib.contextmanager
def alone(following):
    """Pauses the next kernel while a cell computes: threads that wait for each other need all processors at once, and took
    three times as long while it was starting."""
    def signal_kernel(what):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(following.provisioner.pgid, what)

    if not following:
        yield
        return
    hold = threading.Timer(COMPILED, signal_kernel, [signal.SIGSTOP])
    hold.start()
    try:
        yield
    finally:
        hold.cancel()
        hold.join()
        signal_kernel(signal.SIGCONT)


def run_notebook(name, notebook, manager, following, quiet):
    """Runs every code cell; returns the executed notebook and, where one failed, (its number, why)."""
    started = time.monotonic()
    client = nk.ready(manager)
    print(f"\n{name}: kernel ready after {time.monotonic() - started:.1f} s more", flush=True)
    failed = None
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(cells, 1):
        begun = time.monotonic()
        print(f"  [{number}/{len(cells)}] {headline(cell.source)}", flush=True)
        show = (lambda text: None) if quiet else (lambda text: print("".join(f"      {l}\n" for l in text.splitlines() if l.strip()), end="", flush=True))
        try:
            with alone(following):
                outputs = nk.execute(client, cell.source, on_text=show)
        except nk.CellFailed as error:
            outputs, failed = error.outputs, (number, str(error))
        cell.outputs = [nbformat.from_dict(output) for output in outputs]
        cell.execution_count = number
        seconds = time.monotonic() - begun
        if seconds > 5:
            print(f"      {seconds:.1f} s", flush=True)
        if failed:
            break
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    return notebook, failed


# Long lines of training break between words.
STYLE = ":root{color-scheme:light dark}.jp-OutputArea-output pre{word-break:normal!important;overflow-wrap:anywhere}"


def page(notebook, with_report):
    """A notebook as a page that needs no network: its own title, dark where the reader's system is, a link to the report."""
    notebook = copy.deepcopy(notebook)
    headings = re.findall(r"^# (.+)", "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown"), re.MULTILINE)
    notebook.metadata["title"] = (headings or ["Notebook"])[0] + " · covid-ct"
    html, _ = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True).from_notebook_node(notebook)
    # Formulas, diagrams and widgets, which these notebooks do not have, would be drawn by scripts from elsewhere.
    html = re.sub(r"<script\b.*?</script>", "", html, flags=re.DOTALL)
    dark = next(path for folder in jupyter_path("nbconvert/templates/lab/static")
                if (path := pathlib.Path(folder) / "theme-dark.css").is_file()).read_text()
    style = f"<style>{STYLE}</style><style>@media (prefers-color-scheme: dark) {{{dark}}}</style>"
    link = '<p style="margin:1em 2em"><a href="report.html">The report of all runs</a></p>' if with_report else ""
    return html.replace("</head>", f"{style}</head>", 1).replace("</body>", f"{link}</body>", 1)


def save(notebook, name, out, with_report):
    """The executed notebook, its HTML, and every figure in it as a file."""
    (out / "figures").mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, out / f"{name}.ipynb")
    (out / f"{name}.html").write_text(page(notebook, with_report))
    figures = re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)",
                         "".join(o.get("data", {}).get("text/html", "") for c in notebook.cells for o in c.get("outputs", [])))
    for number, figure in enumerate(figures, 1):
        (out / "figures" / f"{name}-{number}.svg").write_bytes(base64.b64decode(figure))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--variant", action="append", help="for a notebook with parameters, run only this set, such as resnet152")
    parser.add_argument("--quiet", action="store_true", help="do not repeat what cells print")
    args = parser.parse_args()
    out = args.out.resolve()
    paths = [path.resolve() for path in args.notebooks] or sorted((REPO / "notebooks").glob("*.ipynb"))
    todo = [(name, notebook, path.parent) for path in paths for name, notebook in jobs([path], args.variant)]
    environment = {**os.environ, "COVID_CT_WORKSPACE": str(out)}
    if environment.get("COVID_CT_DATA"):
        environment["COVID_CT_DATA"] = str(pathlib.Path(environment["COVID_CT_DATA"]).resolve())
    data = environment.get("COVID_CT_DATA")
    unlabelled = not data or (pathlib.Path(data) / "prediction").is_dir()
    if not args.notebooks and not unlabelled:
        todo = [job for job in todo if not job[0].startswith("06")]
        print(f"{data} has no prediction/: notebook 06 is skipped, and the report is written without it")
    with_report = not args.notebooks
    begun, following = time.monotonic(), None
    try:
        for index, (name, notebook, folder) in enumerate(todo):
            manager = following or nk.start(folder, environment)
            following = nk.start(todo[index + 1][2], environment) if index + 1 < len(todo) else None
            notebook, failed = run_notebook(name, notebook, manager, following, args.quiet)
            save(notebook, name, out, with_report)
            if failed:
                sys.exit(f"\n{name}: cell {failed[0]} failed:\n{failed[1]}\nThe notebook up to there: {out / name}.ipynb")
    finally:
        if following and following.is_alive():
            following.shutdown_kernel(now=True)
    if not args.notebooks and not unlabelled:
        published = REPO / "data_manifest/published-results.json"
        subprocess.run([REPO / "covid-ct", "report", "--published", published], env=environment, check=True)
    print(f"\n{len(todo)} notebooks in {time.monotonic() - begun:.0f} s. Results:")
    for name, _, _ in todo:
        print(f"  {out / name}.html")
    print(f"  {out / 'report.html'}" if (out / "report.html").is_file() else f"  (no report in {out})")


if __name__ == "__main__":
    main()
