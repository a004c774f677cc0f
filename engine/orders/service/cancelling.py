"""A cancel of a confirmed order: decided in Postgres, under the order's row lock."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import asyncpg

from engine.infra.postgres import Connection
from engine.kernel import codec
from engine.kernel.clock import instant
from engine.kernel.errors import NotCancellable
from engine.orders import store
from engine.orders.store import SQL
from engine.orders.types import OPEN, Changes, EventRow, Patch
from engine.reservation.types import ReleaseClaim
from engine.shipments.service import ask, has_live
from engine.shipments.types.stops import Ask

# A refund that takes units back is a cancel too; what it is called no other may be.
REFUND_CANCEL: Final = "refund:"

_PARTLY_REFUNDED: Final = "partly_refunded"
_NOT_CONFIRMED: Final = frozenset({"unpaid", "deposit_paid"})


class CancelResult(NamedTuple):
    """What is left of the order after a cancel.

    `state` "requested": nodes have it, and whether they stop it is told by the answer to `stop_id`.
    """

    state: str
    payable: int
    currency: str
    log_id: str = ""
    stop_id: str = ""


def is_pending(row: asyncpg.Record) -> bool:
    """Whether only the cell may decide: confirmed orders are Postgres' once they are folded.

    What is owed (`short`) may be pending or confirmed; its money tells.
    """
    waits = row["stock_state"] == "short" and row["payment_state"] in _NOT_CONFIRMED
    return row["state"] == OPEN and (row["stock_state"] == "held" or waits)


async def cancel_or_stop(
    tx: Connection, order: asyncpg.Record, claim: ReleaseClaim, now_ms: int
) -> CancelResult:
    """Cancel what no node was asked for yet, at once; ask that the rest be stopped.

    `order` is the locked row; the same cancel_id again changes nothing.

    Raises:
        NotCancellable: as `cancel_confirmed`, or it is certain that a node does not stop it.
    """
    known = await tx.fetchrow(SQL["cancel"], claim.order_id, claim.cancel_id)
    if known is not None or not await has_live(tx, claim.order_id):
        return await cancel_confirmed(tx, order, claim, now_ms)
    if order["state"] != OPEN:
        raise NotCancellable(f"the order is {order['state']}, {order['fulfilment_state']}")
    cut = _cut(claim, await tx.fetch(SQL["order_lines"], claim.order_id))
    detail = {"kind": claim.kind, "reason": claim.reason, "lines": claim.lines}
    wanted = Ask(
        order["tenant"], claim.order_id, "cancel", claim.cancel_id,
        tuple((n, units) for n, units, _ in cut) if claim.lines else (), claim.actor, detail,
    )  # fmt: skip
    stop = (await ask(tx, wanted, instant(now_ms))).stop
    if stop.answer == "stopped":
        return await cancel_confirmed(tx, order, claim, now_ms, stopped=True)
    if stop.answer:
        raise NotCancellable("it has left, or is too far to be stopped", answer=stop.answer)
    return CancelResult("requested", order["payable"], order["currency"], stop_id=stop.stop_id)


async def locked(tx: Connection, order_id: str) -> asyncpg.Record | None:
    """Lock an order's row and return it as `cancel_confirmed` takes it; None without one."""
    row: asyncpg.Record | None = await tx.fetchrow(SQL["lock_order"], order_id)
    return row


async def with_components(
    tx: Connection, order_id: str, lines: Sequence[tuple[int, int]]
) -> tuple[tuple[int, int], ...]:
    """Return lines with the components of those that are bundles, as nodes get them."""
    asked = dict(lines)
    if asked:
        for line in await tx.fetch(SQL["order_lines"], order_id):
            if line["part_of"] in asked and line["part_of"] != line["line_no"]:
                asked[line["line_no"]] = asked[line["part_of"]] * line["per"]
    return tuple(sorted(asked.items()))


