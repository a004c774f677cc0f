"""What a warehouse means by what it refuses, and by why it does not send something."""

from collections.abc import Mapping
from typing import Final, Literal

from engine.shipments.types.shipments import Reason
from engine.wms.types import Meaning, Reply, Report

_PERMANENT: Final = frozenset({"invalid", "no_such_order", "too_late", "cancelled"})

# What is commonly said; a node's profile adds its own words, and goes before these.
_WORDS: Final[Mapping[str, Reason]] = {
    "缺货": "out_of_stock",
    "系统报缺": "out_of_stock",
    "实物报缺": "out_of_stock",
    "丢失": "lost",
    "货损": "damaged",
    "破损": "damaged",
    "残次": "damaged",
    "货不对板": "mismatch",
    "爆仓": "busy",
    "停业": "closed",
    "闭店": "closed",
    "超区": "cannot_ship",
    "不在配送范围": "cannot_ship",
}


def reason(report: Report, own: Mapping[str, Reason]) -> Reason | Literal[""]:
    """Return why a node does not send something; "" where it gave no reason that anybody knows.

    Its words count whole, as those of `refusal` do.
    """
    if report.reason:
        return report.reason
    found = own.get(report.text) or _WORDS.get(report.text)
    return found or ("out_of_stock" if report.kind == "LACK" else "")


def refused_create(code: str, own: Mapping[str, Reason]) -> Reason:
    """Return why a node does not take a consignment, by the code of its permanent refusal."""
    return own.get(code, "cannot_ship" if code == "invalid" else "other")


def refusal(
    code: str, text: str, codes: Mapping[str, Meaning], *, cancels: bool = False, wms_ref: str = ""
) -> Reply:
    """Return the reply that a refusal stands for.

    What is there already was created, and what is cancelled already is cancelled. Of a code that
    nobody explained it is not known whether asking again would help, so it is asked again. Texts
    are never looked into: "no such address" would be taken for "no such order".
    """
    meaning = codes.get(code, code)
    if meaning == ("cancelled" if cancels else "exists"):
        return Reply("DONE", wms_ref, meaning, text)
    return Reply("REFUSED", wms_ref, meaning, text, permanent=meaning in _PERMANENT)
