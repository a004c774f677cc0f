"""What a cell keeps of an order, made of the order's rows; for a cell that lost it.

Beside what `ops/adr/0021-a-lost-cell-is-rebuilt-from-postgres.md` lists, a hold made here is the
one that was lost, value by value.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from engine.infra.postgres import Connection
from engine.kernel.limits import CANCELS_PER_ORDER_MAX
from engine.orders.store import SQL
from engine.orders.types import CLOSED
from engine.reservation.types import BuyerKeys
from engine.snapshots.rules import PROGRESS

Draw = list[Any]  # [line, pool, units]
Row = Mapping[str, Any] | asyncpg.Record

HOLD_VERSION: Final = 1
_ORDERS_AT_ONCE: Final = 1_000
_READ_WITHIN_S: Final = 120.0
_CAP: Final = "c\x1f"
_UNPAID: Final = frozenset({"unpaid", "deposit_paid"})
_NOT_CANCELS: Final = frozenset({"split", "replaced"})  # ends of holds that nobody asked for by id
_KEY_NAMES: Final = BuyerKeys.__struct_fields__
_NONE: Final[tuple[Any, ...]] = ()  # of most orders: packed it is the list that is empty
_OF_EVERY: Final = 16  # columns of `held_orders`, from the first on, that every hold is made of
_REFUSE: Final = "refuse"
_STATES: Final = {"held": "P", "committed": "C"}  # by stock_state; else more has to be asked
_json: Final = msgspec.json.Decoder().decode


class _Line(msgspec.Struct, frozen=True):
    on_short: str = ""


class _Document(msgspec.Struct, frozen=True):
    lines: list[_Line]
    buyer_keys: BuyerKeys = BuyerKeys()


_document: Final = msgspec.json.Decoder(_Document).decode


class Around(NamedTuple):
    """What few orders have and is read at once for all, by order_id.

    `returns` are units that Postgres took from a sold order and the cell has not given back yet.
    """

    returns: Mapping[str, Sequence[Sequence[Any]]]
    shorts: Mapping[str, Sequence[Sequence[Any]]]
    second: Mapping[str, Sequence[Sequence[Any]]]


class Order(NamedTuple):
    """One order's row of `held_orders`, and the rows that hang on it."""

    row: asyncpg.Record
    lines: Sequence[list[Any]]  # [sku, open units, payable, the channel's name of it, quantity]
    payments: Sequence[list[Any]]  # [payment_id, outcome, amount]
    cancels: Sequence[tuple[str, str, list[list[Any]], str]]  # id, kind, lines, log id
    marks: Sequence[tuple[str, str]]
    warned: bool
    is_cut: bool  # some of it may have been cancelled, or was never had


async def shorts(db: Connection, cell: str) -> list[dict[str, Any]]:
    """Return who is owed how many units by which pool, and what he was sold of what."""
    return [dict(row) for row in await db.fetch(SQL["shorts_of_cell"], cell)]


async def orders(
    db: Connection, cell: str, since_ms: int, campaigns: Sequence[tuple[str, str]]
) -> AsyncIterator[list[Order]]:
    """Yield every order that a cell has to remember: pending, ended since, or of these campaigns.

    `db` is in a transaction; what is yielded, some at a time, is as it is there.
    """
    cursor = await db.cursor(
        SQL["held_orders"], cell, since_ms, [tenant for tenant, _ in campaigns],
        [campaign for _, campaign in campaigns], timeout=_READ_WITHIN_S,
    )  # fmt: skip
    while rows := await cursor.fetch(_ORDERS_AT_ONCE, timeout=_READ_WITHIN_S):
        yield await _gather(db, rows)


async def around(db: Connection, cell: str, owed_now: Sequence[Mapping[str, Any]]) -> Around:
    """Read it; `owed_now` is what `shorts` returned."""
    returns: dict[str, list[Any]] = defaultdict(list)
    for row in await db.fetch(SQL["returns_on_their_way"], cell):
        returns[row["order_id"]] += _json(row["draws"])
    owed: dict[str, list[Any]] = defaultdict(list)
    for short in owed_now:
        owed[short["order_id"]].append([short["pool_id"], short["units"], short["line_no"]])
    second: dict[str, list[Any]] = defaultdict(list)
    for row in await db.fetch(SQL["second_holds"], cell):
        second[row["order_id"]].append([row["pool_id"], row["held"], row["sold"]])
    return Around(returns, owed, second)


