"""The cell's own rules, pools and counters, read without a script; nothing here changes any."""

from collections.abc import Collection
from typing import Final, Literal

from engine.infra import keys
from engine.infra.cell import Cell

_FIELDS_MAX: Final = 4_000  # of one command


async def read(
    cell: Cell, name: Literal["rules", "pools", "counters"], fields: Collection[str]
) -> dict[str, bytes]:
    """Return those of these fields that there are, by name.

    Raises:
        OutcomeUnknown: the cell does not answer.
    """
    named, found = sorted(fields), dict[str, bytes]()
    for first in range(0, len(named), _FIELDS_MAX):
        part = named[first : first + _FIELDS_MAX]
        values = await cell.ask("HMGET", keys.of(cell.id, name), *part)
        found |= {field: one for field, one in zip(part, values, strict=True) if one is not None}
    return found
