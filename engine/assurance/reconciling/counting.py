"""Counters of the cell, against the sum of what its holds count towards them.

Adding up goes along with the check of the holds and costs nothing else. Where the sums differ, the
holds are gone through once more for those counters alone, and then both are read at one position:
holds that came since then are in the log.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Final
from zlib import crc32

from engine.assurance.reconciling import cellside, rules
from engine.assurance.reconciling.types import Drift
from engine.infra.cell import Cell

_FIELDS_A_PART: Final = 300_000  # so many sums fit into some 50 MB
_SUSPECTS_MAX: Final = 2_000
_HOLDERS_MAX: Final = 1_000  # holds that one counter is compared with at one position
_ENTRIES_MAX: Final = 500
_TRIES: Final = 5
_BATCH: Final = 50

_POINTER: Final = "m" + rules.SEPARATOR  # names a buyer's order instead of counting


class Counted:
    """The sums of one pass; of a large cell only of one part of the counters, another each pass."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._sums: defaultdict[str, int] = defaultdict(int)
        self._parts = 1
        self._part = 0
        self._ready = False

    def begin(self, holds: int, turn: int) -> None:
        """Begin anew, for a cell with so many holds."""
        self._sums.clear()
        self._parts = 1 + holds // _FIELDS_A_PART
        self._part = turn % self._parts
        self._ready = True

    def add(self, counted: Iterable[tuple[str, int, int]]) -> None:
        """Add what one hold counts."""
        for field, units, _line in counted:
            if self._parts == 1 or self._is_ours(field):
                self._sums[field] += units

    async def compare(self, cell: Cell) -> AsyncIterator[list[Drift]]:
        """Compare with the counters, in steps; nothing where no hold was counted before."""
        if not self._ready:
            return
        sums, suspects = self._sums, []
        async for chunk in cellside.scan(cell, "counters"):
            for field, value in chunk.items():
                if field.startswith(_POINTER) or not self._is_ours(field):
                    continue
                if int(value) != sums.pop(field, 0):
                    suspects.append(field)
            yield []
        suspects += [field for field, units in sums.items() if units]
        sums.clear()
        self._ready = False
        if suspects:
            async for found in _look_again(cell, sorted(set(suspects))[:_SUSPECTS_MAX]):
                yield found

    def _is_ours(self, field: str) -> bool:
        return self._parts == 1 or crc32(field.encode()) % self._parts == self._part


async def _look_again(cell: Cell, fields: Sequence[str]) -> AsyncIterator[list[Drift]]:
    """Find who counts towards these counters, then compare each at one position."""
    begun = await cellside.last_id(cell)
    holders: dict[str, set[str]] = {field: set() for field in fields}
    async for chunk in cellside.scan(cell, "holds"):
        for order_id, packed in chunk.items():
            for field, _units, _line in cellside.unpack_hold(packed).counters:
                if field in holders:
                    holders[field].add(order_id)
        yield []
    few = [one for one in fields if len(holders[one]) <= _HOLDERS_MAX]
    for some in _batches(few, holders):
        ids = {one for field in some for one in holders[field]}
        yield await _exactly(cell, some, ids, begun)
    for field in holders.keys() - set(few):
        yield await _in_a_quiet_moment(cell, field, holders[field], begun)


def _batches(fields: Sequence[str], holders: Mapping[str, set[str]]) -> Iterator[list[str]]:
    """Return counters in groups whose holds fit into one call."""
    some, size = list[str](), 0
    for field in fields:
        if some and (size + len(holders[field]) > _HOLDERS_MAX or len(some) == _BATCH):
            yield some
            some, size = [], 0
        some.append(field)
        size += len(holders[field])
    if some:
        yield some


async def _exactly(
    cell: Cell, fields: Sequence[str], order_ids: Iterable[str], begun: str
) -> list[Drift]:
    """Compare at one position; the log since `begun` tells of holds nobody has seen yet."""
    known = set(order_ids)
    for _ in range(_TRIES):
        asked = sorted(known)
        values, packed, since = await cellside.counters(cell, fields, asked, begun, _ENTRIES_MAX)
        if since.subjects is None:
            return []  # too much is going on: the next pass looks again
        if since.subjects <= known:
            return _differing(values, packed.values())
        known |= since.subjects
    return []


async def _in_a_quiet_moment(
    cell: Cell, field: str, order_ids: Iterable[str], begun: str
) -> list[Drift]:
    """Compare what thousands of holds count: sure only if the log stood still since `begun`."""
    ids, bodies = sorted(order_ids), list[bytes]()
    for at in range(0, len(ids), cellside.SCAN_COUNT):
        _, packed = await cellside.holds(cell, ids[at : at + cellside.SCAN_COUNT])
        bodies += packed.values()
    values, _, since = await cellside.counters(cell, [field], [], begun, 1)
    return _differing(values, bodies) if since.subjects is not None else []


def _differing(values: dict[str, int], bodies: Iterable[bytes]) -> list[Drift]:
    sums: defaultdict[str, int] = defaultdict(int)
    for body in bodies:
        for field, units, _line in cellside.unpack_hold(body).counters:
            sums[field] += units
    return [
        drift
        for field, value in values.items()
        if (drift := rules.compare_counter(field, value, sums[field]))
    ]