async def _gather(db: Connection, rows: Sequence[asyncpg.Record]) -> list[Order]:
    """Return orders with all that hangs on them; what few have is asked for those alone."""
    lines: dict[str, list[list[Any]]] = defaultdict(list)
    ids = [row["order_id"] for row in rows]
    cut = {row["order_id"] for row in rows if row["stock_state"] == "released"}
    for order_id, sku, units, money, name, asked in await db.fetch(SQL["lines_to_hold"], ids):
        lines[order_id].append([sku, units, money, name, asked])
        if units < asked:
            cut.add(order_id)
    told = [row["order_id"] for row in rows if row["version"]]
    cut.difference_update(told)
    paid = [
        row["order_id"] for row in rows if row["payment_state"] != "unpaid" and not row["version"]
    ]
    payments: dict[str, list[list[Any]]] = defaultdict(list)
    for order_id, *payment in paid and await db.fetch(SQL["payments_to_hold"], paid):
        payments[order_id].append(payment)
    cancels: dict[str, list[Any]] = defaultdict(list)
    for order_id, cancel_id, kind, parts, log_id in cut and await db.fetch(
        SQL["cancels_to_hold"], list(cut)
    ):
        cancels[order_id].append((cancel_id, kind, _json(parts), log_id))
    marks: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for order_id, code, line_id in told and await db.fetch(SQL["marks_to_hold"], told):
        marks[order_id].append((code, line_id))
    overdue = [row["order_id"] for row in rows if row["overdue"]]
    warned = {one[0] for one in (overdue and await db.fetch(SQL["warned_orders"], overdue))}
    return [
        Order(
            row, lines.get(one, _NONE), payments.get(one, _NONE), cancels.get(one, _NONE),
            marks.get(one, _NONE), one in warned, one in cut,
        )
        for one, row in zip(ids, rows, strict=True)
    ]  # fmt: skip


def state_of(row: Row) -> str:
    """Return the state of an order's hold: P pending, C sold, R released, E expired."""
    if row["stock_state"] == "released":
        return "E" if row["state"] == CLOSED else "R"
    if not row["version"]:
        return "P" if row["stock_state"] == "held" else "C"
    unpaid = row["source_status"] == "unpaid" and row["payment_state"] in _UNPAID
    return "P" if unpaid else "C"


def hold_of(order: Order, around: Around) -> list[Any]:
    """Return the hold (fields as in `lua/include/hold.lua`) that an order's rows tell of."""
    row, lines, payments, cancels, _, warned, is_cut = order
    (
        order_id, tenant, channel, campaign, buyer, currency, total, attempt, fingerprint,
        drawn, counted, pay_by, until, accepted_at, stock, document,
    ) = row[:_OF_EVERY]  # fmt: skip
    if second := around.second.get(order_id):
        return _second_hold(row, second)
    if row["version"]:
        return _told(order, around.shorts.get(order_id, []))
    draws, counters = _json(drawn), _json(counted)
    state = _STATES.get(stock) or state_of(row)
    if own := [parts for _, _, parts, log_id in cancels if not log_id]:
        # decided in Postgres once it was sold: the cell only ever hears of the units
        state = "C"
        total += _uncut(lines, own, around.returns.get(order_id, []))
        draws = _with(draws, around.returns.get(order_id, []))
    on_short, keys = ([_REFUSE] * len(lines), []) if document is None else _said(document, lines)
    hold = [
        HOLD_VERSION, state, attempt, fingerprint, tenant, channel, campaign, buyer, currency,
        total, pay_by, until,
        [[line[0], line[1], line[2], on_short[n]] for n, line in enumerate(lines)]
        or _lines_of(draws),
        draws, _counted(counters, lines, draws) if cancels else counters, payments,
        _cancel_ids(cancels), 1 if warned else 0, accepted_at,
        _dropped(lines, cancels) if is_cut else [], keys,
    ]  # fmt: skip
    if row["stages"] != "[]":
        paid = sum(amount for _, outcome, amount in order.payments if outcome == "applied")
        hold += [_json(row["stages"]), paid]
    return hold


