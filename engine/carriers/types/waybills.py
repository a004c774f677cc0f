"""Waybills (面单): what a carrier is asked for, what it may answer, and what is kept of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

State = Literal["asked", "got", "used", "cancelled", "failed"]
Outcome = Literal["DONE", "REFUSED", "UNKNOWN"]


class Wanted(NamedTuple):
    """One parcel that needs a number.

    `request_id` is ours and the same however often it is asked for. `ship_to` is read from the
    order when the carrier is asked, and kept nowhere: neither in a row nor in a log.
    """

    request_id: str
    shipment_id: str
    service: str
    carrier: str
    node: str
    grams: int = 0
    cod: int = 0
    insured: int = 0
    currency: str = "CNY"
    ship_to: Mapping[str, Any] = {}


class Reply(NamedTuple):
    """What a carrier answered.

    `DONE` with the number and what is printed. `REFUSED` with its code and text; `permanent` if the
    same would be refused again. `UNKNOWN`, after a timeout, a cut or a 5xx: it may have happened.
    """

    outcome: Outcome
    waybill: str = ""
    data: Mapping[str, Any] = {}
    code: str = ""
    text: str = ""
    permanent: bool = False


class Carrier(Protocol):
    """The waybill port, one for each carrier; every call may be repeated without harm."""

    async def get(self, one: Wanted) -> Reply:
        """Ask for a number; the same request has the same one, for ever."""
        ...

    async def cancel(self, waybill: str, reason: str) -> Reply:
        """Give a number back; `DONE` also where that was done before, not once it is on its way."""
        ...

    async def print_data(self, waybill: str) -> Reply:
        """Return what a printer needs for a number that was given."""
        ...


class Waybill(NamedTuple):
    """One as it is kept; `waybill` is "" until the carrier said it."""

    request_id: str
    shipment_id: str
    service: str
    carrier: str
    waybill: str
    state: State
    reason: str
    data: Mapping[str, Any]
    asked_at: datetime
    state_at: datetime
