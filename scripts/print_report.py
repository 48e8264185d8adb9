#!/usr/bin/env python3
"""Checks a report, and renders it in headless Chromium as PDF (A4) and as pictures, light and dark.

  print_report.py REPORT.html                  writes REPORT.pdf, REPORT-light-N.png and REPORT-dark-N.png next to it
  print_report.py REPORT.html --out DIR        … into DIR
  print_report.py REPORT.html --figures        also every figure, figures/*.svg beside the report, as PNG of twice its size
  print_report.py REPORT.html --check          only checks: every tag is closed, nothing is fetched from elsewhere
Without Chromium on the PATH it only checks, and the exit code is 2.
"""
import argparse, html.parser, pathlib, re, shutil, subprocess, sys, tempfile

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, TALLEST = 1240, 8000
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
# Attributes that a browser would fetch, and tags that run code.
FETCHING = {"src", "srcset", "href", "action", "data", "poster", "xlink:href"}
FORBIDDEN = {"script", "link", "iframe", "object", "embed", "base", "form"}


class Checked(html.parser.HTMLParser):
    """Collects the open tags and the faults."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.wanted, self.wrong = [], set(), [], []

    def handle_starttag(self, tag, attributes):
        if tag in FORBIDDEN:
            self.wrong.append(f"line {self.getpos()[0]}: <{tag}> has no place in a self-contained page")
        for name, value in attributes:
            if name == "id":
                if value in self.ids:
                    self.wrong.append(f"the id {value!r} is there twice")
                self.ids.add(value)
            elif name in FETCHING and (value or "").startswith("#"):
                self.wanted.append(value[1:])
            elif name in FETCHING and not (value or "").startswith("data:"):
                self.wrong.append(f"<{tag} {name}={(value or '')[:60]!r}>: expected data: or a place on this page")
            elif name.startswith("on"):
                self.wrong.append(f"<{tag} {name}>: a page of results runs nothing")
            elif name == "style":
                self.style(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.wrong.append(f"line {self.getpos()[0]}: </{tag}> closes <{self.open[-1] if self.open else 'nothing'}>")
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, text):
        if self.open and self.open[-1] == "style":
            self.style(text)

    def style(self, text):
        for found in re.findall(r"@import[^;]*|url\([^)]*\)", text):
            if "data:" not in found:
                self.wrong.append(f"the style fetches {found[:60]!r}")


def check(page):
    """The faults of a page, one line each."""
    checked = Checked()
    checked.feed(page.read_text(encoding="utf-8"))
    checked.close()
    wrong = checked.wrong + [f"<{tag}> is never closed" for tag in checked.open]
    return wrong + [f"a link leads to #{name}, which is not there" for name in checked.wanted if name not in checked.ids]


def chromium(browser, folder, page, *options):
    """Runs Chromium on a page with a profile of its own; returns what it printed."""
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
               f"--user-data-dir={folder / 'profile'}", *options, page.resolve().as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        sys.exit(f"rendering {page} with {browser}: exit code {done.returncode}: {done.stderr[-800:]}")
    return done.stdout


def varied(page, folder, name, addition):
    """A copy of the page with something added at its end: the page itself holds no script."""
    copy = folder / name
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", addition + "</body>"), encoding="utf-8")
    return copy


def height(browser, folder, page):
    """The page's height in pixels, which its copy writes into its title."""
    script = "<script>document.title='height '+document.documentElement.scrollHeight</script>"
    told = chromium(browser, folder, varied(page, folder, "height.html", script), f"--window-size={WIDTH},1000", "--dump-dom")
    found = re.search(r"<title>height (\d+)</title>", told)
    if not found:
        sys.exit(f"measuring {page}: expected a title with its height from {browser}, found none")
    return int(found.group(1))


def render(browser, page, out):
    """PDF and pictures; returns what was written."""
    out.mkdir(parents=True, exist_ok=True)
    pdf, written = out / f"{page.stem}.pdf", []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        chromium(browser, folder, page, f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
        written.append(pdf)
        tall = height(browser, folder, page)
        for part, top in enumerate(range(0, tall, TALLEST), 1):
            moved = f"<style>html{{overflow:hidden}}body{{position:relative;top:-{top}px}}</style>"
            copy = varied(page, folder, f"part-{part}.html", moved)
            size = f"--window-size={WIDTH},{min(TALLEST, tall - top)}"
            # Blink's own numbers of the two: 0 is dark, 1 is light.
            for theme, number in (("light", 1), ("dark", 0)):
                picture = out / f"{page.stem}-{theme}-{part}.png"
                chromium(browser, folder, copy, size, f"--blink-settings=preferredColorScheme={number}", f"--screenshot={picture}")
                written.append(picture)
    missing = [str(file) for file in written if not file.is_file()]
    if missing:
        sys.exit(f"rendering {page}: {browser} wrote no {', '.join(missing)}")
    return written


def figures(browser, page, out):
    """Every SVG of the report as PNG; returns what was written."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for svg in sorted((page.parent / "figures").glob("*.svg")):
            text = svg.read_text(encoding="utf-8")
            width, height = (re.search(rf'<svg [^>]*\b{side}="(\d+)"', text).group(1) for side in ("width", "height"))
            copy, picture = folder / "figure.html", out / f"{svg.stem}.png"
            copy.write_text(f"<!DOCTYPE html><style>body{{margin:0}}svg{{display:block}}</style>{text[text.index('<svg'):]}", encoding="utf-8")
            size = f"--window-size={width},{height}"
            chromium(browser, folder, copy, size, "--force-device-scale-factor=2", "--blink-settings=preferredColorScheme=1",
                     f"--screenshot={picture}")
            written.append(picture)
    return written


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--figures", action="store_true", help="also the figures, as PNG")
    parser.add_argument("--check", action="store_true", help="render nothing")
    args = parser.parse_args()
    if not args.report.is_file():
        sys.exit(f"{args.report}: there is no such file; `covid-ct report` writes report.html")
    wrong = check(args.report)
    if wrong:
        sys.exit(f"{args.report}: {len(wrong)} faults\n" + "\n".join(wrong[:20]))
    print(f"{args.report}: every tag is closed, nothing is fetched from elsewhere")
    if args.check:
        return
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"not rendered: none of {', '.join(BROWSERS)} is on the PATH", file=sys.stderr)
        sys.exit(2)
    out = args.out or args.report.parent
    written = render(browser, args.report, out)
    written += figures(browser, args.report, out / "figures") if args.figures else []
    for file in written:
        print(file)


if __name__ == "__main__":
    main()
