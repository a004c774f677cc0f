"""A carrier's desk as it is reached: waybills, and where parcels are."""

from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from engine.carriers.types.waybills import Carrier, Outcome, Reply

Word = Literal[
    "collected", "in_transit", "arrived", "out_for_delivery", "failed_attempt", "lost",
    "delivered", "refused", "returning", "returned", "damaged",
]  # fmt: skip


class DeskAccess(NamedTuple):
    """Where a service's carrier is asked, and what we sign with; `carrier` is its name."""

    service: str
    carrier: str
    url: str
    secret: str

    def __repr__(self) -> str:
        """Show no secret."""
        return f"DeskAccess({self.service})"


class News(NamedTuple):
    """One thing that a carrier says of a parcel; `raw` is its own code for it."""

    waybill: str
    milestone: Word
    at: datetime
    place: str = ""
    raw: str = ""


class Tracked(NamedTuple):
    """What a carrier answered when it was asked where parcels are."""

    outcome: Outcome
    news: tuple[News, ...] = ()
    code: str = ""


class Desk(Carrier, Protocol):
    """All that a carrier is asked."""

    async def intercept(self, waybill: str, reason: str) -> Reply:
        """Ask that a parcel on its way be turned round; what comes of it is told by `track`."""
        ...

    async def track(self, waybills: list[str]) -> Tracked:
        """Ask where parcels are; all that is known of them, from their beginning."""
        ...
