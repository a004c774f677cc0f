"""When a cell may be opened, and when a certificate holds; pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from engine.assurance.types import Certificate, Epoch, PoolRow, PoolTotals


def position(log_id: str) -> tuple[int, int]:
    """Return a log id as something that compares."""
    ms, _, seq = log_id.partition("-")
    return int(ms), int(seq or 0)


_NOT_HERE = "what lies between is not in this database"
_WRITE_FAILED = "a write failed: "  # as lua/include/write.lua says it


def is_gap(reason: str) -> bool:
    """Whether a cell was closed for what Postgres lacks: a newer copy of Postgres opens it."""
    return _NOT_HERE in reason


def what_to_do(gap_: str, trimmed_to: str, orders: int) -> str:
    """Return a gap with how many orders of the cell it concerns, and what a person can do."""
    return (
        f"{gap_}; {orders} orders that the cell has are not here (table gap_orders): restore a"
        f" Postgres that has recorded up to {trimmed_to}, or empty the Valkey to go on without them"
    )


def gap(epoch: Epoch, *, log_begin: str, trimmed_to: str) -> str:
    """Return why Postgres lacks what the log had, in a sentence; "" when it lacks nothing.

    An entry that Postgres has stays in the log, so a log that begins or was cut later has lost what
    was never recorded here: Postgres was restored to an earlier point.
    """
    at, cut = position(epoch.last_id), position(trimmed_to)
    if cut > at:
        return (
            f"the log was cut at {trimmed_to}, but Postgres stands at {epoch.last_id}: {_NOT_HERE}"
        )
    if (0, 0) != at > cut and position(log_begin) > at:
        return f"the log begins at {log_begin}, but Postgres stands at {epoch.last_id}: {_NOT_HERE}"
    return ""


def reason_to_rebuild(epoch: Epoch, *, phase: str, log_end: str) -> str:
    """Return what of a cell is lost, in a sentence; "" when nothing is.

    `phase` is "" for a cell without a record.
    """
    if not phase and epoch.last_id != "0-0":
        return f"the cell is empty, but Postgres has recorded up to log id {epoch.last_id}"
    if phase == "rebuilding":
        return "a rebuild of the cell was broken off"
    if phase and position(log_end) < position(epoch.last_id):
        return (
            f"the cell's log ends at {log_end}, but Postgres has recorded up to {epoch.last_id}:"
            " the cell has lost what lies between"
        )
    return ""


def why_not_open(phase: str, reason: str, *, rebuild: bool) -> str:
    """Return why a cell is not to be opened by hand, in a sentence; "" when it may be tried."""
    if phase == "":
        return "the cell is empty: a worker with the role keeper makes it anew"
    if phase in {"restoring", "rebuilding"}:
        return f"the cell is being opened ({phase}): wait, and look at /readyz"
    if reason.startswith(_WRITE_FAILED) and not rebuild:
        return (
            f"{reason}; the cell may lack values that its log tells of: repeat it with --rebuild,"
            " which makes the cell anew from Postgres"
        )
    return ""


def what_next(phase: str, reason: str) -> str:
    """Say what a person can do about a cell that is not open; "" when nothing is to be done."""
    if phase == "open":
        return ""
    if why := why_not_open(phase, reason, rebuild=False):
        return why
    if is_gap(reason):
        return "it opens by itself once Postgres has what it lacks"
    return (
        "once it is understood: `tidegate cell open --reason TEXT`, and with --rebuild if the cell,"
        " not Postgres, is wrong"
    )


def wrong_sums(pools: Mapping[str, PoolTotals]) -> str:
    """Return which pools of a cell do not add up, in a sentence; "" when all do."""
    if wrong := sorted(pool_id for pool_id, totals in pools.items() if not totals.adds_up):
        return f"pools do not add up in the cell: {', '.join(wrong[:10])}"
    return ""


def oversold(totals: PoolTotals) -> int:
    """Return units held and sold beyond what was granted and what marketplaces oversold."""
    return max(0, totals.held + totals.sold - totals.granted - totals.owed)


def pool_faults(row: PoolRow, ledger: PoolTotals, pool: PoolTotals) -> Iterable[str]:
    """Say what does not agree about one pool: cell, Postgres, ledger and orders."""
    name = f"pool {row.pool_id} ({row.name})"
    if row.cell is None or row.recorded is None:
        yield f"{name} is known to one side only"
        return
    if row.cell != row.recorded:
        yield f"{name}: the cell says {tuple(row.cell)}, Postgres {tuple(row.recorded)}"
    for side, totals in (("in the cell", row.cell), ("in Postgres", row.recorded)):
        if not totals.adds_up:
            yield f"{name} does not add up {side}: {tuple(totals)}"
    if ledger != pool:
        yield f"{name}: its ledger sums to {tuple(ledger)}, its balance is {tuple(pool)}"
    if row.from_orders != (pool.held, pool.sold):
        yield (
            f"{name}: orders hold {row.from_orders[0]} and bought {row.from_orders[1]},"
            f" the pool says {pool.held} and {pool.sold}"
        )


_FAULTS: Final = {
    "paid_without_payment": "orders are paid without a payment",
    "applied_without_paid": "payments are applied to orders that are not paid",
    "owed_to_nobody": "pools owe other units than their orders lack",
    "shipped_after_stop": "shipments left after a stop was granted",
    "shipped_twice": "shipments left with units that another one had sent",
    "orders_nowhere": "orders to be sent are in no queue and with no node",
}


def count_faults(found: Mapping[str, int]) -> Iterable[str]:
    """Say which counts do not agree: accepted, recorded, and money against orders."""
    if found["accepted"] != found["recorded_then"]:
        yield f"accepted {found['accepted']}, recorded {found['recorded_then']}"
    if found["recorded"] != found["orders"] + found["duplicates"]:
        yield f"recorded {found['recorded']}, orders {found['orders']}"
    for name, told in _FAULTS.items():
        if found[name]:
            yield f"{found[name]} {told}"


def verdict(certificate: Certificate) -> str:
    """Return the last line of a certificate."""
    if certificate.holds:
        return "certificate: holds"
    more = len(certificate.faults) - 1
    rest = f"; and {more} more" if more else ""
    return f"certificate: BROKEN ({certificate.faults[0]}{rest})"
