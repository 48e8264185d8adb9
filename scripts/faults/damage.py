"""Seeded damage of bytes and of JSON."""
import json, math


def flipped(bytes_, rng):
    """One to eight bits flipped."""
    damaged = bytearray(bytes_)
    for _ in range(rng.choice([1, 1, 2, 8])):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def cut(bytes_, rng):
    """The end is missing."""
    return bytes_[:rng.choice([0, rng.randrange(len(bytes_)), len(bytes_) - rng.randint(1, min(64, len(bytes_)))])]


def inserted(bytes_, rng):
    """Bytes that do not belong there."""
    at = rng.randrange(len(bytes_) + 1)
    return bytes_[:at] + rng.randbytes(rng.choice([1, 4, 100])) + bytes_[at:]


def dropped(bytes_, rng):
    """Bytes are missing in the middle."""
    at = rng.randrange(len(bytes_))
    return bytes_[:at] + bytes_[at + rng.choice([1, 4, 100]):]


def overwritten(bytes_, rng):
    """A piece is zeros, ones or noise, as after a fault of the disk."""
    at, length = rng.randrange(len(bytes_)), rng.choice([4, 64, 512])
    piece = rng.choice([bytes(length), b"\xff" * length, rng.randbytes(length)])[:len(bytes_) - at]
    return bytes_[:at] + piece + bytes_[at + len(piece):]


def moved(bytes_, rng):
    """Two pieces have changed places."""
    length = max(1, min(64, len(bytes_) // 4))
    a, b = sorted(rng.sample(range(max(2, len(bytes_) - length + 1)), 2))
    if a + length > b:
        return flipped(bytes_, rng)
    return bytes_[:a] + bytes_[b:b + length] + bytes_[a + length:b] + bytes_[a:a + length] + bytes_[b + length:]


BYTES = [flipped, flipped, flipped, cut, inserted, dropped, overwritten, moved]

# What people and programs write where a number should be.
NUMBERS = [-1, 0, 1, 2, 1e300, -1e300, 2**63, 2**64 - 1, -2**63, 0.5, -0.5, 1.5, 1e-300]


def edited(bytes_, rng):
    """JSON that is still JSON: a value changed, a field gone or added, a list shorter or longer."""
    try:
        value = json.loads(bytes_)
    except ValueError:
        return flipped(bytes_, rng)
    if not isinstance(value, (dict, list)):
        return json.dumps(rng.choice(NUMBERS)).encode()
    places = list(places_of(value))
    if not places:
        return flipped(bytes_, rng)
    holder, key = rng.choice(places)
    change(holder, key, rng)
    return json.dumps(value, indent=2).encode()


def places_of(value):
    """Every place in JSON, as its holder and its key."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from places_of(inner)


def change(holder, key, rng):
    """Changes what is at one place of JSON."""
    value, how = holder[key], rng.randrange(10)
    if how == 0:
        del holder[key]
    elif how == 1 and isinstance(holder, dict):
        holder[f"{key}_"] = value
    elif isinstance(value, bool):
        holder[key] = not value
    elif isinstance(value, (int, float)):
        near = [value + 1, value - 1, -value, value * (1 + 1e-3), value / 2]
        usable = [n for n in near + NUMBERS if not isinstance(n, float) or math.isfinite(n)]
        holder[key] = rng.choice([n for n in usable if n != value])
    elif isinstance(value, str):
        holder[key] = rng.choice([flipped_hex(value, rng), value[:-1], value + "x", "", None])
    elif isinstance(value, list) and value:
        rng.choice([lambda: value.pop(rng.randrange(len(value))), lambda: value.append(value[rng.randrange(len(value))]), value.reverse])()
    else:
        holder[key] = rng.choice([None, 1, "x", [], {}])


def flipped_hex(text, rng):
    """A text with another character at one place."""
    if not text:
        return "x"
    at = rng.randrange(len(text))
    return text[:at] + rng.choice("0123456789abcdef") + text[at + 1:]


def damaged(path, rng):
    """The contents of a file, damaged; and how, in a word. They always differ."""
    bytes_ = path.read_bytes()
    for _ in range(20):
        if not bytes_:
            return b"x", "filled"
        how = rng.choice(BYTES + ([edited] * 8 if path.suffix == ".json" else []))
        result = how(bytes_, rng)
        if result != bytes_:
            return result, how.__name__
    return bytes_ + b"\0", "lengthened"
