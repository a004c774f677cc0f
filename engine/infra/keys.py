"""Every Valkey key the engine uses.

The braces are the cluster hash tag: all keys of a cell live in one slot, which is what lets one
script touch all of them.
"""

from typing import Final

from engine.kernel.types import CellId

_NAMES: Final = ("cell", "log", "pools", "holds", "due", "rules", "counters", "once", "done")


def of(cell: CellId, name: str) -> str:
    """Return one key of a cell; `lua/README.md` says what each holds."""
    assert name in _NAMES, name
    return f"tg:{{c{cell}}}:{name}"


def every(cell: CellId) -> tuple[str, ...]:
    """Return all keys of a cell in the order in which every script takes them."""
    return tuple(of(cell, name) for name in _NAMES)
