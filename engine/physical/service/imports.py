"""Counts of many nodes and keys at once, as files bring them: good rows are kept, bad ones told."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

from engine.infra.postgres import Connection
from engine.kernel.types import Tenant
from engine.physical.rules.lines import LineFault, Placed, Told
from engine.physical.service import counts, reading
from engine.physical.service.counts import Numbered
from engine.physical.store import balances as store
from engine.physical.store.balances import Counted
from engine.physical.types.facts import Basis, Count, Key

_CONTRADICTED = "was counted before with another result at the same as_of and sequence"


class Read(NamedTuple):
    """What one row says, before its names are known to be of anything."""

    told: Told
    basis: Basis
    as_of: datetime
    sequence: int
    produced_on: date | None
    expires_on: date | None


class Kept(NamedTuple):
    """What became of rows: the counts that apply now, and what is wrong with those rejected."""

    applied: dict[Key, Count]
    stale: int
    corrected: int
    faults: list[LineFault]


async def keep(
    tx: Connection,
    tenant: Tenant,
    rows: Sequence[Read],
    report: str,
    actor: str,
    *,
    earlier: Mapping[Key, Count],
) -> Kept:
    """Apply the counts of these rows inside the caller's transaction, but for bad ones.

    `earlier` ones apply first: a dry run has what its earlier rows would have left behind.
    """
    by_line = {row.told.n: row for row in rows}
    placed, faults = await reading.place(tx, tenant, [row.told for row in rows])
    last, stale, more = _last(by_line, placed)
    ids = await store.key_ids(tx, tenant, last)
    again = [Numbered(-1, Counted(ids[key], earlier[key])) for key in last if key in earlier]
    if again:
        await counts.apply(tx, tenant, again, report, actor)
    numbered = [
        Numbered(n, Counted(ids[key], what, by_line[n].produced_on, by_line[n].expires_on))
        for key, (n, what) in last.items()
    ]
    outcome = await counts.apply(tx, tenant, numbered, report, actor)
    faults += more
    faults += [LineFault(n, "", _CONTRADICTED) for n in outcome.contradicted]
    applied = set(outcome.applied)
    newest = {key: what for key, (n, what) in last.items() if n in applied}
    return Kept(newest, stale + len(outcome.stale), len(outcome.corrected), faults)


def _last(
    rows: Mapping[int, Read], placed: Iterable[Placed]
) -> tuple[dict[Key, tuple[int, Count]], int, list[LineFault]]:
    """Return the last count of each key, how many others there are, and contradictions."""
    last: dict[Key, tuple[int, Count]] = {}
    faults, stale = [], 0
    for line in placed:
        row = rows[line.n]
        what = Count(row.as_of, row.sequence, row.basis, line.quantity, line.locked)
        _, before = last.get(line.key, (0, None))
        if before is not None and before.rank == what.rank and before != what:
            faults.append(LineFault(line.n, "", _CONTRADICTED))
        elif before is not None and before.rank >= what.rank:
            stale += 1
        else:
            stale += before is not None
            last[line.key] = line.n, what
    return last, stale, faults
