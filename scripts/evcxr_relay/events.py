"""What a cell wrote of its end, and the error that Jupyter is told."""
import os, re

# evcxr's words where the process of the cells has ended.
DIED = "Subprocess terminated"
LOST = "\nAll variables are lost: run the cells before it again."
RED, BOLD, PLAIN = "\x1b[31m", "\x1b[1m", "\x1b[0m"


def read_events(path):
    """[kind, fields…] of each record that a cell has written (marks.rs)."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [record.split("\x1f") for record in text.split("\x1e")[:-1]]


def plain(name):
    """The name of a type without what it is generic over: `alloc::boxed::Box`."""
    return re.sub(r"<.*", "", name).removeprefix("&")


def renamed(content):
    """An error as evcxr sends it, with names that EVCXR_RELAY_RENAME changes: `one=other`, as where `:dep` renames a package."""
    one, _, other = os.environ.get("EVCXR_RELAY_RENAME", "").partition("=")
    if not one:
        return content
    changed = {name: content[name].replace(one, other) for name in ("ename", "evalue")}
    return {**content, **changed, "traceback": [line.replace(one, other) for line in content["traceback"]]}


def error(name, text, place=None):
    """An `error` message: the first line in red, causes and place below. Frames of the stack are left out, which are of use to
    those who wrote what failed: RUST_BACKTRACE=full keeps them."""
    if os.environ.get("RUST_BACKTRACE") != "full":
        text = text.partition("\n\nStack backtrace:\n")[0]
    first, _, rest = text.strip().partition("\n")
    lines = [f"{RED}{BOLD}{name}{PLAIN}{RED}: {first}{PLAIN}", *rest.splitlines()]
    if place:
        lines.append(f"at {place}")
    return {"ename": name, "evalue": text.strip(), "traceback": lines}


def failure(cell):
    """The error of a cell that failed, or None; and what else a reader is to be told.

    A panic that the cell caught is no failure, nor are words on standard error."""
    def of_kind(kind):
        return [event[1:] for event in cell.events if event[0] == kind]

    panics = of_kind("panic")
    if of_kind("escaped"):
        place, text = panics.pop() if panics else ("src/lib.rs", "the cell panicked")
        found = error("panic", text, None if place.startswith("src/lib.rs") else place)
    elif returned := of_kind("error"):
        name, text = returned[-1]
        found = error(plain(name), text)
    elif cell.killed:
        found = error("Interrupted", f"{cell.killed}: the cell was killed.{LOST}")
    elif cell.error and cell.error["evalue"].startswith(DIED):
        found = error("Died", cell.error["evalue"] + "." + LOST)
    else:
        found = cell.error
    return found, [f"thread 'main' panicked at {place}, which was caught:\n{text}\n" for place, text in panics]
