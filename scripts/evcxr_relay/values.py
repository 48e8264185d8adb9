"""What an inspection (Shift+Tab) says of a variable: its value, too."""
import re

# Of a value that is shown as text alone, such as a long list.
MOST_CHARACTERS = 2000


def variable_at(content):
    """The name at the cursor of an `inspect_request` if it may be a variable's, or None."""
    code, at = content["code"], content["cursor_pos"]
    for found in re.finditer(r"[A-Za-z_]\w*", code):
        if found.start() <= at <= found.end():
            before, after = code[:found.start()].rstrip(), code[found.end():].lstrip()
            return None if before.endswith((".", "::")) or after.startswith(("(", "!", "::")) else found.group()
    return None


def is_variable(name, content):
    """Whether evcxr's `inspect_reply` is of a variable: it says its name and type, and no path."""
    return content.get("data", {}).get("text/plain", "").startswith(f"{name}: ")


def with_value(content, value):
    """An `inspect_reply` with what a cell of the variable shows, if anything, below what evcxr says of it."""
    data, plain = dict(content["data"]), value.get("text/plain", "")
    if len(plain) > MOST_CHARACTERS:
        plain = plain[:MOST_CHARACTERS] + " …"
    if plain:
        data["text/plain"] += "\n\n" + plain
    if "text/html" in value:
        data["text/html"] = data.get("text/html", "") + value["text/html"]
    elif plain:
        # Jupyter shows HTML where there is some: the text is part of it.
        escaped = plain.replace("&", "&amp;").replace("<", "&lt;")
        data["text/html"] = data.get("text/html", "") + f"<pre>{escaped}</pre>"
    return {**content, "data": data}
