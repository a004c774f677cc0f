"""What buyers were told, order by order: the generators' files put together."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# With these a client is told for certain that nothing was taken; of other 5xx nobody knows.
CERTAIN: Final = frozenset({
    "sold_out", "limit_reached", "not_started", "ended", "paused", "unknown_sku", "closed",
    "overloaded", "rate_limited", "deadline_passed", "ticket_needed", "validation_failed",
})  # fmt: skip
TOLD_MAX: Final = 20


@dataclass(slots=True)
class Told:
    """By number of an arrival; `synced` is of marketplaces, by the number of its order."""

    taken: dict[int, str] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    synced: dict[int, str] = field(default_factory=dict)
    paid: set[str] = field(default_factory=set)
    unknown: int = 0
    differs: list[str] = field(default_factory=list)


def read(paths: Iterable[Path]) -> Told:
    """Return what the files say."""
    told = Told()
    for path in paths:
        with path.open(encoding="utf-8") as file:
            for line in file:
                n, what, more = line.rstrip("\n").split("\t", 2)
                _add(told, int(n), what, more)
    return told


def _add(told: Told, n: int, what: str, more: str) -> None:
    match what:
        case "taken":
            told.taken[n] = more
        case "refused" if more in CERTAIN:
            told.refused[n] = more
        case "synced":
            told.synced[n] = more
        case "paid":
            told.paid.add(more)
        case "differs":
            told.differs.append(f"{n}: {more}")
        case _:
            told.unknown += 1
