"""What a carrier's desk is asked and answers, in JSON; pure.

One address takes every call, a POST whose body names it (`call`), so that the signature covers what
is asked (engine/kernel/signing.py). Amounts are minor units, weights g, instants RFC 3339. It is
made for what stands between us and a carrier's own interface.
"""

from typing import Annotated, Any, Final, Literal

import msgspec

from engine.carriers.types.desks import News, Tracked, Word
from engine.carriers.types.waybills import Reply, Wanted
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed

TRACKED_MAX: Final = 200  # parcels that one call asks about
_NEWS_MAX: Final = 20_000
_Text = Annotated[str, msgspec.Meta(max_length=128)]
_Long = Annotated[str, msgspec.Meta(max_length=500)]


class _Answer(msgspec.Struct, frozen=True, gc=False):
    """What a desk answers; open, because a later one may tell more."""

    outcome: Literal["done", "refused"]
    waybill: _Text = ""
    data: dict[str, Any] = {}
    code: _Text = ""
    text: _Long = ""
    permanent: bool = False


class _News(msgspec.Struct, frozen=True, gc=False):
    waybill: _Text
    milestone: Word
    at: codec.Instant
    place: _Text = ""
    raw: Annotated[str, msgspec.Meta(max_length=64)] = ""


class _Told(msgspec.Struct, frozen=True, gc=False):
    outcome: Literal["done", "refused"]
    milestones: Annotated[list[_News], msgspec.Meta(max_length=_NEWS_MAX)] = []
    code: _Text = ""


_answer: Final = codec.Decoder(_Answer)
_told: Final = codec.Decoder(_Told)


def get(one: Wanted) -> bytes:
    """Return the body that asks for a number; the same request gives the same bytes."""
    return codec.encode({"call": "waybill.get", **one._asdict()})


def cancel(waybill: str, reason: str) -> bytes:
    """Return the body that gives a number back."""
    return codec.encode({"call": "waybill.cancel", "waybill": waybill, "reason": reason})


def intercept(waybill: str, reason: str) -> bytes:
    """Return the body that asks for a parcel to be turned round; the same again is no new wish."""
    return codec.encode({"call": "intercept", "waybill": waybill, "reason": reason})


def print_data(waybill: str) -> bytes:
    """Return the body that asks for what is printed."""
    return codec.encode({"call": "waybill.print", "waybill": waybill})


def track(waybills: list[str]) -> bytes:
    """Return the body that asks where parcels are."""
    return codec.encode({"call": "track", "waybills": waybills})


def reply(body: bytes) -> Reply:
    """Return what a desk answered; an answer that is none leaves the outcome unknown."""
    try:
        told = _answer(body)
    except ValidationFailed as failure:
        return Reply("UNKNOWN", text=failure.detail)
    if told.outcome == "refused":
        return Reply("REFUSED", code=told.code, text=told.text, permanent=told.permanent)
    return Reply("DONE", told.waybill, told.data)


def tracked(body: bytes) -> Tracked:
    """Return what a desk said of parcels; one thing that nobody can read leaves all unknown."""
    try:
        told = _told(body)
        news = tuple(
            News(one.waybill, one.milestone, codec.instant(one.at, "/milestones/at"),
                 codec.plain_text(one.place, "/milestones/place", 128),
                 codec.plain_text(one.raw, "/milestones/raw", 64))
            for one in told.milestones
        )  # fmt: skip
    except ValidationFailed:
        return Tracked("UNKNOWN")
    return Tracked("DONE" if told.outcome == "done" else "REFUSED", news, told.code)
