"""What is a drift, and what its name is: comparisons of two snapshots, pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from engine.assurance.reconciling.types import (
    ENDED,
    CloseCell,
    Drift,
    Hold,
    Kind,
    MendCounter,
    MendDue,
    MendSeq,
    NotePause,
    OrderRow,
    PoolAt,
    PoolRow,
    Position,
    RaiseEpoch,
    SendAgain,
    StopSku,
    TellPause,
    TellRule,
)
from engine.assurance.rules import position
from engine.assurance.types import PoolTotals

SEPARATOR = "\x1f"
_NOTHING = PoolAt(PoolTotals(0, 0, 0, 0, 0), 0, ended=False, successor="")
_unpack = msgspec.msgpack.Decoder(list[Any]).decode


def compare_positions(
    cell: Position, epoch: int, last_id: str, *, deleted_to: str = "0-0"
) -> list[Drift]:
    """Compare what the cell says of itself with Postgres' row of it.

    `deleted_to` is the newest entry that was ever deleted from the log by hand.
    """
    found = []
    cut = max((cell.trimmed_to, deleted_to), key=position)
    if position(cut) > position(last_id):
        reason = (
            f"the log was cut at {cut}, but Postgres stands at {last_id}:"
            " what lies between is not in this database"
        )
        fix = CloseCell(reason)
        found.append(Drift("trimmed_log", "", "log", last_id, cut, 0, reason, fix))
    if cell.phase == "open" and cell.epoch != epoch:
        behind = epoch < cell.epoch and not found
        detail = f"the cell is open in epoch {cell.epoch}, Postgres says {epoch}: " + (
            "no cell could be opened by it" if behind else "an opening was begun and left"
        )
        repair = RaiseEpoch(epoch, cell.epoch) if behind else None
        found.append(
            Drift("stale_epoch", "", "epoch", str(cell.epoch), str(epoch), 0, detail, repair)
        )
    return found


def compare_pool(row: PoolRow, cell: PoolAt | None) -> Drift | None:
    """Compare both sides of a pool at the same position of the log."""
    here, there = row.at, cell or _NOTHING
    name, about = row.pool_id, f"pool {row.pool_id} ({row.name})"
    stop = StopSku(row.tenant, row.sku)
    granted = there.totals.granted - here.totals.granted
    expected, found = str(tuple(here.totals)), str(tuple(there.totals))
    if granted:
        more, units = granted > 0, abs(granted)
        detail = f"{about}: the cell has {units} granted units {'more' if more else 'less'}"
        kind: Kind = "doubled_grant" if more else "lost_grant"
        fix = stop if more else None
        return Drift(kind, row.tenant, name, expected, found, units, detail, fix)
    if there.totals != here.totals:
        units = max(abs(a - b) for a, b in zip(here.totals, there.totals, strict=True))
        detail = f"{about}: the cell and Postgres differ"
        worse = there.totals.available > here.totals.available
        return Drift(
            "pool_off", row.tenant, name, expected, found, units, detail, stop if worse else None
        )
    if drift := _compare_numbers(row, there):
        return drift
    if (there.ended, there.successor) != (here.ended, here.successor):
        detail = f"{about}: its end differs"
        ours, theirs = (f"ended {one.ended}, successor {one.successor!r}" for one in (here, there))
        return Drift("pool_off", row.tenant, name, ours, theirs, 0, detail)
    return None


def _compare_numbers(row: PoolRow, there: PoolAt) -> Drift | None:
    """Grants are numbered: what one side has not counted, it has not got."""
    here, about = row.at, f"pool {row.pool_id} ({row.name})"
    if there.seq > here.seq:
        detail = f"{about}: the cell counts grants that the log does not tell of"
        fix = MendSeq(row.pool_id, there.seq, here.seq)
        return _numbered("reordered_grant", row, here.seq, there.seq, detail, fix)
    if there.seq < here.seq:
        detail = f"{about}: a grant that is marked as applied is not in the cell"
        # where the ledger has it, sending it again would book it twice
        known = row.untold > there.seq
        again = SendAgain(row.pool_id, there.seq + 1) if known else None
        return _numbered("lost_grant", row, here.seq, there.seq, detail, again)
    if row.sent > there.seq:
        detail = f"{about}: grant {there.seq + 1} is marked as sent and did not come"
        again = SendAgain(row.pool_id, there.seq + 1)
        return _numbered("lost_grant", row, row.sent, there.seq, detail, again)
    return None


def _numbered(kind: Any, row: PoolRow, expected: int, found: int, detail: str, fix: Any) -> Drift:
    told = (f"grant {expected}", f"grant {found}")
    return Drift(kind, row.tenant, row.pool_id, *told, abs(expected - found), detail, fix)


def compare_hold(order_id: str, hold: Hold, order: OrderRow | None) -> Drift | None:
    """Compare a hold with its order, once Postgres is behind what the cell did.

    While it is pending the cell decides and both must be the same; later Postgres does, and the
    hold only remembers that the order was seen.
    """
    units = sum(draw[2] for draw in hold.draws)
    if order is None:
        detail = f"the cell holds order {order_id}, Postgres does not know it"
        return Drift(
            "hold_without_order", hold.tenant, order_id, "an order", hold.state, units, detail
        )
    if hold.state != "P":
        if not order.pending or (hold.state in ENDED and not order.draws):
            return None
        detail = f"order {order_id} is over in the cell and pending in Postgres"
        return Drift("hold_off", hold.tenant, order_id, "pending", hold.state, units, detail)
    off = abs(sum(_drawn(order.draws).values()) - units)
    here, there = _pending_differs(hold, order)
    if not here:
        return None
    detail = f"the hold of order {order_id} is not what Postgres recorded"
    return Drift("hold_off", hold.tenant, order_id, "; ".join(here), "; ".join(there), off, detail)


def _pending_differs(hold: Hold, order: OrderRow) -> tuple[list[str], list[str]]:
    """Say what Postgres and what the cell has otherwise of a pending order."""
    found = []
    ours, theirs = _drawn(order.draws), _drawn(hold.draws)
    if not order.pending:
        found.append(("over", "pending"))
    if ours != theirs:
        found.append((f"draws {sorted(ours.items())}", f"draws {sorted(theirs.items())}"))
    if order.asked_for and order.attempt != hold.attempt:
        found.append((f"attempt {order.attempt}", f"attempt {hold.attempt}"))
    if hold.until > 0 and order.held_until_ms > 0 and hold.until != order.held_until_ms:
        found.append((f"held until {order.held_until_ms}", f"held until {hold.until}"))
    return [one[0] for one in found], [one[1] for one in found]


def _drawn(draws: Iterable[Sequence[Any]]) -> Counter[tuple[int, str]]:
    found: Counter[tuple[int, str]] = Counter()
    for line, pool, units in draws:
        found[line, pool] += units
    return +found


def order_without_hold(order_id: str, tenant: str, units: int) -> Drift:
    """Name an order that the cell must remember and does not."""
    detail = (
        f"order {order_id} has no hold in the cell:"
        + (" its units never expire, and" if units else "")
        + " the same order sent again would be taken for new"
    )
    return Drift("order_without_hold", tenant, order_id, "a hold", "none", units, detail)


def compare_due(order_id: str, hold: Hold | None, score: float | None, now_ms: int) -> Drift | None:
    """Compare a hold with its place in the sweeper's list (None: it has none)."""
    tenant, wanted = (hold.tenant, hold.due) if hold else ("", None)
    if wanted is None:
        if score is None:
            return None
        detail = f"the sweeper waits for the end of order {order_id}, which has no pending hold"
        kind, expected = "orphan_expiry", "none"
    else:
        assert hold is not None
        # an opening moves what was over before it was closed to its own instant
        if score is not None and (score <= hold.until or score <= now_ms):
            return None
        detail = f"nothing ends the pending hold of order {order_id} in time"
        kind, expected = "lost_expiry", str(wanted)
    found = "none" if score is None else str(int(score))
    fix = MendDue(order_id)
    return Drift(kind, tenant, order_id, expected, found, 0, detail, fix)  # type: ignore[arg-type]


