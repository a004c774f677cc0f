"""SQL by name: statements live in `queries.sql` beside the store that sends them."""

import re
from importlib import resources
from typing import Final

_NAME: Final = re.compile(r"^-- name: (?P<name>[a-z_]+)$", re.MULTILINE)


def load(package: str) -> dict[str, str]:
    """Return the statements of a package's `queries.sql`, keyed by their `-- name:` line."""
    return parse((resources.files(package) / "queries.sql").read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, str]:
    """Split a file of named statements; a name used twice is an error."""
    parts = _NAME.split(text)
    names, bodies = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"named twice in queries.sql: {', '.join(twice)}")
    return {name: body.strip() for name, body in zip(names, bodies, strict=True)}
