"""Several processes as one: their numbers added up, and those of the dead with them; pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from engine.infra.meters.families import Document, Family, Labels

_GROWS = frozenset({"counter", "histogram", "summary"})


class _Slot(NamedTuple):
    """What one slot told: in the life that was last heard of, and in all before it."""

    last: Document
    gone: dict[str, Family]


class Totals:
    """All that the processes of an instance ever told.

    A process is known by its slot (`api-0`), and a later life of it by its document. What a life
    told last stays in the sums, so they never fall; what it counted after that is lost with it.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._slots: dict[str, _Slot] = {}

    def hear(self, slot: str, document: Document) -> None:
        """Take what a process tells now."""
        known = self._slots.get(slot)
        gone = {} if known is None else known.gone
        if known is not None and known.last.life != document.life:
            _add(gone, (one for one in known.last.families if one.kind in _GROWS))
        self._slots[slot] = _Slot(document, gone)

    def families(self, alive: Iterable[str], facts: Iterable[Family] = ()) -> list[Family]:
        """Return everything as one: sums over all lives, gauges of those who answered just now."""
        merged: dict[str, Family] = {}
        answered = set(alive)
        for slot, (last, gone) in sorted(self._slots.items()):
            now = [one for one in last.families if one.kind in _GROWS or slot in answered]
            for families in (gone.values(), now):
                _add(merged, (_labelled(one, slot) for one in families))
        return [*merged.values(), *facts]


def _labelled(one: Family, slot: str) -> Family:
    """Put the label of its process on what is told of each."""
    if one.scope != "process":
        return one
    rows = [((*labels, slot), values) for labels, values in one.rows]
    return Family(
        one.name, one.kind, one.told, (*one.labels, "process"), one.scope, rows, one.bounds
    )


def _add(to: dict[str, Family], families: Iterable[Family]) -> None:
    """Add rows of the same labels up.

    Of two versions that know other labels or buckets by one name, the first is shown.
    """
    for one in families:
        known = to.get(one.name)
        if known is None:
            to[one.name] = Family(
                one.name, one.kind, one.told, one.labels, one.scope, list(one.rows), one.bounds
            )
        elif (known.kind, known.labels, known.bounds) == (one.kind, one.labels, one.bounds):
            known.rows = _sums(dict(known.rows), dict(one.rows))


def _sums(
    left: Mapping[Labels, list[float]], right: Mapping[Labels, list[float]]
) -> list[tuple[Labels, list[float]]]:
    rows = dict(left)
    for labels, values in right.items():
        known = rows.get(labels)
        rows[labels] = (
            values if known is None else [a + b for a, b in zip(known, values, strict=True)]
        )
    return sorted(rows.items())
