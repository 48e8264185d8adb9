"""A JupyterLab of our own, and one of its pages in Chromium."""
import json, os, pathlib, re, shutil, socket, subprocess, time, urllib.request

import nbformat

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
NAMES = ("chromium", "chromium-browser", "google-chrome")
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
# Debug text of a struct or a vector of structs: `Score { loss: 0.5, …`.
DEBUG = re.compile(r"\b[A-Z]\w+ \{ \w+: ")


def chromium():
    """The path of a Chromium on this machine, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def settings(folder):
    """Lab's settings: every cell in the page, also those that are scrolled out of sight; the light theme; no news."""
    for name, values in {
        "notebook-extension/tracker": {"windowingMode": "none"},
        "apputils-extension/themes": {"theme": THEMES["light"]},
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    }.items():
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


class Lab:
    """JupyterLab on loopback, serving `folder`; ended with its kernels when the block is left."""

    def __init__(self, folder, environment):
        self.folder, self.port = folder, free_port()
        self.settings = folder / ".settings"
        settings(self.settings)
        self.log = open(folder / "lab.log", "w")
        command = ["jupyter", "lab", "--no-browser", "--ip=127.0.0.1", f"--port={self.port}", "--IdentityProvider.token=",
                   "--expose-app-in-browser", f"--notebook-dir={folder}", "--ServerApp.port_retries=0"]
        command += ["--allow-root"] if os.geteuid() == 0 else []
        variables = {**environment, "JUPYTERLAB_SETTINGS_DIR": str(self.settings)}
        self.server = subprocess.Popen(command, env=variables, stdout=self.log, stderr=subprocess.STDOUT)

    def __enter__(self):
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/api/status", timeout=2).read()
                return self
            except OSError:
                if time.monotonic() > until or self.server.poll() is not None:
                    raise AssertionError(f"JupyterLab did not start: {(self.folder / 'lab.log').read_text()[-2000:]}")
                time.sleep(0.2)

    def __exit__(self, *of):
        self.server.terminate()
        try:
            self.server.wait(20)
        except subprocess.TimeoutExpired:
            self.server.kill()
        self.log.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def notebook(self, name, cells):
        """Writes a notebook of code cells."""
        kernel = {"name": "covid-ct", "display_name": "Rust (covid-ct)", "language": "rust"}
        made = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
        made.cells = [nbformat.v4.new_code_cell(source) for source in cells]
        nbformat.write(made, self.folder / name)
        return name


class Notebook:
    """A notebook in a page of the browser."""

    def __init__(self, page, lab, name):
        self.page, self.errors = page, []
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(f"{lab.url}/lab/tree/{name}?reset")
        self.wait_until_open()

    def wait_until_open(self):
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=180_000)
        self.page.wait_for_function(
            "window.jupyterapp && jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.connectionStatus === 'connected'",
            timeout=180_000)

    def command(self, name):
        """Runs a command of Lab's, as its menu does; does not wait for what it starts."""
        self.page.evaluate("name => { jupyterapp.commands.execute(name); }", name)

    def cell(self, number):
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(number)

    def prompt(self, number):
        return self.cell(number).locator(".jp-InputPrompt").inner_text().strip("[]: \n")

    def run_all(self):
        self.command("notebook:run-all-cells")

    def run_cell(self, number):
        self.cell(number).locator(".jp-InputPrompt").click()
        self.command("notebook:run-cell")

    def wait_for(self, what, seconds=120):
        """Until the function is true of this notebook."""
        until = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < until, f"waited for {seconds} s; the page shows:\n{self.output()[-3000:]}"
            time.sleep(0.1)

    def is_idle(self):
        """No cell runs or waits."""
        return "*" not in [self.prompt(number) for number in range(self.page.locator(".jp-Notebook .jp-CodeCell").count())]

    def output(self, number=None):
        """What a reader sees below a cell, or below all."""
        areas = (self.page if number is None else self.cell(number)).locator(".jp-OutputArea-output")
        return "\n".join(areas.all_inner_texts())

    def must_read_well(self, where):
        """No output is wider than its place unless it scrolls by itself, none is Debug text, the console has no error."""
        wide = self.page.evaluate("""() => [...document.querySelectorAll('.jp-OutputArea-output')].filter(of =>
            of.scrollWidth > of.clientWidth + 1 && !of.querySelector('[style*="overflow-x"]')).map(of =>
            `${of.scrollWidth} px in ${of.clientWidth}: ${of.innerText.slice(0, 200)}`)""")
        assert not wide, f"{where}: wider than the page:\n" + "\n".join(wide)
        debug = [line for line in self.output().splitlines() if DEBUG.search(line)]
        assert not debug, f"{where}: Debug text:\n" + "\n".join(debug[:5])
        assert not self.errors, f"{where}: the console says\n" + "\n".join(self.errors[:5])
