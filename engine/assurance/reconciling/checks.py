"""The checks of one pass: each reads both sides in small steps and yields what it is sure of.

Under load both sides move. Pools are compared at one position exactly: the cell is read at once,
Postgres is asked when it is behind that position, and what it recorded since is taken off again.
Of what cannot be taken back the suspects are looked at a second time, with the fold behind the
first look; whatever moved meanwhile is left for the next pass.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from engine.assurance.reconciling import cellside, rules, store
from engine.assurance.reconciling.looking import Looking, Steps
from engine.assurance.reconciling.planned import plans
from engine.assurance.reconciling.recorded import (
    balances,
    documents,
    grants,
    ledger,
    listings,
    owed,
)
from engine.assurance.reconciling.store import FOUND_MAX, SQL
from engine.assurance.reconciling.types import Drift, Hold

_SECOND_LOOK_S: Final = 1.0
_POOLS_A_STEP: Final = 1_000
_RULES_A_STEP: Final = 1_000


async def positions(look: Looking) -> Steps:
    """Epoch and position of the log, also of a cell that is closed."""
    first = await _positions(look)
    if first:
        await asyncio.sleep(_SECOND_LOOK_S)  # an opening takes both sides one after the other
    yield _both(first, await _positions(look) if first else [])


async def _positions(look: Looking) -> list[Drift]:
    # Postgres first: what it has by now, the cell must have
    epoch, last_id = await store.recorded_to(look.db, look.cell.id)
    cell = await cellside.position(look.cell)
    if cell is None:
        return []
    deleted = await cellside.deleted_to(look.cell)
    return rules.compare_positions(cell, epoch, last_id, deleted_to=deleted)


async def pools(look: Looking) -> Steps:
    """Totals, numbers and ends of every pool, both sides at one position."""
    after, sent = "", await store.sent_grants(look.db)
    while True:
        rows = await look.db.fetch(SQL["pool_ids"], look.cell.id, after, _POOLS_A_STEP)
        if not rows:
            return
        page = [row["pool_id"] for row in rows]
        after = page[-1]
        packed = await cellside.packed_pools(look.cell, page)
        suspects = await store.pools_differing(look.db, page, packed)
        suspects += [one for one in page if one in sent and one not in suspects]
        yield await _twice(suspects, lambda ids: _pools(look, ids)) if suspects else []


async def _pools(look: Looking, pool_ids: Sequence[str]) -> list[Drift]:
    """Compare pools at one position of the log."""
    sent = await store.sent_grants(look.db)
    log_id, cell = await cellside.pools(look.cell, pool_ids)
    await look.folded(log_id)
    rows = await store.pools_at(look.db, look.cell.id, pool_ids, log_id, sent)
    found = [drift for row in rows if (drift := rules.compare_pool(row, cell.get(row.pool_id)))]
    if not any(drift.kind == "lost_grant" for drift in found):
        return found
    ids = [drift.subject for drift in found]
    untold = await store.untold_grants(look.db, look.cell.id, ids)
    named = [row._replace(untold=untold.get(row.pool_id, 0)) for row in rows]
    return [drift for row in named if (drift := rules.compare_pool(row, cell.get(row.pool_id)))]


async def holds(look: Looking) -> Steps:
    """Every hold of the cell against its order and its place in the sweeper's list.

    What it counts towards limits is added up on the way.
    """
    look.counted.begin(await cellside.size(look.cell, "holds"), look.turn)
    look.listed = 0
    async for chunk in cellside.scan(look.cell, "holds"):
        unpacked = {one: cellside.unpack_hold(packed) for one, packed in chunk.items()}
        for hold in unpacked.values():
            look.counted.add(hold.counters)
        suspects = await store.holds_differing(look.db, unpacked)
        found = await _holds(look, suspects) if suspects else []
        if "expiries" in look.checks:
            found += await _listed(look, unpacked)
        yield found


async def _listed(look: Looking, unpacked: Mapping[str, Hold]) -> list[Drift]:
    scores = await cellside.due_of(look.cell, list(unpacked))
    odd = [
        (one, hold, score)
        for (one, hold), score in zip(unpacked.items(), scores, strict=True)
        if score != hold.due
    ]
    look.listed += sum(score is not None for score in scores)
    suspects = [one for one, hold, score in odd if rules.compare_due(one, hold, score, 0)]
    return await _expiries(look, suspects) if suspects else []


async def _holds(look: Looking, order_ids: Sequence[str]) -> list[Drift]:
    """Compare holds that are the same before and after Postgres was asked, and so between."""
    read, before = await cellside.holds(look.cell, order_ids)
    await look.folded(read.last_id)
    orders = await store.orders_of(look.db, order_ids)
    again = await look.db.fetch(SQL["duplicates_of"], look.cell.id, order_ids)
    to_be_given_back = {row["order_id"] for row in again}
    _, after = await cellside.holds(look.cell, order_ids)
    return [
        drift
        for one, packed in before.items()
        if after.get(one) == packed and one not in to_be_given_back
        and (drift := rules.compare_hold(one, cellside.unpack_hold(packed), orders.get(one)))
    ]  # fmt: skip


async def expiries(look: Looking) -> Steps:
    """The sweeper's list: whom it names and the cell does not know; the rest goes with `holds`.

    Where all that it names was met there, nobody is left.
    """
    if look.listed == await cellside.due_size(look.cell):
        return
    async for members in cellside.scan_due(look.cell):
        missing = await cellside.without_hold(look.cell, members)
        yield await _expiries(look, missing) if missing else []


async def _expiries(look: Looking, order_ids: Sequence[str]) -> list[Drift]:
    read, packed = await cellside.holds(look.cell, order_ids)
    found = []
    for one, told in zip(order_ids, read.replies[1], strict=True):
        hold: Hold | None = cellside.unpack_hold(packed[one]) if one in packed else None
        score = None if told is None else float(told)
        if drift := rules.compare_due(one, hold, score, read.now_ms):
            found.append(drift)
    return found


async def orders(look: Looking) -> Steps:
    """Every order that the cell must remember, by pages of the table."""
    pages = await look.db.fetchval(SQL["order_pages"])
    for first in range(0, pages, store.PAGES_A_STEP):
        end = (first + store.PAGES_A_STEP, 0)
        rows = await look.db.fetch(SQL["remembered_orders"], look.cell.id, (first, 0), end)
        ids = [row["order_id"] for row in rows]
        found: list[Drift] = []
        for at in range(0, len(ids), cellside.SCAN_COUNT):
            some = ids[at : at + cellside.SCAN_COUNT]
            if missing := await cellside.without_hold(look.cell, some):
                found += await _orders(look, missing)
        yield found


async def _orders(look: Looking, order_ids: Sequence[str]) -> list[Drift]:
    # An order is recorded after its hold was written, so what is missing now was there and is gone.
    _, held = await cellside.holds(look.cell, order_ids)
    gone = [one for one in order_ids if one not in held]
    known = await store.orders_of(look.db, gone)
    return [
        rules.order_without_hold(
            one, row.tenant, sum(draw[2] for draw in row.draws) if row.pending else 0
        )
        for one, row in known.items()
    ]


async def counters(look: Looking) -> Steps:
    """Counters of buyers and caps against what the holds count; after `holds`, which adds up."""
    async for found in look.counted.compare(look.cell):
        yield found


async def told_rules(look: Looking) -> Steps:
    """Rules as the cell was told them against those it has, and what documents name."""
    rows = await look.db.fetch(SQL["missing_rules"], look.cell.id, FOUND_MAX)
    yield [
        Drift(
            "policy_drift", row["tenant"], row["field"], "a rule", "none", 0,
            f"no rule {rules.shown(row['field'])} was ever written down for the cell",
        )
        for row in rows
    ]  # fmt: skip
    after = ""
    while True:
        rows = await look.db.fetch(SQL["known_rules"], look.cell.id, after, _RULES_A_STEP)
        if not rows:
            return
        after = rows[-1]["field"]
        ours = {row["field"]: row["body"] for row in rows}
        there = await cellside.rules(look.cell, list(ours))
        pairs = zip(ours.items(), there, strict=True)
        differing = [name for (name, body), packed in pairs if body != packed]
        yield await _twice(differing, lambda fields: _rules(look, fields)) if differing else []


async def _rules(look: Looking, fields: Sequence[str]) -> list[Drift]:
    """Compare rules that Postgres says the same of before and after the cell was asked.

    What the cell is told is written down before: of others it may have a version that is newer.
    """
    before = await look.db.fetch(SQL["rules_of"], look.cell.id, fields)
    there = await cellside.rules(look.cell, [row["field"] for row in before])
    after = set(await look.db.fetch(SQL["rules_of"], look.cell.id, fields))
    return [
        drift for row, packed in zip(before, there, strict=True)
        if row in after and (drift := rules.compare_rule(row["field"], row["body"], packed))
    ]  # fmt: skip


async def pauses(look: Looking) -> Steps:
    """Pauses as the cell has them against those that were recorded."""
    first = await _pauses(look)
    yield _both(first, await _pauses(look) if first else [])


async def _pauses(look: Looking) -> list[Drift]:
    there = {}
    async for chunk in cellside.scan(look.cell, "rules", f"pause{rules.SEPARATOR}*"):
        for name, packed in chunk.items():
            there[name] = cellside.unpack_pause(packed)
    await look.folded(await cellside.last_id(look.cell))
    ours = {
        rules.SEPARATOR.join(("pause", row["tenant"], row["scope"], row["id"])): (
            str(row["by"]), str(row["reason"]),
        )
        for row in await look.db.fetch(SQL["known_pauses"])
    }  # fmt: skip
    found = rules.compare_pauses(ours, there)
    still = await cellside.rules(look.cell, [drift.subject for drift in found]) if found else []
    pairs = zip(found, still, strict=True)
    return [drift for drift, packed in pairs if (drift.subject in there) == (packed is not None)]


async def _twice(
    subjects: Sequence[str], compare: Callable[[Sequence[str]], Awaitable[list[Drift]]]
) -> list[Drift]:
    """Compare, and compare what differs once more; only what differs by as much is sure."""
    first = await compare(subjects)
    if not first:
        return []
    return _both(first, await compare(sorted({drift.subject for drift in first})))


def _both(first: Iterable[Drift], second: Iterable[Drift]) -> list[Drift]:
    seen = {drift.same for drift in first}
    return [drift for drift in second if drift.same in seen]


_GRANTS: Final = ("lost_grant", "doubled_grant", "reordered_grant")
CHECKS: Final[dict[str, tuple[Callable[[Looking], Steps], tuple[str, ...]]]] = {
    "positions": (positions, ("stale_epoch", "trimmed_log")),
    "pools": (pools, (*_GRANTS, "pool_off")),
    "grants": (grants, _GRANTS),
    "ledger": (ledger, ("ledger_gap",)),
    "owed": (owed, ("owed_off",)),
    "holds": (holds, ("hold_without_order", "hold_off", "orphan_expiry", "lost_expiry")),
    "counters": (counters, ("counter_off",)),
    "expiries": (expiries, ("orphan_expiry", "lost_expiry")),
    "orders": (orders, ("order_without_hold",)),
    "rules": (told_rules, ("policy_drift",)),
    "plans": (plans, ("policy_drift",)),
    "documents": (documents, ("policy_drift",)),
    "pauses": (pauses, ("pause_drift",)),
    "balances": (balances, ("balance_off",)),
    "listings": (listings, ("listing_drift",)),
}
