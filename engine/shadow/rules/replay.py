"""The rule: one SKU's facts in the order in which they happened, and what they come to.

At each instant three numbers stand side by side, per listing: what the shop shows, what Tidegate
would have published (`engine/publications/rules/numbers.py`, of what could be known by then), and
what was free in truth.

**Shown** is the last number that was seen, less what was bought at that listing since, for a shop
counts its own sales by itself, and more by what was cancelled there.

**Oversold** are the units by which an order makes the shortage (units sold and not there) grow: so
each unit is counted with one order. A count that makes it grow is a loss, and one that makes it
shrink, or a cancel, is a repayment:

    shortage at the end = oversold + lost - repaid

A listing without a count or without a number takes no part in what compares the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Final

from engine.kernel.clock import to_ms
from engine.publications.rules import numbers
from engine.publications.rules.burn import Burn
from engine.publications.types import Link as ShelfLink
from engine.publications.types import Reach, Settings, Shelf
from engine.shadow.rules import reasons
from engine.shadow.rules.events import Event, Kind, Offer, Story, events
from engine.shadow.rules.free import Free, Sale
from engine.shadow.rules.reasons import Scene
from engine.shadow.rules.stand import Stand
from engine.shadow.types import Link, Moment, Shown, Terms

_POOL: Final = "all"


@dataclass(slots=True)
class Outcome:
    """What a SKU's facts come to, before it is told."""

    story: Story
    counted: bool = False
    moments: list[Moment] = field(default_factory=list)
    stands: dict[Link, Stand] = field(default_factory=dict)
    lost: int = 0
    repaid: int = 0
    shortage: int = 0


def replay(story: Story, terms: Terms, end: datetime) -> Outcome:
    """Play one SKU's facts until `end`; what lies outside the terms is played, but not told."""
    return _Replay(story, terms).run(end)


class _Replay:
    """The state of one SKU while its facts are played."""

    def __init__(self, story: Story, terms: Terms) -> None:
        self._story, self._terms = story, terms
        self._truth, self._known = Free(), Free()
        self._burn = Burn()
        self._found = Outcome(story)
        self._stands = self._found.stands
        self._wanted_of: tuple[int, float] | None = None
        self._wanted: dict[Link, int] = {}
        self._lost_track = 0  # units sold by links that stand for nothing
        for link, offer in sorted(story.offers.items()):
            self._stands[link] = Stand(offer)
        self._shelves = {link: _shelf(one, terms) for link, one in story.offers.items()}

    def run(self, end: datetime) -> Outcome:
        """Play everything, and close what is open at the end."""
        told = events(self._story, melting=self._terms.lag_seconds > 0)
        for at, group in groupby(told, key=itemgetter(0)):
            if at > end:
                break
            for one in group:
                self._happens(one)
            self._look(at)
        for stand in self._stands.values():
            stand.close(end, self._terms, self._stands.values())
        self._found.counted = self._truth.counted
        self._found.shortage = self._truth.shortage
        return self._found

    def _happens(self, event: Event) -> None:
        at, kind, what = event
        before = self._truth.shortage
        match kind:
            case Kind.COUNTED:
                self._truth.count(what, at)
            case Kind.RECEIVED:
                self._known.count(what, at)
            case Kind.CANCELLED:
                self._cancelled(what, at)
            case Kind.PLACED:
                self._placed(what, at)
            case Kind.SHOWN:
                self._shown(what, at)
            case _:
                pass
        change = self._truth.shortage - before
        if kind is not Kind.PLACED:
            self._found.lost += max(change, 0)
            self._found.repaid += max(-change, 0)

    def _cancelled(self, sale: Sale, at: datetime) -> None:
        self._truth.cancel(sale, at)
        self._known.cancel(sale, at)
        for stand in self._of(sale):
            if stand.shown is not None:
                stand.shown += sale.pieces

    def _placed(self, sale: Sale, at: datetime) -> None:
        scene = self._scene(sale)
        before = self._truth.shortage
        self._truth.place(sale, at)
        self._known.place(sale, at)
        self._sold(sale, at)
        if units := self._truth.shortage - before:
            why = tuple(reasons.oversold(scene))
            self._found.moments.append(Moment(at, sale.link, sale.order, units, why))

    def _scene(self, sale: Sale) -> Scene:
        told = [one for one in self._of(sale) if one.shown is not None]
        stand = max(told, key=lambda one: one.units, default=None)
        others = [
            (one.offer.link, one.units)
            for link, one in self._stands.items()
            if link.channel != sale.link.channel and one.units
        ]
        known = self._known.units if self._known.counted else 0
        truth = self._truth
        stand = replace(stand) if stand else None  # as it is now: the sale changes it
        return Scene(sale, stand, others, truth.units, known, truth.safety, self._lost_track)

    def _sold(self, sale: Sale, at: datetime) -> None:
        if not sale.mapped:
            self._lost_track += sale.units
        for stand in self._of(sale):
            if stand.shown is not None:
                stand.shown = max(0, stand.shown - sale.pieces)
        for stand in self._stands.values():
            if stand.offer.link.channel != sale.link.channel:
                stand.others += sale.units
        self._burn.add(_POOL, to_ms(at) // 1_000, sale.units)

    def _of(self, sale: Sale) -> Sequence[Stand]:
        """Return the listings that a sale lowers: its own, or all where it names none."""
        if sale.link.item_id:
            return [self._stands[sale.link]]
        channel = sale.link.channel
        return [one for link, one in self._stands.items() if link.channel == channel]

    def _shown(self, told: Shown, at: datetime) -> None:
        stand = self._stands[told.link]
        stand.shown = stand.told = told.quantity
        stand.told_at, stand.others = at, 0
        stand.free_then = max(self._truth.units, 0)
        stand.wanted_then = self._all_wanted(at).get(told.link)

    def _look(self, at: datetime) -> None:
        """Compare what listings show with what would have been published, from now on."""
        free = max(self._truth.units, 0) if self._truth.counted else None
        wanted = self._all_wanted(at)
        for link, stand in self._stands.items():
            stand.turn(at, wanted.get(link), free, self._terms, self._stands.values())

    def _all_wanted(self, at: datetime) -> dict[Link, int]:
        """Return what would have been published, while it is known what was counted."""
        known = self._known
        if not known.counted:
            return {}
        of = known.units - known.safety, self._burn.rate(_POOL, to_ms(at) // 1_000)
        if of != self._wanted_of:
            sellable, rate = self._wanted_of = of
            reach = Reach("on_sale", sellable)
            self._wanted = {
                link: numbers.number(shelf, reach, rate, 0).published
                for link, shelf in self._shelves.items()
            }
        return self._wanted


def _shelf(offer: Offer, terms: Terms) -> Shelf:
    link = ShelfLink("", offer.link.channel, offer.link.item_id, offer.link.sku_id)
    settings = Settings(buffer=terms.buffer, lag_seconds=terms.lag_seconds)
    return Shelf(link, offer.skus, settings)
