"""Qimen (奇门): signatures, messages, and what they mean; pure.

The signed set is the sent set without `sign`, empty values too, and of the body the bytes as they
came. Two interfaces of Alibaba's mean opposite things by `quantity`: `inventory.report`'s is a
difference, `inventory.query`'s what there is; here the first one is read, as a difference.
"""

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from engine.kernel import codec
from engine.kernel.clock import instant, to_ms
from engine.kernel.errors import Unauthorised, ValidationFailed
from engine.physical.types.facts import Condition
from engine.physical.types.stock import CONDITIONS, STOCK_QUANTITY_MAX
from engine.wms.rules import qimen_codec, qimen_fields, xml
from engine.wms.rules.meanings import refusal
from engine.wms.rules.qimen_codec import BEIJING, INSTANT, Values
from engine.wms.types import (
    Access,
    Consignment,
    ConsignmentKind,
    Contact,
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

SKEW_MAX_S: Final = 900
KINDS: Final[Mapping[ConsignmentKind, str]] = {"sale": "JYCK", "exchange": "HHCK", "reship": "BFCK"}
INVENTORY_TYPES: Final[Mapping[Condition, str]] = {
    plain: word for word, plain in CONDITIONS.items() if word != plain
}

# What a status says. DELIVERED and PARTDELIVERED only say that a confirm is on its way: that one
# says what is in which box.
STATUSES: Final[Mapping[str, tuple[ReportKind, Step]]] = {
    "ACCEPT": ("ACCEPTED", ""),
    "PICK": ("PROGRESS", "picked"),
    "CHECK": ("PROGRESS", "picked"),
    "PRINT": ("PROGRESS", "picked"),
    "PACKAGE": ("PROGRESS", "packed"),
    "WEIGH": ("PROGRESS", "packed"),
    "READY": ("PROGRESS", "packed"),
    "DELIVERED": ("PROGRESS", "left"),
    "PARTDELIVERED": ("PROGRESS", "left"),
    "SIGN": ("PROGRESS", "signed"),
    "REFUSE": ("PROGRESS", "refused"),
    "TMSCANCELED": ("PROGRESS", "intercepted"),
    "TMSCANCELFAILED": ("PROGRESS", "intercept_failed"),
    "EXCEPTION": ("PROGRESS", "trouble"),
    "CANCELED": ("CANCELLED", ""),
    "CLOSED": ("CANCELLED", ""),
    "CANCELEDFAIL": ("CANCEL_FAILED", ""),
    "REJECT": ("REJECTED", ""),
}
_OTHER: Final[tuple[ReportKind, Step]] = ("PROGRESS", "other")
_LEFT: Final = frozenset({"DELIVERED", "SIGN", "REFUSE"})
_GONE: Final = frozenset({"CANCELED", "CLOSED", "REJECT"})
_SIDES: Final = 3
_HIDDEN: Final = "*"
_WANTED: Final = ("name", "mobile", "province", "city", "address")  # of everybody


def sign(secret: str, query: Iterable[tuple[str, str]], body: bytes) -> str:
    """Return the signature of a call; `query` as it is before it is encoded, `sign` left out."""
    named = "".join(f"{name}{value}" for name, value in sorted(query) if name != "sign")
    whole = secret.encode() + named.encode() + body + secret.encode()
    return hashlib.md5(whole).hexdigest().upper()  # noqa: S324 - the platform's own rule


def verify(
    secrets: Sequence[str], query: Sequence[tuple[str, str]], body: bytes, now_ms: int
) -> None:
    """Check who sent a callback, and that it is not an old one.

    Raises:
        Unauthorised: no secret in force signed these bytes, or not now.
    """
    names = [name for name, _ in query]
    told = dict(query).get("sign", "").upper()
    holds = False
    for secret in secrets:  # all of them, so that time tells nothing of which one it was
        holds |= hmac.compare_digest(sign(secret, query, body).encode(), told.encode())
    if not holds or len(set(names)) != len(names):
        raise Unauthorised("the signature does not fit")
    try:
        at = qimen_codec.instant(dict(query).get("timestamp", ""), "/timestamp")
    except ValidationFailed:
        raise Unauthorised("the timestamp must be like 2026-11-11 00:00:00") from None
    if abs(to_ms(at) - now_ms) > SKEW_MAX_S * 1_000:
        raise Unauthorised("the timestamp is too far from now")


def signed(access: Access, method: str, body: bytes, now_ms: int) -> list[tuple[str, str]]:
    """Return the query of a call, signature included."""
    query = [
        ("method", qimen_fields.PREFIX + method),
        ("timestamp", f"{instant(now_ms).astimezone(BEIJING):{INSTANT}}"),
        ("format", "xml"),
        ("app_key", access.app_key),
        ("v", "2.0"),
        ("sign_method", "md5"),
        ("customerId", access.customer),
    ]
    return [*query, ("sign", sign(access.secrets[0], query, body))]


# What we ask.


def create(one: Consignment, access: Access) -> bytes:
    """Return the body of `deliveryorder.create`; the same consignment gives the same bytes.

    Of a consignee whose name and address stand behind an id (`oaid`), what nobody shows us is `*`.

    Raises:
        ValidationFailed: something that Qimen wants is not known, or is too long for it.
    """
    values: Values = one._asdict() | {
        "kind": KINDS[one.kind],
        "warehouse": access.warehouse,
        "operated_at": one.created_at,
        "flags": "^".join(one.flags),
        "lines": [
            line._asdict()
            | {
                "owner": line.owner or access.owner,
                "condition": INVENTORY_TYPES[line.condition],
            }
            for line in one.lines
        ],
    }
    values |= _contact("sender", one.sender) | _contact("receiver", _shown(one.receiver))
    return xml.render("request", qimen_codec.write(qimen_fields.CREATE, values))


def _shown(receiver: Contact) -> Contact:
    """Return what Qimen wants of everybody, hidden where a marketplace hides it."""
    if not receiver.oaid:
        return receiver
    return receiver._replace(**{name: _HIDDEN for name in _WANTED if not getattr(receiver, name)})


def cancel(one: Reference, reason: str, access: Access) -> bytes:
    """Return the body of `order.cancel`."""
    values = {**_reference(one, access), "owner": access.owner, "reason": reason}
    return xml.render("request", qimen_codec.write(qimen_fields.CANCEL, values))


def query(one: Reference, access: Access) -> bytes:
    """Return the body of `orderprocess.query`."""
    return xml.render("request", qimen_codec.write(qimen_fields.QUERY, _reference(one, access)))


def reply(body: bytes, access: Access, *, cancels: bool = False) -> Reply:
    """Return what a warehouse answered; an answer that is none leaves the outcome unknown."""
    try:
        values = qimen_codec.read(qimen_fields.REPLY, xml.parse(body, "response"))
    except ValidationFailed as failure:
        return Reply("UNKNOWN", text=failure.detail)
    return _reply(values, access, cancels=cancels)


def seen(body: bytes, access: Access) -> Seen:
    """Return what a warehouse says that it has of an order."""
    try:
        values = qimen_codec.read(qimen_fields.REPLY, xml.parse(body, "response"))
    except ValidationFailed as failure:
        return Seen(Reply("UNKNOWN", text=failure.detail))
    told = _reply(values, access)
    if told.code == "no_such_order":
        return Seen(told._replace(outcome="DONE"))
    statuses = {step["status"] for step in values["steps"]}
    return Seen(told, _seen(statuses))


def answer(*, success: bool, message: str = "") -> bytes:
    """Return what a callback is answered; after a failure its sender sends it again."""
    flag = "success" if success else "failure"
    code = "" if success else "tidegate"
    content = [("flag", flag), ("code", code), ("message", message)]
    return xml.render("response", content)


# What they tell.


def method_of(query: Sequence[tuple[str, str]]) -> str:
    """Return the method of a callback, without its prefix.

    Raises:
        ValidationFailed: it is none that is read here.
    """
    method = dict(query).get("method", "").removeprefix(qimen_fields.PREFIX)
    if method not in qimen_fields.IN:
        codec.refuse("/method", f"must be one of {', '.join(qimen_fields.IN)}")
    return method


def told(method: str, body: bytes, node: str, received_at: datetime) -> tuple[Report, ...]:
    """Return what a callback tells; one without a time of its own is of when it came.

    Raises:
        ValidationFailed: it is not as its table says.
    """
    values = qimen_codec.read(qimen_fields.IN[method], xml.parse(body, "request"))
    values.setdefault("at", received_at)
    # whoever repeats a message without an id of its own repeats its bytes
    values.setdefault("report_id", hashlib.blake2b(body, digest_size=16).hexdigest())
    return _READERS[method](values, node)


def _confirm(values: Values, node: str) -> tuple[Report, ...]:
    del node
    kind: ReportKind = "PARTLY_SHIPPED" if values.get("partial", 0) == 1 else "SHIPPED"
    status = str(values.get("status", ""))
    if status in {"CANCELED", "REJECT", "CANCELEDFAIL", "CLOSED"}:
        kind = STATUSES[status][0]
    return (
        Report(
            kind,
            values["report_id"],
            values["consignment_id"],
            values["at"],
            packages=tuple(_package(one) for one in values["packages"]),
            lines=tuple(_item(one) for one in values["lines"]),
            wms_ref=values.get("wms_ref", ""),
        ),
    )


def _process(values: Values, node: str) -> tuple[Report, ...]:
    del node
    kind, step = STATUSES.get(values["status"], _OTHER)
    return (
        Report(
            kind,
            values["report_id"],
            values["consignment_id"],
            values["at"],
            step=step,
            text=values.get("text", "") or values["status"],
            wms_ref=values.get("wms_ref", ""),
        ),
    )


def _lack(values: Values, node: str) -> tuple[Report, ...]:
    del node
    reasons = {one["reason"] for one in values["lines"] if "reason" in one}
    return (
        Report(
            "LACK",
            values["report_id"],
            values["consignment_id"],
            values["at"],
            lines=tuple(_item(one) for one in values["lines"]),
            text=", ".join(sorted(reasons)),
            wms_ref=values.get("wms_ref", ""),
        ),
    )


def _trouble(values: Values, node: str) -> tuple[Report, ...]:
    del node
    words = [values.get("status", ""), values.get("text", "")]
    return (
        Report(
            "PROGRESS",
            values["report_id"],
            values["consignment_id"],
            values["at"],
            step="trouble",
            text=": ".join(word for word in words if word),
            wms_ref=values.get("wms_ref", ""),
        ),
    )


def _inventory(values: Values, node: str) -> tuple[Report, ...]:
    page, pages, told_id = values["page"], values["pages"], values["report_id"]
    if not 1 <= page <= pages:
        codec.refuse("/currentPage", "must be between 1 and totalPage")
    lines = tuple(
        _item(one)._replace(
            owner=values["owner"],
            reference=f"qimen:{node}:{told_id}:{page}:{n}",
            cause=values["check"],
        )
        for n, one in enumerate(values["lines"], 1)
    )
    return (
        Report(
            "STOCK_DELTA",
            f"{told_id}:{page}",
            "",
            values["at"],
            lines=lines,
            text=values.get("adjust", ""),
            page=page,
            pages=pages,
        ),
    )


def _change(values: Values, node: str) -> tuple[Report, ...]:
    seen_of = Counter[str]()
    lines = []
    for one in values["lines"]:
        seen_of[one["reference"]] += 1
        n = seen_of[one["reference"]]
        lines.append(_item(one)._replace(reference=f"qimen:{node}:{one['reference']}:{n}"))
    return (Report("STOCK_DELTA", values["report_id"], "", values["at"], lines=tuple(lines)),)


_READERS: Final[Mapping[str, Callable[[Values, str], tuple[Report, ...]]]] = {
    "deliveryorder.confirm": _confirm,
    "orderprocess.report": _process,
    "itemlack.report": _lack,
    "orderexception.report": _trouble,
    "inventory.report": _inventory,
    "stockchange.report": _change,
}


def _package(one: Values) -> Package:
    grams = one.get("grams", one.get("grams_planned"))
    if (grams or 0) > STOCK_QUANTITY_MAX:
        codec.refuse("/weight", f"must be at most {STOCK_QUANTITY_MAX // 1_000} kg")
    sizes = tuple(one[side] for side in ("length", "width", "height") if side in one)
    return Package(
        one["carrier"],
        one["waybill"],
        code=one.get("code", ""),
        grams=grams,
        mm=(sizes[0], sizes[1], sizes[2]) if len(sizes) == _SIDES else None,
        cm3=one.get("cm3"),
        items=tuple(Item(item["sku"], _units(item)) for item in one["items"]),
        serials=tuple(
            serial["serial"]
            for item in one["items"]
            for serial in item["serials"]
            if "serial" in serial
        ),
    )


def _item(one: Values) -> Item:
    word = one.get("condition", "ZP")
    if word not in CONDITIONS:
        codec.refuse("/inventoryType", f"must be one of {', '.join(INVENTORY_TYPES.values())}")
    return Item(
        one["sku"],
        one["units"],
        line=one.get("line", ""),
        condition=CONDITIONS[word],
        batch=one.get("batch", ""),
        owner=one.get("owner", ""),
        total=one.get("total"),
        cause=one.get("cause", ""),
        at=one.get("at"),
    )


def _units(one: Values) -> int:
    units: int = one["units"]
    if units < 0:
        codec.refuse("/quantity", "must not be below 0")
    return units


def _contact(ours: str, one: Contact) -> Values:
    return {f"{ours}.{name}": value for name, value in one._asdict().items()}


def _reference(one: Reference, access: Access) -> Values:
    return {
        "warehouse": access.warehouse,
        "consignment_id": one.consignment_id,
        "wms_ref": one.wms_ref,
        "kind": KINDS[one.kind],
    }


def _reply(values: Values, access: Access, *, cancels: bool = False) -> Reply:
    ref, text = values.get("wms_ref", ""), values.get("message", "")
    if values["flag"] == "success":
        return Reply("PENDING" if cancels and access.cancels_later else "DONE", ref)
    return refusal(values.get("code", ""), text, access.codes, cancels=cancels, wms_ref=ref)


def _seen(statuses: set[str]) -> SeenState:
    if statuses & _LEFT:
        return "shipped"
    if "PARTDELIVERED" in statuses:
        return "partly_shipped"
    return "cancelled" if statuses & _GONE else "open"
