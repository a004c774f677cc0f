"""Facts to events of one SKU in the order in which they happened; pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from engine.physical.types.facts import Assigned
from engine.shadow.rules.free import Sale
from engine.shadow.types import Counted, Facts, Link, OrderLine, Shown

# A buffer melts by itself when a sale leaves the windows of the burn rate
# (engine/publications/rules/burn.py).
_MELTS_S: Final = (3, 10, 60)


class Kind(IntEnum):
    """What happens; of one instant in this order (engine/shadow/rules/free.py says why)."""

    CANCELLED = 0
    COUNTED = 1  # in truth
    RECEIVED = 2  # as anybody else can know
    PLACED = 3
    SHOWN = 4
    MELTED = 5


Event: TypeAlias = "tuple[datetime, Kind, Any]"


class Offer(NamedTuple):
    """A link of a SKU and its units; `skus` is what it is mapped to, `bundle` what it sells."""

    link: Link
    sku: str
    units_per: int
    skus: tuple[tuple[str, int], ...]
    bundle: str = ""


class Story(NamedTuple):
    """All that was told of one SKU; `offers` by their links."""

    sku: str
    offers: dict[Link, Offer]
    lines: list[OrderLine]
    counts: list[Counted]
    shown: list[Shown]


def mapped(link: Link, table: Mapping[tuple[str, str, str], Sequence[tuple[str, int]]]) -> Offer:
    """Return what a link stands for; its `sku` is "" where nobody can say."""
    if not link.item_id:
        return Offer(link, link.sku, 1, ((link.sku, 1),))
    skus = tuple(table.get((link.channel, link.item_id, link.sku_id), ()))
    if len(skus) == 1:
        return Offer(link, *skus[0], skus)
    return Offer(link, "", 1, skus)


def stories(facts: Facts) -> dict[str, Story]:
    """Return the facts by SKU.

    A line of an unmapped link is of the SKU that it names itself, if it does; its units are gone,
    whether somebody took them off or not. So are numbers. An order of a bundle takes units of each
    of its components; what its listing shows is compared with none of them.
    """
    found: dict[str, Story] = {}
    for line in facts.lines:
        for story in _told_of(found, facts, line.link, line.sku):
            story.lines.append(line)
    for number in facts.shown:
        for story in _told_of(found, facts, number.link, number.sku):
            if not story.offers[number.link].bundle:
                story.shown.append(number)
    for count in facts.counts:
        if count.condition == "good":
            _story(found, count.sku).counts.append(count)
    return dict(sorted(found.items()))


def _told_of(found: dict[str, Story], facts: Facts, link: Link, said: str) -> list[Story]:
    """Return the stories that something told of a link belongs to; `said` is the SKU it names."""
    offer = mapped(link, facts.mapped)
    sku = offer.sku or said
    if not sku:
        return []
    parts = facts.bundles.get(sku)
    of = [(part, sku, units * offer.units_per) for part, units in parts] if parts else []
    told = []
    for part, bundle, units_per in of or [(sku, "", offer.units_per)]:
        story = _story(found, part)
        story.offers[link] = offer._replace(sku=part, units_per=units_per, bundle=bundle)
        told.append(story)
    return told


def _story(found: dict[str, Story], sku: str) -> Story:
    return found.setdefault(sku, Story(sku, {}, [], [], []))


def events(story: Story, *, melting: bool) -> list[Event]:
    """Return what happened to a SKU, in order; with `melting` also when buffers change alone."""
    found: list[Event] = []
    for n, line in enumerate(story.lines):
        sale = _sale(n, line, story.offers[line.link])
        found.append((line.placed_at, Kind.PLACED, sale))
        if sale.life.cancelled_at is not None:
            found.append((max(sale.life.cancelled_at, line.placed_at), Kind.CANCELLED, sale))
    for count in story.counts:
        found.append((count.as_of, Kind.COUNTED, count))
        found.append((max(count.received_at, count.as_of), Kind.RECEIVED, count))
    found += [(one.seen_at, Kind.SHOWN, one) for one in story.shown]
    if melting:
        found += [(at, Kind.MELTED, None) for at in sorted({*_melts(story.lines)})]
    found.sort(key=itemgetter(0, 1))
    return found


def _sale(n: int, line: OrderLine, offer: Offer) -> Sale:
    known = len(offer.skus) == 1
    # Who knows an order takes it off; of a link that stands for nothing nobody does by himself.
    accepted = line.accepted_at or line.known_at or (line.placed_at if known else None)
    cancelled = line.cancelled_at if line.shipped_at is None else None
    units = line.quantity * offer.units_per
    life = Assigned(units, accepted, line.shipped_at, cancelled)
    order = line.channel_order_id
    return Sale(
        n,
        line.link,
        order,
        line.node,
        line.quantity,
        units,
        line.placed_at,
        life,
        known,
        offer.bundle,
    )


def _melts(lines: Sequence[OrderLine]) -> Iterator[datetime]:
    for second in {line.placed_at.replace(microsecond=0) for line in lines}:
        for after in _MELTS_S:
            yield second + timedelta(seconds=after)
