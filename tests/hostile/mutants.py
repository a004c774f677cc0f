"""Bodies that are almost right: samples of a schema, and seeded mutations of them."""

import json
import random
from collections.abc import Iterator
from math import ceil, floor
from typing import Any

# What stands in the place of one value of a good body.
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**40,
    0.5, -0.0, 1.0, 1e308, 1e-320, "", " ", "0", "1", "null", "\x00", "a\x00b", "\ud800",
    "\udfff\ud800", "\u202e", "\ufeff", "\x1b[2J", "💥" * 40, "é" * 128, "a" * 129, "a" * 70_000,
    "'; DROP TABLE orders; --", "{{7*7}}", "${jndi:ldap://a}", "../../etc/passwd", "%00", "<b>",
    "2026-11-11T00:00:00+08:00", "0000-01-01T00:00:00Z", "9999-12-31T23:59:60+14:00", "2026-02-30",
    [], {}, [[]], [None], {"": ""}, {"a": {"a": {}}}, [1] * 3_000, {"$ref": "#"}, {"__proto__": 1},
]  # fmt: skip
NUMBERS = ["1e400", "-1e400", "NaN", "Infinity", "-Infinity", "01", "+1", "1.", ".5", "0x10", "1e",
           "1E+2", "9" * 5_000, "0." + "0" * 5_000 + "1", "1_000", "-"]  # fmt: skip
BYTES = [b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\\",
         b"\\u", b"\\ud800", b"\\u0000", b'"', b"'", b"{", b"}", b"[", b"]", b",", b":", b"//",
         b"\n", b"\x7f", b"\xe2\x80\xa8"]  # fmt: skip
WANTED = 0.3  # the chance of a member that may be left out
DEEP = [b"[", b'{"a":', b'[{"a":']


def sample(schema: dict[str, Any], parts: dict[str, Any], rng: random.Random) -> Any:
    """Return a value that a schema allows, as far as the schema tells."""
    if "$ref" in schema:
        schema = parts[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return sample(rng.choice(schema["anyOf"]), parts, rng)
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if schema.get("type") == "object":
        named, needed = schema.get("properties", {}), schema.get("required", [])
        chosen = [name for name in named if name in needed or rng.random() < WANTED]
        return {name: sample(named[name], parts, rng) for name in chosen}
    if schema.get("type") == "array":
        many = max(schema.get("minItems", 0), rng.randrange(3))
        kinds = schema.get("prefixItems") or [schema.get("items", {})] * many
        return [sample(kind, parts, rng) for kind in kinds]
    return _plain(schema, rng)


def mutants(rng: random.Random, good: Any) -> Iterator[bytes]:
    """Yield bodies without end, each changed in one to three places, in its tree or its bytes."""
    while True:
        match rng.randrange(8):
            case 0:
                yield _cut(rng, _bytes(good))
            case 1:
                yield _spliced(rng, _bytes(good))
            case 2:
                yield _deep(rng, good)
            case 3:
                yield _numbered(rng, good)
            case 4:
                yield _twice(rng, good)
            case _:
                changed = good
                for _ in range(rng.randint(1, 3)):
                    changed = _changed(rng, changed)
                yield _bytes(changed, ascii_only=rng.random() < 0.5)


def _plain(schema: dict[str, Any], rng: random.Random) -> Any:
    least, most = ceil(max(schema.get("minimum", 0), 0)), floor(min(schema.get("maximum", 9), 9))
    whole = rng.randint(least, most)
    simple = {"integer": whole, "number": whole / 2, "boolean": whole > 4, "null": None}
    return simple[schema["type"]] if schema.get("type") in simple else _text(schema, rng)


def _text(schema: dict[str, Any], rng: random.Random) -> str:
    if schema.get("format") == "date-time":
        return "2026-11-11T00:00:00+08:00"
    if schema.get("pattern") == "^[A-Z]{3}$":
        return "CNY"
    return rng.choice(["A", "mall", "sale", "b-1", f"x-{rng.randrange(10**9)}"])


def _bytes(value: Any, *, ascii_only: bool = True) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            found += _places(value[key], (*path, key))
    return found


def _set(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = _set(value[path[0]], path[1:], new)
    return copy


def _get(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _changed(rng: random.Random, good: Any) -> Any:
    path = rng.choice(_places(good))
    here = _get(good, path)
    if isinstance(here, dict) and here and rng.random() < 0.5:
        copy = here.copy()
        if rng.random() < 0.5:
            copy.pop(rng.choice(sorted(copy)))
        else:
            copy[rng.choice(["", "x", "\x00", "\ud800", "__class__", "k" * 300])] = 1
        return _set(good, path, copy)
    if isinstance(here, list) and here and rng.random() < 0.5:
        return _set(good, path, here * rng.choice([0, 2, 201]))
    return _set(good, path, rng.choice(VALUES))


def _cut(rng: random.Random, raw: bytes) -> bytes:
    return raw[: rng.randrange(len(raw))]


def _spliced(rng: random.Random, raw: bytes) -> bytes:
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(raw) + 1)
        raw = raw[:at] + rng.choice(BYTES) + raw[at + rng.randrange(2) :]
    return raw


def _deep(rng: random.Random, good: Any) -> bytes:
    opening, many = rng.choice(DEEP), rng.choice([10, 17, 200, 1_000, 5_000])
    raw = _bytes(_set(good, rng.choice(_places(good)), "DEEP"))
    return raw.replace(b'"DEEP"', opening * many + b"1" + b"]" * (rng.randrange(2) * many), 1)


def _numbered(rng: random.Random, good: Any) -> bytes:
    raw = _bytes(_set(good, rng.choice(_places(good)), "NUMBER"))
    return raw.replace(b'"NUMBER"', rng.choice(NUMBERS).encode(), 1)


def _twice(rng: random.Random, good: Any) -> bytes:
    """One key of some object given twice, the second time with another value."""
    objects = [path for path in _places(good) if isinstance(_get(good, path), dict)]
    if not objects:
        return _bytes(good)
    path = rng.choice(objects)
    here = _get(good, path)
    key = rng.choice(sorted(here)) if here else "x"
    raw = _bytes(_set(good, path, here | {"TWICE": 1}))
    again = json.dumps(key) + ":" + json.dumps(rng.choice(VALUES))
    return raw.replace(b'"TWICE": 1', again.encode(), 1)
