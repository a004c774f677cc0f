"""The other side of both languages: calls read, answers and reports written, as a warehouse does.

What a warehouse refuses it calls by codes of its own, which a node's profile explains (`CODES`).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from engine.kernel import codec
from engine.simulation.warehouse.types import Answered
from engine.wms.rules import qimen, qimen_codec, qimen_fields, xml
from engine.wms.rules.plain import Kind
from engine.wms.types import Access, Item, Meaning, Package, Report, Step

CODES: Final[Mapping[str, Meaning]] = {
    "S01": "exists",
    "S02": "no_such_order",
    "S03": "too_late",
    "S04": "cancelled",
    "S05": "busy",
}
_CODE_OF: Final = {meaning: code for code, meaning in CODES.items()}
_LINE: Final = re.compile(r"^(.+):(\d+)$")

# One status for each step; PACKAGE is said by some as WEIGH, which reads the same.
_STATUSES: Final[Mapping[Step, str]] = {
    "picked": "PICK",
    "packed": "PACKAGE",
    "left": "DELIVERED",
    "signed": "SIGN",
    "refused": "REFUSE",
    "intercepted": "TMSCANCELED",
    "intercept_failed": "TMSCANCELFAILED",
    "trouble": "EXCEPTION",
    "other": "OTHER",
}
_PROCESSES: Final = {
    "ACCEPTED": "ACCEPT",
    "CANCELLED": "CANCELED",
    "CANCEL_FAILED": "CANCELEDFAIL",
    "REJECTED": "REJECT",
}


class Called(NamedTuple):
    """What was asked: by which call, about which order, and what is in it."""

    call: str
    code: str
    lines: tuple[Item, ...] = ()
    carrier: str = ""
    waybill: str = ""


# Calls, and what they are answered.


def qimen_call(method: str, body: bytes) -> Called:
    """Read a call in Qimen."""
    method = method.removeprefix(qimen_fields.PREFIX)
    values = qimen_codec.read(qimen_fields.OUT[method], xml.parse(body, "request"))
    if method != "deliveryorder.create":
        call = "cancel" if method == "order.cancel" else "query"
        return Called(call, values["consignment_id"])
    lines = tuple(
        Item(line["sku"], line["units"], line.get("ref", ""), owner=line["owner"])
        for line in values["lines"]
    )
    waybill = values.get("waybill", "")
    return Called("create", values["consignment_id"], lines, values["carrier"], waybill)


def qimen_answer(answered: Answered) -> bytes:
    """Write an answer in Qimen."""
    values: dict[str, Any] = {
        "flag": "failure" if answered.code else "success",
        "code": _CODE_OF[answered.code] if answered.code else None,
        "message": answered.code,
        "wms_ref": answered.wms_ref,
        "steps": [{"status": status} for status in answered.statuses],
    }
    return xml.render("response", qimen_codec.write(qimen_fields.REPLY, values))


def plain_call(body: bytes) -> Called:
    """Read a call in plain JSON."""
    document = codec.decode_json(body)
    lines = tuple(
        Item(line["sku"], line["units"], line["ref"], owner=line.get("owner", ""))
        for line in document.get("lines", ())
    )
    return Called(
        document["call"], document["consignment_id"], lines, document.get("carrier", ""),
        document.get("waybill", ""),
    )  # fmt: skip


def plain_answer(answered: Answered) -> bytes:
    """Write an answer in plain JSON."""
    outcome = "refused" if answered.code else ("pending" if answered.pending else "done")
    return codec.encode(
        {
            "outcome": outcome, "wms_ref": answered.wms_ref, "state": answered.state,
            "code": _CODE_OF[answered.code] if answered.code else "", "text": answered.code,
        }
    )  # fmt: skip


# Reports.


def qimen_report(report: Report, access: Access) -> tuple[str, bytes]:
    """Write a report in Qimen; returns the method and the body."""
    values: dict[str, Any] = {
        "consignment_id": report.consignment_id,
        "wms_ref": report.wms_ref,
        "warehouse": access.warehouse,
        "kind": "JYCK",
        "report_id": report.report_id,
        "at": report.at,
    }
    if report.kind in {"SHIPPED", "PARTLY_SHIPPED"}:
        partial = report.kind == "PARTLY_SHIPPED"
        values |= {
            "partial": int(partial),
            "status": "PARTDELIVERED" if partial else "DELIVERED",
            "packages": [_qimen_package(one) for one in report.packages],
            "lines": _qimen_items(report.lines, access),
        }
        method = "deliveryorder.confirm"
    elif report.kind == "LACK":
        reason = {"reason": report.text} if report.text else {}
        values["lines"] = [one | reason for one in _qimen_items(report.lines, access)]
        method = "itemlack.report"
    elif report.kind == "STOCK_DELTA":
        method = "inventory.report" if report.text else "stockchange.report"
        values |= _qimen_stock(report, access)
    else:
        status = _PROCESSES.get(report.kind) or _STATUSES[report.step]
        values |= {"status": status, "text": report.text}
        method = "orderprocess.report"
    table = qimen_fields.IN[method]
    return method, xml.render("request", qimen_codec.write(table, values))


def plain_report(report: Report) -> bytes:
    """Write a report in plain JSON."""
    kind: Kind
    kind = report.step if report.kind == "PROGRESS" else report.kind.lower()  # type: ignore[assignment] # its words
    return codec.encode(
        {
            "report_id": report.report_id, "kind": kind, "at": report.at, "text": report.text,
            "consignment_id": report.consignment_id, "wms_ref": report.wms_ref,
            "packages": [_plain_package(one) for one in report.packages],
            "lines": [_plain_item(one) for one in report.lines],
        }
    )  # fmt: skip


def _qimen_package(one: Package) -> dict[str, Any]:
    length, width, height = one.mm or (None, None, None)
    return one._asdict() | {
        "length": length,
        "width": width,
        "height": height,
        "items": [{"sku": item.sku, "units": item.units} for item in one.items],
    }


def _qimen_items(items: Sequence[Item], access: Access) -> list[dict[str, Any]]:
    return [
        item._asdict()
        | {
            "owner": item.owner or access.owner,
            "condition": qimen.INVENTORY_TYPES[item.condition],
        }
        for item in items
    ]


def _qimen_stock(report: Report, access: Access) -> dict[str, Any]:
    """Write changes of stock; those of a count have a `text`, and name the count as their cause."""
    changes = _qimen_items(report.lines, access)
    for one in changes:
        one["warehouse"] = access.warehouse
    return {
        "page": report.page,
        "pages": report.pages,
        "page_size": len(changes),
        "check": report.lines[0].cause,
        "owner": changes[0]["owner"],
        "adjust": report.text,
        "lines": changes,
    }


def _plain_package(one: Package) -> dict[str, Any]:
    known = {name: value for name, value in one._asdict().items() if value not in (None, "", ())}
    return known | {"items": [_plain_item(item) for item in one.items]}


def _plain_item(one: Item) -> dict[str, Any]:
    document = one._asdict()
    del document["reference"], document["at"]
    return document