def compare_counter(field: str, value: int, counted: int) -> Drift | None:
    """Compare a counter with what the holds in the cell count towards it."""
    if value == counted:
        return None
    tenant = field.split(SEPARATOR)[1] if field[:1] in {"b", "l"} and SEPARATOR in field else ""
    more = "more" if value > counted else "less"
    detail = f"counter {shown(field)} counts {abs(value - counted)} {more} than the holds do"
    fix = MendCounter(field, value, counted)
    return Drift(
        "counter_off", tenant, field, str(counted), str(value), abs(value - counted), detail, fix
    )


def compare_rule(field: str, body: bytes, cell: bytes | None) -> Drift | None:
    """Compare a rule that the cell was told with the one it has."""
    ours: list[Any] = _unpack(body)
    theirs: list[Any] = _unpack(cell) if cell else []
    if ours == theirs:
        return None
    tenant = field.split(SEPARATOR)[1]
    detail = f"the cell's rule {shown(field)} is not the one that the documents come to"
    return Drift(
        "policy_drift", tenant, field, repr(ours), repr(theirs), 0, detail, TellRule(field)
    )


def compare_pauses(
    ours: Mapping[str, tuple[str, str]], theirs: Mapping[str, tuple[int, str, str]]
) -> list[Drift]:
    """Compare pauses by their field: Postgres' (by, reason), and the cell's (since, by, reason)."""
    found = []
    for field in ours.keys() ^ theirs.keys():
        _, tenant, scope, name = field.split(SEPARATOR)
        if field in ours:
            detail = f"{scope} {name} is paused, and the cell does not know"
            told = TellPause(tenant, scope, name, *ours[field])
            found.append(Drift("pause_drift", tenant, field, "paused", "for sale", 0, detail, told))
        else:
            since, by, reason = theirs[field]
            detail = f"the cell has paused {scope} {name}, and Postgres does not know"
            note = NotePause(tenant, scope, name, since, by, reason)
            found.append(Drift("pause_drift", tenant, field, "for sale", "paused", 0, detail, note))
    return found


def shown(field: str) -> str:
    """Return a field of the cell as people can read it."""
    return field.replace(SEPARATOR, " ").strip()
