"""Which remedy helps against what, what it may be asked by, and how a bulk run is bounded; pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple, get_args

from engine.desk.types import (
    COUNT_MAX,
    Code,
    Item,
    ItemView,
    Name,
    RemedyIn,
    RemedyView,
    ResultView,
    Sum,
    SumView,
    Target,
)
from engine.kernel import codec
from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.errors import InConflict

CODES: Final[tuple[Code, ...]] = get_args(Code)
NAMES: Final[tuple[Name, ...]] = get_args(Name)
# Blocks that a person may let pass; the others end with what they are about.
_HELD: Final[tuple[Code, ...]] = (
    "cool_off", "address_change", "group_buy", "channel_hold", "manual", "price", "presale",
)  # fmt: skip
_QUEUED: Final[tuple[Code, ...]] = ("unfillable", "backorder", "rejected", "route_by_hand")
QUEUE_OF: Final[dict[str, str]] = {
    "unfillable": "UNFILLABLE", "backorder": "BACKORDER", "rejected": "REJECTED",
    "route_by_hand": "MANUAL",
}  # fmt: skip


class Remedy(NamedTuple):
    """Against which codes, by which call, and what a key needs to do it in bulk ("": it is not)."""

    codes: tuple[Code, ...]
    call: str
    scope: str = ""


REMEDIES: Final[dict[Name, Remedy]] = {
    "approve": Remedy(
        ("review",), "DELETE /v1/orders/{order_id}/blocks/review?reason=", "orders:write"
    ),
    "lift_block": Remedy(
        _HELD, "DELETE /v1/orders/{order_id}/blocks/{code}?reason=", "orders:write"
    ),
    "route_again": Remedy(
        (*_QUEUED, "broken_promise"), "POST /v1/routing-queue/{order_id}/retry", "orders:write"
    ),
    "retry_letter": Remedy(("dead_job",), "POST /v1/dead-letters/{letter}/retry", "admin"),
    "settle_letter": Remedy(
        ("dead_entry",), "POST /v1/dead-letters/{letter}/settle", "admin"
    ),
    "retry_ack": Remedy(("ack_failed",), "POST /v1/exceptions:remedy", "orders:sync"),
    "cancel_latest": Remedy(("stock_short",), "POST /v1/exceptions:remedy", "orders:write"),
    "send_to_manual": Remedy(
        (*_QUEUED, "broken_promise", "short", "needs_attention", "ship_by_missed"),
        "POST /v1/orders/{order_id}/blocks", "orders:write",
    ),
    "cancel_order": Remedy(
        (*_QUEUED, "broken_promise", "short", "review", "price", "manual", "ship_by_missed"),
        "POST /v1/orders/{order_id}/cancel", "orders:write",
    ),
    "book_refund": Remedy(
        ("refund_due", "refund_requested"), "POST /v1/orders/{order_id}/refunds"
    ),
    "map_listing": Remedy(("unmapped_listing", "unmapped_sku"), "POST /v1/listings"),
    "count_stock": Remedy(
        ("stock_short", "short", "backorder", "broken_promise"), "POST /v1/inventory/movements"
    ),
    "open_cell": Remedy(("payment_waiting",), "tidegate cell open"),
    "look_at_order": Remedy(
        ("needs_attention", "dead_entry", "payment_waiting"), "GET /v1/orders/{order_id}"
    ),
    "look_at_shipment": Remedy(("ship_by_missed",), "GET /v1/shipments/{subject}"),
    "enable_webhook": Remedy(("webhook_failed",), "POST /v1/webhooks/{subject}/enable"),
    "replay_webhook": Remedy(("webhook_failed",), "POST /v1/webhooks/{subject}/replay"),
}  # fmt: skip


def remedies_of(item: Item) -> list[RemedyView]:
    """Return what helps against an item, the likeliest first, each with its call filled in."""
    names = {
        "order_id": item.order_id, "code": item.code, "subject": item.subject,
        "letter": item.id.removeprefix("letter:"),
    }  # fmt: skip
    return [
        RemedyView(name, one.call.format(**names), one.scope != "")
        for name, one in REMEDIES.items()
        if item.code in one.codes
    ]


def codes_for(asked: RemedyIn) -> tuple[Code, ...]:
    """Return of which codes a bulk run may touch items.

    Raises:
        ValidationFailed: the remedy is not for many at once, or not against that code.
    """
    remedy = REMEDIES[asked.remedy]
    if not remedy.scope:
        codec.refuse("/remedy", f"is done one by one: {remedy.call}")
    if asked.code is None:
        return remedy.codes
    if asked.code not in remedy.codes:
        codec.refuse("/code", f"{asked.remedy} helps against {', '.join(remedy.codes)}")
    return (asked.code,)


def check(asked: RemedyIn) -> None:
    """Refuse a run that says too little of itself, or of everything.

    Raises:
        ValidationFailed: naming the field.
    """
    if not asked.ids and asked.code is None:
        codec.refuse("/code", "must be given, or ids")
    if asked.dry_run:
        return
    if not asked.remedy_id:
        codec.refuse("/remedy_id", "a real run must name itself, so that it can be sent again")
    if asked.expect_max is None:
        codec.refuse("/expect_max", "a real run must say how many it may touch at most")
    if not asked.reason.strip():
        codec.refuse("/reason", "a real run must say why")


def require_expected(touches: int, expect_max: int | None) -> None:
    """Refuse a run that would touch more than its caller reckons with.

    Raises:
        InConflict: with how many there are.
    """
    if expect_max is not None and touches > expect_max:
        more = f"more than {COUNT_MAX}" if touches > COUNT_MAX else str(touches)
        raise InConflict(
            f"it would touch {more}, and expect_max is {expect_max}: nothing was done",
            touches=min(touches, COUNT_MAX),
        )


def target(item: Item) -> Target:
    """Return what is kept of an item that is to be touched."""
    return Target(
        item.id, item.code, item.order_id, item.channel, item.line_id, item.subject, item.since
    )


def shown(item: Item, now: datetime) -> ItemView:
    """Return an item as it is answered."""
    at_risk = None if item.amount is None else codec.Money(item.amount, item.currency)
    return ItemView(
        item.id, item.code, item.order_id, item.channel, item.channel_order_id, item.line_id,
        item.sku, item.subject, _moment(item.since), _age(item.since, now),
        None if item.ship_by is None else _moment(item.ship_by),
        item.ship_by is not None and item.ship_by < now, at_risk, item.reason, remedies_of(item),
    )  # fmt: skip


def summed(rows: Iterable[Sum], now: datetime) -> list[SumView]:
    """Return rows as they are answered, those of one code and channel as one."""
    groups: dict[tuple[Code, str], list[Sum]] = {}
    for row in rows:
        groups.setdefault((row.code, row.channel), []).append(row)
    return [_group(found, now) for _, found in sorted(groups.items())]


def outcomes(results: Sequence[ResultView]) -> dict[str, int]:
    """Count what became of them."""
    return dict(Counter(one.outcome for one in results))


def _group(rows: Sequence[Sum], now: datetime) -> SumView:
    first, oldest = rows[0], min(row.oldest for row in rows)
    due = [row.next_ship_by for row in rows if row.next_ship_by is not None]
    return SumView(
        first.code, first.channel, sum(row.items for row in rows), first.of_code > COUNT_MAX,
        sum(row.overdue for row in rows),
        [codec.Money(row.amount, row.currency) for row in rows if row.amount is not None],
        _moment(oldest), _age(oldest, now), _moment(min(due)) if due else None,
    )  # fmt: skip


def _age(since: datetime, now: datetime) -> int:
    return max(0, int((now - since).total_seconds()))


def _moment(at: datetime) -> str:
    return rfc3339(to_ms(at))
