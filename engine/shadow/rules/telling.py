"""What replayed facts come to as a report, the worst first; pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

from engine.kernel.clock import rfc3339, to_ms
from engine.shadow.rules.events import mapped, stories
from engine.shadow.rules.replay import Outcome, replay
from engine.shadow.rules.stand import Stand, Told
from engine.shadow.types import (
    Curve,
    Drift,
    Exposed,
    Facts,
    Link,
    Moment,
    OrderLine,
    Oversold,
    Report,
    Terms,
    Undersold,
    Unmapped,
    Why,
)

_DIGITS: Final = 3
_ONE_STOCK: Final = (
    "all nodes are taken as one stock that every shop sells from: a shop that sells from some of"
    " them only oversold at least what is said here, and may have undersold and drifted less"
)


def report(facts: Facts, terms: Terms, end: datetime) -> tuple[Report, list[Curve]]:
    """Return what facts come to until `end`, and the curves of listings that drifted."""
    end = min(filter(None, (end, terms.until)))
    outcomes = [replay(story, terms, end) for story in stories(facts).values()]
    moments = [(one, list(_within(one.moments, terms))) for one in outcomes]
    oversold = [told for one, some in moments for told in _oversold(one, some)]
    stands = [(one, stand) for one in outcomes if one.counted for stand in one.stands.values()]
    drift = [_drift(stand) for _, stand in stands if stand.over.minutes or stand.under.minutes]
    exposed = [_exposed(stand) for _, stand in stands if stand.exposed.minutes]
    undersold = [_undersold(stand) for _, stand in stands if stand.dry.minutes]
    unmapped = _unmapped(facts, terms, end)
    uncounted = [one.story.sku for one in outcomes if not one.counted]
    found = Report(
        since=_instant(terms.since or _first(facts)),
        until=_instant(end),
        lag_seconds=terms.lag_seconds,
        buffer=terms.buffer,
        facts={
            "order_lines": len(facts.lines),
            "counts": len(facts.counts),
            "numbers": len(facts.shown),
        },
        empty=not (oversold or exposed or undersold or drift or unmapped or uncounted),
        oversold_units=sum(one.units for one in oversold),
        lost_units=sum(one.lost for one in outcomes),
        undersold_unit_minutes=round(sum(one.unit_minutes for one in undersold), _DIGITS),
        oversold=sorted(oversold, key=lambda one: (-one.units, one.first_at, one.sku)),
        exposed=sorted(exposed, key=lambda one: (-one.units_most, one.first_at, one.sku)),
        undersold=sorted(undersold, key=lambda one: (-one.unit_minutes, one.first_at, one.sku)),
        drift=sorted(drift, key=lambda one: (-one.over - one.under, one.channel, one.item_id)),
        unmapped=unmapped,
        uncounted=uncounted,
        note=_ONE_STOCK if len({one.node for one in facts.counts}) > 1 else "",
    )
    return found, _curves(stands, {id(one): some for one, some in moments})


def last(facts: Facts) -> datetime:
    """Return the last instant that facts tell of; there is one at least."""
    instants = [one.placed_at for one in facts.lines]
    for line in facts.lines:
        instants += filter(None, (line.shipped_at, line.cancelled_at))
    instants += [one.received_at for one in facts.counts]
    instants += [one.seen_at for one in facts.shown]
    return max(instants)


def _within(moments: Iterable[Moment], terms: Terms) -> Iterable[Moment]:
    return (one for one in moments if _inside(one.at, terms))


def _inside(at: datetime, terms: Terms) -> bool:
    since, until = terms.since, terms.until
    return (since is None or at >= since) and (until is None or at < until)


def _oversold(one: Outcome, moments: Sequence[Moment]) -> Iterable[Oversold]:
    ordered = sorted(moments, key=lambda moment: moment.link.channel)  # stable: in time within
    for channel, group in groupby(ordered, key=lambda moment: moment.link.channel):
        some = list(group)
        first = some[0]
        yield Oversold(
            sku=one.story.sku,
            channel=channel,
            units=sum(moment.units for moment in some),
            orders=len({moment.order for moment in some}),
            first_at=_instant(first.at),
            first_order=first.order,
            first_units=first.units,
            last_at=_instant(some[-1].at),
            why=_why(told for moment in some for told in moment.why),
        )


def _why(told: Iterable[Told]) -> list[Why]:
    """Return each cause once, with its first words, the most frequent first."""
    first: dict[str, Told] = {}
    times: Counter[str] = Counter()
    for one in told:
        times[one[0]] += 1
        first.setdefault(one[0], one)
    return [Why(first[cause][0], many, first[cause][1]) for cause, many in times.most_common()]


def _drift(stand: Stand) -> Drift:
    link = stand.offer.link
    assert stand.worst_at is not None, "a drift that lasted was the worst at some time"
    return Drift(
        link.channel, link.item_id, link.sku_id, stand.offer.sku, stand.offer.units_per,
        stand.worst, _instant(stand.worst_at), stand.drift,
        _rounded(stand.over.minutes + stand.under.minutes), _rounded(stand.over.total),
        _rounded(stand.under.total),
    )  # fmt: skip


def _exposed(stand: Stand) -> Exposed:
    link, much = stand.offer.link, stand.exposed
    return Exposed(
        link.channel, link.item_id, link.sku_id, stand.offer.sku, much.most,
        _rounded(much.minutes), _instant(much.first_at),
    )  # fmt: skip


def _undersold(stand: Stand) -> Undersold:
    link, dry = stand.offer.link, stand.dry
    return Undersold(
        link.channel, link.item_id, link.sku_id, stand.offer.sku, _rounded(dry.total),
        _rounded(dry.minutes), dry.most, _instant(dry.first_at), _why(dry.why),
    )  # fmt: skip


def _unmapped(facts: Facts, terms: Terms, end: datetime) -> list[Unmapped]:
    by_link: dict[Link, list[OrderLine]] = {}
    for line in facts.lines:
        if _inside(line.placed_at, terms) and line.placed_at <= end:
            by_link.setdefault(line.link, []).append(line)
    found = []
    for link, lines in by_link.items():
        skus = mapped(link, facts.mapped).skus
        if len(skus) == 1:
            continue
        orders = len({line.channel_order_id for line in lines})
        pieces = sum(line.quantity for line in lines)
        first_at = _instant(min(line.placed_at for line in lines))
        one = [sku for sku, _ in skus]
        found.append(Unmapped(*link[:3], one, orders, pieces, first_at))
    return sorted(found, key=lambda one: (-one.pieces, one.channel, one.item_id, one.sku_id))


def _curves(
    stands: Iterable[tuple[Outcome, Stand]], moments: dict[int, list[Moment]]
) -> list[Curve]:
    found = []
    for outcome, stand in stands:
        if much := stand.over.total + stand.under.total:
            link, some = stand.offer.link, moments[id(outcome)]
            own = [one for one in some if one.link.channel == link.channel]
            found.append((-much, Curve(link, stand.offer.sku, stand.points, own)))
    return [curve for _, curve in sorted(found, key=lambda one: (one[0], one[1].link))]


def _first(facts: Facts) -> datetime | None:
    instants = (
        *(one.placed_at for one in facts.lines),
        *(one.as_of for one in facts.counts),
        *(one.seen_at for one in facts.shown),
    )
    return min(instants, default=None)


def _instant(at: datetime | None) -> str:
    return rfc3339(to_ms(at)) if at else ""


def _rounded(much: float) -> float:
    return round(much, _DIGITS)
