"""Plain JSON over signed HTTP, for systems that have no protocol of their own; pure.

One address takes every call, a POST whose body names it (`call`), so that the signature covers what
is asked: `X-Tidegate-Signature: t=<seconds>,v1=<hex of HMAC-SHA256(secret, "<t>." + body)>`, both
ways. Amounts are minor units, weights g, sizes mm, volumes cm³, instants RFC 3339.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Annotated, Any, Final, Literal

import msgspec

from engine.kernel import codec, signing
from engine.kernel.errors import ValidationFailed
from engine.physical.types.facts import Condition
from engine.physical.types.stock import STOCK_QUANTITY_MAX
from engine.shipments.types.shipments import Reason
from engine.wms.rules.meanings import refusal
from engine.wms.types import (
    Access,
    Consignment,
    Item,
    Package,
    Reference,
    Reply,
    Report,
    ReportKind,
    Seen,
    SeenState,
    Step,
)

SIGNATURE: Final = signing.SIGNATURE
SKEW_MAX_S: Final = signing.SKEW_MAX_S
PACKAGES_MAX: Final = 200
ITEMS_MAX: Final = 500

_Text = Annotated[str, msgspec.Meta(max_length=128)]
_Long = Annotated[str, msgspec.Meta(max_length=500)]
_Units = Annotated[int, msgspec.Meta(ge=-STOCK_QUANTITY_MAX, le=STOCK_QUANTITY_MAX)]
_Natural = Annotated[int, msgspec.Meta(ge=0, le=STOCK_QUANTITY_MAX)]

Kind = Literal[
    "accepted", "picked", "packed", "left", "signed", "refused", "intercepted",
    "intercept_failed", "trouble", "other",
    "shipped", "partly_shipped", "cancelled", "cancel_failed", "rejected", "lack",
    "stock_delta", "stock_count",
]  # fmt: skip
_KINDS: Final[Mapping[Kind, ReportKind]] = {
    "accepted": "ACCEPTED",
    "shipped": "SHIPPED",
    "partly_shipped": "PARTLY_SHIPPED",
    "cancelled": "CANCELLED",
    "cancel_failed": "CANCEL_FAILED",
    "rejected": "REJECTED",
    "lack": "LACK",
    "stock_delta": "STOCK_DELTA",
    "stock_count": "STOCK_COUNT",
}
_STOCK: Final = frozenset({"stock_delta", "stock_count"})


class ItemIn(codec.Wire, frozen=True):
    """Units of a SKU; of a `stock_delta` signed."""

    sku: codec.Identifier
    units: _Units
    line: _Text = ""
    condition: Condition = "good"
    batch: _Text = ""
    owner: _Text = ""
    total: _Units | None = None
    cause: _Text = ""


class PackageIn(codec.Wire, frozen=True):
    """A box that left: by whom, under which number, and what is in it."""

    carrier: codec.Identifier
    waybill: codec.Identifier
    code: _Text = ""
    grams: _Natural | None = None
    mm: tuple[_Natural, _Natural, _Natural] | None = None
    cm3: _Natural | None = None
    items: Annotated[list[ItemIn], msgspec.Meta(max_length=ITEMS_MAX)] = msgspec.field(
        default_factory=list
    )
    serials: Annotated[list[_Text], msgspec.Meta(max_length=ITEMS_MAX)] = msgspec.field(
        default_factory=list
    )


class ReportIn(codec.Wire, frozen=True):
    """What a warehouse tells: one thing, under an id that it never uses for another one.

    `reason` says why it does not send something; of `rejected`, `lines` are those that it is about.
    """

    report_id: codec.Identifier
    kind: Kind
    consignment_id: _Text = ""
    at: codec.Instant | None = None
    packages: Annotated[list[PackageIn], msgspec.Meta(max_length=PACKAGES_MAX)] = msgspec.field(
        default_factory=list
    )
    lines: Annotated[list[ItemIn], msgspec.Meta(max_length=ITEMS_MAX)] = msgspec.field(
        default_factory=list
    )
    text: _Long = ""
    wms_ref: _Text = ""
    reason: Reason | None = None


class ReplyIn(msgspec.Struct, frozen=True, gc=False):
    """What a warehouse answers; open, because a later one may tell more."""

    outcome: Literal["done", "pending", "refused"]
    wms_ref: _Text = ""
    code: _Text = ""
    text: _Long = ""
    state: SeenState = "open"


_report: Final = codec.Decoder(ReportIn)
_answered: Final = codec.Decoder(ReplyIn)


sign: Final = signing.sign
verify: Final = signing.verify


# What we ask.


def create(one: Consignment) -> bytes:
    """Return the body that asks for a consignment; the same one gives the same bytes."""
    values = {name: value for name, value in one._asdict().items() if _told(value)}
    for who in ("receiver", "sender"):
        values[who] = {n: v for n, v in values[who]._asdict().items() if v}
    values["lines"] = [
        {
            name: f"{value}" if isinstance(value, date) else value
            for name, value in line._asdict().items()
            if _told(value)
        }
        for line in one.lines
    ]
    return codec.encode({"call": "create", **values})


def cancel(one: Reference, reason: str) -> bytes:
    """Return the body that asks for a consignment not to be sent."""
    return codec.encode({"call": "cancel", **one._asdict(), "reason": reason})


def query(one: Reference) -> bytes:
    """Return the body that asks what has become of a consignment."""
    return codec.encode({"call": "query", **one._asdict()})


def reply(body: bytes, access: Access, *, cancels: bool = False) -> Reply:
    """Return what a warehouse answered; an answer that is none leaves the outcome unknown."""
    try:
        told = _answered(body)
        codec.refuse_nul(body)
    except ValidationFailed as failure:
        return Reply("UNKNOWN", text=failure.detail)
    if told.outcome == "refused":
        ref = told.wms_ref
        return refusal(told.code, told.text, access.codes, cancels=cancels, wms_ref=ref)
    later = told.outcome == "pending" or access.cancels_later
    return Reply("PENDING" if cancels and later else "DONE", told.wms_ref)


def seen(body: bytes, access: Access) -> Seen:
    """Return what a warehouse says that it has of a consignment."""
    told = reply(body, access)
    if told.code == "no_such_order":
        return Seen(told._replace(outcome="DONE"))
    return Seen(told, _answered(body).state) if told.outcome == "DONE" else Seen(told)


# What they tell.


def told(body: bytes, node: str, received_at: datetime) -> tuple[Report, ...]:
    """Return what a callback tells; one without a time of its own is of when it came.

    Raises:
        ValidationFailed: it is not as `ReportIn` says.
    """
    one = _report(body)
    codec.refuse_nul(body)
    codec.identifier(one.report_id, "/report_id")
    if one.kind in _STOCK:
        if not one.lines:
            codec.refuse("/lines", "is required")
    else:
        codec.identifier(one.consignment_id, "/consignment_id")
        _not_below_0(one)
        _names(one)
    at = codec.instant(one.at, "/at") if one.at else received_at
    kind = _KINDS.get(one.kind, "PROGRESS")
    step: Step = one.kind if kind == "PROGRESS" else ""  # type: ignore[assignment] # what is left
    lines = _items(one.lines)
    if one.kind in _STOCK:
        lines = tuple(
            line._replace(reference=f"plain:{node}:{one.report_id}:{n}")
            for n, line in enumerate(lines, 1)
        )
    return (
        Report(
            kind,
            one.report_id,
            one.consignment_id,
            at,
            step=step,
            packages=tuple(_package(package) for package in one.packages),
            lines=lines,
            text=one.text,
            wms_ref=one.wms_ref,
            reason=one.reason or "",
        ),
    )


def _told(value: Any) -> bool:
    return value is not None and value not in ("", ())


def _not_below_0(one: ReportIn) -> None:
    for n, line in enumerate(one.lines):
        if line.units < 0:
            codec.refuse(f"/lines/{n}/units", "must not be below 0")
    for n, package in enumerate(one.packages):
        if any(item.units < 0 for item in package.items):
            codec.refuse(f"/packages/{n}/items", "must not be below 0")


def _names(one: ReportIn) -> None:
    """Refuse numbers of parcels, and names of who has them, that no label could bear."""
    for n, package in enumerate(one.packages):
        codec.identifier(package.carrier, f"/packages/{n}/carrier")
        codec.identifier(package.waybill, f"/packages/{n}/waybill")


def _items(told: Iterable[ItemIn]) -> tuple[Item, ...]:
    return tuple(
        Item(
            one.sku, one.units, one.line, one.condition, one.batch, one.owner, one.total,
            cause=one.cause,
        )
        for one in told
    )  # fmt: skip


def _package(one: PackageIn) -> Package:
    return Package(
        one.carrier, one.waybill, one.code, one.grams, one.mm, one.cm3, _items(one.items),
        tuple(one.serials),
    )  # fmt: skip