def _told(order: Order, shorts: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the hold of an order that its marketplace's snapshots tell of."""
    row, lines = order.row, order.lines
    draws = _json(row["draws"])
    units: dict[int, int] = defaultdict(int)
    for n, _, part in draws:
        units[n] += part
    marks: dict[str, list[int]] = {"unmapped_sku": [], "price": []}
    for code, line_id in order.marks:
        marks[code].append(int(line_id.rpartition("-")[2]))
    return [
        HOLD_VERSION, state_of(row), row["attempt"], row["fingerprint"], row["tenant"],
        row["channel"], row["campaign"], row["buyer_id"], row["currency"], row["payable"],
        row["pay_by"], row["held_until"],
        [[line[0], units[n], line[2], ""] for n, line in enumerate(lines, start=1)],
        draws, _json(row["counters"]), [], [], int(order.warned), row["accepted_at"], [], [],
        [], 0, row["version"], PROGRESS.get(row["source_status"], 0), [line[3] for line in lines],
        shorts, sorted(marks["unmapped_sku"]), sorted(marks["price"]),
    ]  # fmt: skip


def _second_hold(row: Row, parts: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the hold of a repeat that the cell took for a new order: it will be released."""
    sold = any(part[2] for part in parts)
    draws = [[1, pool, held + sold_] for pool, held, sold_ in parts]
    return [
        HOLD_VERSION, "C" if sold else "P", 1, row["fingerprint"], row["tenant"], row["channel"],
        row["campaign"], row["buyer_id"], row["currency"], row["payable"], 0, 0, _lines_of(draws),
        draws, [], [], [], 0, row["accepted_at"], [], [],
    ]  # fmt: skip


def _lines_of(draws: Sequence[Draw]) -> list[list[Any]]:
    """Return lines for an order whose own could not be read: so many units can be given back."""
    units: dict[int, int] = defaultdict(int)
    for n, _, part in draws:
        units[n] += part
    return [["", units[n], 0, ""] for n in range(1, max(units, default=0) + 1)]


def _dropped(lines: Sequence[Sequence[Any]], cancels: Sequence[Sequence[Any]]) -> list[int]:
    """Return lines that are gone and that nobody cancelled: those it was accepted without."""
    if all(line[1] for line in lines):
        return []
    cut = {part[0] for _, _, parts, _ in cancels for part in parts}
    return [n for n, line in enumerate(lines, start=1) if line[1] == 0 and n not in cut]


def _cancel_ids(cancels: Sequence[Sequence[Any]]) -> list[str]:
    if not cancels:
        return []
    decided = [one for one in cancels if one[3] and one[1] not in _NOT_CANCELS]
    decided.sort(key=lambda one: [int(part) for part in one[3].split("-")])
    return [one[0] for one in decided][:CANCELS_PER_ORDER_MAX]


def _uncut(
    lines: Sequence[list[Any]], cuts: Sequence[Sequence[Any]], returns: Sequence[Sequence[Any]]
) -> int:
    """Undo what Postgres cut from sold lines and the cell does not know; return the money."""
    money = 0
    for n, _, part in (part for parts in cuts for part in parts):
        lines[n - 1][2] += part
        money += part
    for _, units, n in returns:
        lines[n - 1][1] += units
    return money


def _with(draws: list[Draw], returns: Sequence[Sequence[Any]]) -> list[Draw]:
    """Put units that are on their way back where they were drawn."""
    at = {(n, pool): draw for draw in draws for n, pool in [(draw[0], draw[1])]}
    for pool, units, n in returns:
        if (n, pool) in at:
            at[n, pool][2] += units
        else:
            at[n, pool] = [n, pool, units]
            draws.append(at[n, pool])
    return draws


def _counted(
    counters: Sequence[Sequence[Any]], lines: Sequence[Sequence[Any]], draws: Sequence[Draw]
) -> list[list[Any]]:
    """Return what is left of the units that an order counts, of which some went back.

    A limit counts a line's open units, a cap what the line drew from its pool, the last drawn first
    given back; what counts once an order does as long as something is left of it.
    """
    if not any(line[1] for line in lines):
        return []
    drawn: dict[tuple[int, str], int] = defaultdict(int)
    for n, pool, units in draws:
        drawn[n, pool] += units
    left = []
    for field, units, n in counters:
        part = units
        if field.startswith(_CAP):
            key = (n, field.split("\x1f")[1])
            part = min(units, drawn[key])
            drawn[key] -= part
        elif n:
            part = min(units, lines[n - 1][1])
        if part:
            left.append([field, part, n])
    return left


def _said(document: str, lines: Sequence[Any]) -> tuple[Sequence[str], list[list[str]]]:
    """Return what an order as posted says of lines that fall short, and by what else it counts."""
    said = _document(document)
    keys = [[name, value] for name in _KEY_NAMES if (value := getattr(said.buyer_keys, name))]
    on_short = [line.on_short or _REFUSE for line in said.lines]
    return on_short if len(on_short) == len(lines) else [_REFUSE] * len(lines), keys
