"""What a reader of the notebooks sees, in JupyterLab in Chromium.

  python tests/browser --out DIR [--all]

Without --all the behaviour: a cell that fails, an interrupt during a training, a page closed meanwhile, a restart. With it also
every notebook by Run All, in the light and the dark theme at 1280 px, and the report. Pictures of what was seen stay in DIR.
"""
import argparse, os, pathlib, shutil, subprocess, sys, time

sys.path[:0] = [str(folder) for folder in pathlib.Path(__file__).resolve().parents[:2]]
from cells import PREPARED
from lab import REPO, THEMES, Lab, Notebook, chromium, settings


class Tests:
    def __init__(self, browser, lab, out):
        self.browser, self.lab, self.out = browser, lab, out

    def page(self, name):
        settings(self.lab.settings)
        page = self.browser.new_page(viewport={"width": 1280, "height": 900})
        return Notebook(page, self.lab, name)

    def picture(self, notebook, name):
        notebook.page.screenshot(path=self.out / f"{name}.png")

    def a_cell_that_fails_stops_run_all(self):
        """The error is red, with its name; what comes after it is not run."""
        name = self.lab.notebook("fails.ipynb", ["let list = vec![1, 2, 3];", 'RunConfig::read("nowhere.json")?', "list"])
        notebook = self.page(name)
        notebook.run_all()
        notebook.wait_for(lambda: notebook.prompt(0).isdigit() and notebook.is_idle())
        assert "nowhere.json" in notebook.output(1), notebook.output(1)
        assert notebook.cell(1).locator(".ansi-red-fg").count(), "the error has no colour"
        assert notebook.output(2) == "" and notebook.prompt(2) == "", "the cell after it was run"
        notebook.run_cell(2)
        notebook.wait_for(lambda: "[1, 2, 3]" in notebook.output(2))
        self.picture(notebook, "failing-cell")
        notebook.must_read_well(name)
        notebook.page.close()

    def an_opened_notebook_is_not_modified(self):
        """Opening a notebook and connecting its kernel changes nothing in it."""
        shutil.copy(REPO / "notebooks/01_dataset.ipynb", self.lab.folder / "opened.ipynb")
        notebook = self.page("opened.ipynb")
        notebook.page.wait_for_function(
            "jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'", timeout=120_000)
        time.sleep(2)
        assert not notebook.page.evaluate("jupyterapp.shell.currentWidget.context.model.dirty"), "modified at once"
        notebook.page.close()

    def an_interrupt_during_training_keeps_variables(self):
        """Progress is one bar a stage and a table that grows; an interrupt ends the training within 2 s; it goes on after a
        page was closed and opened again; a restart begins anew."""
        name = self.lab.notebook("trains.ipynb", [PREPARED, "run.train()?", "run.settings().epochs", ":now"])
        notebook = self.page(name)
        notebook.run_all()
        notebook.wait_for(lambda: "Training loss" in notebook.output(1), 300)
        assert notebook.cell(0).locator("progress").count() <= 5, "a wall of progress"
        self.picture(notebook, "training")
        assert len(notebook.output(1).splitlines()) < 200, "a wall of lines"
        begun = time.monotonic()
        notebook.command("notebook:interrupt-kernel")
        notebook.wait_for(lambda: "interrupted" in notebook.output(1), 20)
        print(f"    interrupted after {time.monotonic() - begun:.1f} s")
        notebook.wait_for(notebook.is_idle)
        assert notebook.output(2) == "", "the queued cell was run"
        notebook.run_cell(2)
        notebook.wait_for(lambda: "100000" in notebook.output(2))
        self.picture(notebook, "interrupted")
        notebook.run_cell(1)
        notebook.wait_for(lambda: "resumed" in notebook.output(1) or "Training loss" in notebook.output(1))
        notebook.command("docmanager:save")
        time.sleep(2)
        notebook.must_read_well(name)
        notebook.page.close()
        again = self.page(name)
        # Lab does not bring the cell's output here; a cell of `:now` does, and what it shows goes on changing.
        again.run_cell(3)
        again.wait_for(lambda: "Training loss" in again.output(3))
        epochs = again.cell(3).locator("tbody tr").count()
        again.wait_for(lambda: again.cell(3).locator("tbody tr").count() > epochs)
        self.picture(again, "opened-again")
        again.command("notebook:interrupt-kernel")
        again.command("notebook:restart-kernel")
        again.page.locator(".jp-Dialog .jp-mod-accept").click()
        again.page.wait_for_function(
            "jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'", timeout=120_000)
        again.run_cell(2)
        again.wait_for(lambda: "cannot find value" in again.output(2), 120)
        self.picture(again, "restarted")
        again.page.close()

    def every_notebook_by_run_all(self):
        """In the light theme, and what it shows once more in the dark one."""
        for path in sorted((REPO / "notebooks").glob("*.ipynb")):
            shutil.copy(path, self.lab.folder / path.name)
            notebook = self.page(path.name)
            begun = time.monotonic()
            notebook.run_all()
            time.sleep(1)
            notebook.wait_for(notebook.is_idle, 900)
            failed = notebook.page.locator(".jp-OutputArea-output .ansi-red-fg")
            assert not failed.count(), f"{path.name}: {failed.first.inner_text()}"
            print(f"    {path.name}: {time.monotonic() - begun:.0f} s", flush=True)
            for theme, name in THEMES.items():
                notebook.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", name)
                time.sleep(1)
                notebook.must_read_well(f"{path.name}, {theme}")
                self.picture(notebook, f"{path.stem}-{theme}")
            notebook.command("docmanager:save")
            time.sleep(1)
            notebook.command("kernelmenu:shutdown")
            notebook.page.close()

    def the_report_can_be_read(self):
        """By axe-core without a serious finding, unfolded, at both widths in both themes; nothing is wider than the page."""
        from axe_playwright_python.sync_playwright import Axe
        must_be_accessible(self.browser, Axe(), self.lab.folder / "report.html", self.out)


