"""Order lines of a CSV file as demand.

A file that cannot be read as documented is refused before anything starts, with its line and its
column. What can be read but not sold (no units, a price below nothing, a cancel of nothing) is left
out and noted with its line.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine.kernel.clock import rfc3339, to_ms
from engine.simulation.orderrows import MalformedFile, Row, parse
from engine.simulation.types import Cancel, Demand, Line, Order, Pay, Step

__all__ = ["MalformedFile", "demand_of", "parse", "read"]

SKUS_MAX: Final = 10_000  # of one campaign
_PAID_OF_TEN: Final = 8
_ORDERS_PER_SECOND: Final = 400
_DURATION_S_MIN: Final = 5.0


@dataclass(slots=True)
class _Draft:
    """An order that is being put together."""

    first: Row
    rows: list[Row] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    cancels: list[Cancel] = field(default_factory=list)


def read(path: Path) -> Demand:
    """Return the demand of a file.

    Raises:
        MalformedFile: with what to mend.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            currency, rows = parse(file)
    except UnicodeDecodeError as error:
        raise MalformedFile(f"{path.name} is not UTF-8 (byte {error.start}): save it so") from None
    except OSError as error:
        raise MalformedFile(f"{path.name} cannot be read: {error.strerror}") from None
    return demand_of(path.name, currency, rows)


def demand_of(title: str, currency: str, rows: Iterable[Row]) -> Demand:
    """Return the demand of rows: orders in file order, stock 0.9 of what each SKU is asked for.

    Stock is rounded down, so a SKU asked for once has none. An order's dearest line decides over
    it; the others are left out when they are sold out, or a file of long orders would hardly sell.
    """
    notes: list[str] = []
    drafts: dict[str, _Draft] = {}
    for row in rows:
        notes += _odd(row)
        if row.quantity > 0 and row.price >= 0:
            draft = drafts.setdefault(row.order_no, _Draft(row))
            if row.buyer != draft.first.buyer:
                notes.append(f"line {row.line}: another buyer_id than its order has; ignored")
            draft.rows.append(row)
            draft.left.append(row.quantity)
        elif row.quantity < 0:
            notes += _cancel(row, drafts)
    wanted: dict[str, int] = {}
    names: dict[str, str] = {}
    for draft in drafts.values():
        for row in draft.rows:
            wanted[row.sku] = wanted.get(row.sku, 0) + row.quantity
            names[row.sku] = names.get(row.sku) or row.name
    if len(wanted) > SKUS_MAX:
        raise MalformedFile(f"{len(wanted)} SKUs: one sale takes at most {SKUS_MAX}")
    duration_s = max(_DURATION_S_MIN, len(drafts) / _ORDERS_PER_SECOND)
    return Demand(
        title=title,
        currency=currency,
        orders=[
            _order(draft, n, duration_s * n / len(drafts))
            for n, draft in enumerate(drafts.values())
        ],
        stock={sku: units * 9 // 10 for sku, units in wanted.items()},
        names={sku: name or sku for sku, name in names.items()},
        notes=notes,
    )


def _order(draft: _Draft, n: int, at_s: float) -> Order:
    dearest = max(
        range(len(draft.rows)), key=lambda i: draft.rows[i].price * draft.rows[i].quantity
    )
    lines = tuple(
        Line(row.sku, row.quantity, row.price, droppable=i != dearest)
        for i, row in enumerate(draft.rows)
    )
    # who pays, and before or after a cancel, follows from the place in the file: no chance
    pays: list[Step] = [Pay(0.5)] if n % 10 < _PAID_OF_TEN else []
    steps = [*draft.cancels, *pays] if n % 2 else [*pays, *draft.cancels]
    return Order(
        order_no=draft.first.order_no,
        buyer=draft.first.buyer,
        at_s=at_s,
        lines=lines,
        steps=tuple(steps),
        placed_at=rfc3339(to_ms(draft.first.placed_at)),
        country=draft.first.country,
        channel=draft.first.channel,
    )


def _cancel(row: Row, drafts: dict[str, _Draft]) -> Iterator[str]:
    """Give the units of a negative row to earlier orders of this buyer and SKU, latest first."""
    wanted = -row.quantity
    for draft in reversed(drafts.values()):
        if draft.first.buyer != row.buyer or draft.first.order_no == row.order_no:
            continue
        taken = []
        for i in reversed(range(len(draft.rows))):
            units = min(wanted, draft.left[i]) if draft.rows[i].sku == row.sku else 0
            if units:
                draft.left[i] -= units
                wanted -= units
                taken.append((i + 1, units))
        if taken:
            cancel_id = f"{row.order_no}:{row.line}"
            draft.cancels.append(Cancel(0.5, cancel_id, tuple(taken)))
        if not wanted:
            return
    yield (
        f"line {row.line}: {wanted} of {-row.quantity} cancelled units of {row.sku} match no"
        " earlier order of this buyer"
    )


def _odd(row: Row) -> Iterator[str]:
    if row.quantity == 0:
        yield f"line {row.line}: quantity 0; left out"
    elif row.price < 0 < row.quantity:
        yield f"line {row.line}: unit_price below 0; left out"
    elif row.rounded:
        yield f"line {row.line}: unit_price has more digits than its currency; rounded"
