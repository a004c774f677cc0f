"""Lua files with their includes pasted in: one level, never nested, missing or twice.

In the source tree they stand in `lua/`; in an installed package beside this one, as `engine/lua`.
"""

import re
from functools import cache
from pathlib import Path
from typing import Final

_INCLUDE: Final = re.compile(r'^--- @include "(?P<name>[a-z_]+)"$', re.MULTILINE)
_PLACES: Final = (Path(__file__).parents[1] / "lua", Path(__file__).parents[2] / "lua")


@cache
def root() -> Path:
    """Return the folder of the scripts.

    Raises:
        FileNotFoundError: the package was installed without them.
    """
    for place in _PLACES:
        if (place / "include").is_dir():
            return place
    raise FileNotFoundError("the Lua scripts are missing: reinstall tidegate")


def names() -> list[str]:
    """Return every script's name, sorted."""
    return sorted(path.stem for path in root().glob("*.lua"))


@cache
def source(name: str, folder: Path | None = None) -> str:
    """Return the full text of one script.

    Raises:
        ValueError: an include is missing, named twice, or includes another one.
    """
    place = folder or root()
    text = (place / f"{name}.lua").read_text(encoding="utf-8")
    included = _INCLUDE.findall(text)
    if len(set(included)) != len(included):
        raise ValueError(f"{name}.lua includes a fragment twice")
    return _INCLUDE.sub(lambda found: _fragment(place, name, found["name"]), text)


def _fragment(place: Path, script: str, name: str) -> str:
    path = place / "include" / f"{name}.lua"
    if not path.is_file():
        raise ValueError(f'{script}.lua includes "{name}", which is not in lua/include')
    text = path.read_text(encoding="utf-8")
    if _INCLUDE.search(text):
        raise ValueError(f"lua/include/{name}.lua includes another fragment: one level only")
    return text