def must_be_accessible(browser, axe, report, out):
    for width in (1280, 400):
        for theme in ("light", "dark"):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
            page.goto(report.as_uri())
            page.evaluate("document.querySelectorAll('details').forEach(of => of.open = true)")
            found = [of for of in axe.run(page).response["violations"] if of["impact"] in ("serious", "critical")]
            told = [f"{of['id']} ({len(of['nodes'])}): {of['nodes'][0]['html'][:200]}" for of in found]
            assert not told, f"report at {width} px, {theme}:\n" + "\n".join(told)
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"report at {width} px: {wide} px wider than the page"
            page.evaluate("document.querySelectorAll('details').forEach(of => of.open = false)")
            page.screenshot(path=out / f"report-{width}-{theme}.png")
            page.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--all", action="store_true")
    args = parser.parse_args()
    if not chromium():
        sys.exit("expected a Chromium: on Debian or Ubuntu `sudo apt-get install chromium`")
    from playwright.sync_api import sync_playwright
    out = args.out.resolve()
    work = out / "lab"
    shutil.rmtree(out, ignore_errors=True)
    work.mkdir(parents=True)
    data = work / "phantom"
    draw = ["--train-scans", "12", "--val-scans", "5", "--prediction-scans", "3", "--slices", "8"]
    subprocess.run([REPO / "covid-ct", "phantom", data, *draw], check=True, capture_output=True)
    environment = {**os.environ, "COVID_CT_WORKSPACE": str(work), "COVID_CT_DATA": str(data)}
    tests = ["an_opened_notebook_is_not_modified", "a_cell_that_fails_stops_run_all",
             "an_interrupt_during_training_keeps_variables"]
    tests += ["every_notebook_by_run_all", "the_report_can_be_read"] if args.all else []
    with sync_playwright() as playwright, Lab(work, environment) as lab:
        browser = playwright.chromium.launch(executable_path=chromium(), args=[
            "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--disable-quic", *(["--no-sandbox"] if os.geteuid() == 0 else [])])
        for name in tests:
            begun = time.monotonic()
            print(f"browser: {name} …", flush=True)
            try:
                getattr(Tests(browser, lab, out), name)()
            except Exception:
                for number, page in enumerate(page for context in browser.contexts for page in context.pages):
                    page.screenshot(path=out / f"failed-{number}.png")
                raise
            print(f"browser: {name} ok, {time.monotonic() - begun:.0f} s", flush=True)
        browser.close()
    print(f"browser: {len(tests)} tests passed; pictures: {out}")


if __name__ == "__main__":
    main()
