"""An explanation in a terminal: what there is on top, and what each step leaves, as bars."""

from collections.abc import Iterator
from typing import Final

from engine.explanations.types import ChannelView, StockView, Term

_WIDTH: Final = 40
_NAMES: Final = {
    "disabled": "node switched off",
    "controlled_by_channel": "node run by a channel",
    "controlled_by_supplier": "node run by a supplier",
    "locked": "locked in the warehouse",
    "committed": "given to a warehouse for orders",
    "handed_over": "accepted by a warehouse",
    "condition": "condition",
    "quality_hold": "quality hold",
    "expiry": "past its window",
    "safety": "safety stock",
    "set_aside": "set aside",
    "other_group": "other nodes",
    "sold": "sold, not given to a warehouse yet",
    "held": "held by unpaid orders",
    "owed": "sold by marketplaces beyond stock",
    "credit": "presale and backorder",
    "short": "promised and not there",
    "moved": "moved from elsewhere",
    "waves": "waves to come",
    "on_its_way": "on its way to the cell",
    "pool": "free in",
    "cap": "beyond the cap of",
    "paused_sku": "paused",
    "paused_campaign": "paused campaign",
    "not_started": "not started yet",
    "ended": "ended",
}


def waterfall(view: StockView) -> Iterator[str]:
    """Yield the lines of it."""
    yield f"{view.sku}  as of {view.as_of}, recorded up to {view.log_id}"
    if view.components:
        made = " + ".join(f"{one.quantity} x {one.sku}" for one in view.components)
        yield f"a bundle of {made}"
        for one in view.channel:
            least = one.binding.about if one.binding else ""
            yield f"{one.channel} {one.campaign}".strip() + f": {one.sellable}, limited by {least}"
        return
    if not view.channel:
        yield "no channel sells it: give it a supply policy or a campaign"
    for one in view.channel:
        yield ""
        yield from _channel(one, counted=bool(view.physical and view.physical.counted))
    if view.more:
        yield ""
        yield "and more: ask for one channel"


def _channel(one: ChannelView, *, counted: bool) -> Iterator[str]:
    yield f"{one.channel}" + (f" in {one.campaign}" if one.campaign else "")
    whole = max([one.start, *(term.left + max(term.units, 0) for term in one.terms), 1])
    yield _line("", "on hand" if counted else "declared", one.start, 0, one.start, whole)
    for term in one.terms:
        mark = "<" if term == one.binding else " "
        name = f"{_NAMES[term.kind]} {term.about}".strip()
        yield _line(term.layer, name, -term.units, *_span(term), whole) + f" {mark}".rstrip()
    yield _line("", "for sale", one.sellable, 0, one.sellable, whole)
    for listing in one.listings:
        yield (
            f"  {'listing':<9} {listing.item_id} {listing.sku_id}".rstrip()
            + f": {listing.published} published of {listing.sellable}"
            + f" less {listing.buffer} kept back, {listing.units_per} each"
        )
    for change in one.changes[:3]:
        yield f"  + {change.frees:>6}  {change.says}"
    if one.more:
        yield f"  and more: ask for --channel {one.channel}"


def _span(term: Term) -> tuple[int, int]:
    return min(term.left, term.left + term.units), max(term.left, term.left + term.units)


def _line(layer: str, name: str, units: int, low: int, high: int, whole: int) -> str:
    first, last = (round(max(0, edge) * _WIDTH / whole) for edge in (low, high))
    bar = " " * first + "█" * max(last - first, 1 if units else 0)
    return f"  {layer:<9} {name[:44]:<44} {units:>8} │{bar:<{_WIDTH}}│"