async def cancel_confirmed(
    tx: Connection,
    order: asyncpg.Record,
    claim: ReleaseClaim,
    now_ms: int,
    *,
    stopped: bool = False,
) -> CancelResult:
    """Cancel under the row lock; the units go back by the script `return`, from the queue.

    `order` is the locked row; the same cancel_id again changes nothing. `stopped`: no node ships
    any of it, whatever other lines of the order have come to.

    Raises:
        NotCancellable: it is not open any more, or a line has fewer units left.
    """
    known = await tx.fetchrow(SQL["cancel"], claim.order_id, claim.cancel_id)
    if known is not None:
        return CancelResult(order["state"], order["payable"], order["currency"])
    free = stopped or order["fulfilment_state"] in {"unrouted", "routed"}
    if order["state"] != OPEN or not free:
        raise NotCancellable(f"the order is {order['state']}, {order['fulfilment_state']}")
    lines = await tx.fetch(SQL["order_lines"], claim.order_id)
    cut = _cut(claim, lines)
    whole = sum(line["open_quantity"] for line in lines) == sum(units for _, units, _ in cut)
    left, back = _take_back(codec.decode_json(order["draws"]), cut)
    money = sum(amount for _, _, amount in cut)
    if whole:
        money = order["payable"]
    await tx.execute(SQL["cancel_order"], claim.order_id, whole, money, codec.encode(left).decode())
    if order["payment_state"] == _PARTLY_REFUNDED:
        await store.save(tx, order["cell"], Changes(patches={claim.order_id: _money_due(whole)}))
    await tx.execute(
        SQL["cut_lines"], [claim.order_id] * len(cut), *map(list, zip(*cut, strict=True))
    )
    await tx.execute(
        SQL["record_cancels"], [claim.order_id], [claim.cancel_id], [claim.kind], [claim.reason],
        [codec.encode(cut).decode()], [claim.actor], [""],
    )  # fmt: skip
    return_id = f"{claim.order_id}:{claim.cancel_id}"
    await tx.execute(
        SQL["queue_return"], return_id, order["cell"], claim.order_id, codec.encode(back).decode()
    )
    kind = "order.cancelled" if whole else "order.lines_cancelled"
    data = {"cancel_id": claim.cancel_id, "reason": claim.reason, "refund": money}
    await store.write_events(tx, [EventRow(now_ms, kind, claim.order_id, "", claim.actor, data)])
    state = "cancelled" if whole else "open"
    return CancelResult(state, order["payable"] - money, order["currency"])


def _money_due(whole: bool) -> Patch:  # noqa: FBT001 - one of two
    """What the rest of the money says of an order whose payment was given back in part before."""
    if whole:
        return Patch(payment_state="refund_due", attention="")
    return Patch(attention="a refund is due for cancelled lines")


def _cut(claim: ReleaseClaim, lines: list[Any]) -> list[tuple[int, int, int]]:
    """Return (line, units, money) of what is asked, checked against what is left."""
    open_lines = {line["line_no"]: line for line in lines if line["open_quantity"] > 0}
    asked: dict[int, int] = {}
    for n, units in claim.lines:
        asked[n] = asked.get(n, 0) + units
    _add_components(asked, lines)
    if not claim.lines:
        asked = {n: line["open_quantity"] for n, line in open_lines.items()}
    cut = []
    for n, units in asked.items():
        line = open_lines.get(n)
        if line is None or units > line["open_quantity"]:
            raise NotCancellable(f"line {n} has fewer units left", line=n)
        cut.append((n, units, line["payable"] * units // line["open_quantity"]))
    if not cut:
        raise NotCancellable("nothing of the order is left")
    return cut


def _add_components(asked: dict[int, int], lines: list[Any]) -> None:
    """Let components go with their bundle, and none of them without it."""
    for line in lines:
        n, of = line["line_no"], line["part_of"]
        if of in {0, n}:
            continue
        if n in asked:
            raise NotCancellable(f"line {n} is a component: name its bundle's line", line=n)
        if of in asked:
            asked[n] = asked[of] * line["per"]


def _take_back(
    draws: list[list[Any]], cut: list[tuple[int, int, int]]
) -> tuple[list[list[Any]], list[list[Any]]]:
    """Split what an order drew into what stays and what goes back, the last drawn first."""
    left = [list(draw) for draw in draws]
    back: list[list[Any]] = []
    for n, units, _ in cut:
        wanted = units
        for draw in reversed(left):
            part = min(wanted, draw[2]) if draw[0] == n else 0
            if part:
                draw[2] -= part
                wanted -= part
                back.append([draw[1], part, n])
    return [draw for draw in left if draw[2] > 0], back
