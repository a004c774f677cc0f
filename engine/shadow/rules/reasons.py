"""Why an order could be oversold, in words; each with what was so at that moment.

What makes a number wrong is told, not who is to blame; several may be so at once.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from engine.kernel.clock import rfc3339, to_ms
from engine.shadow.rules.free import Sale
from engine.shadow.rules.stand import Stand, Told
from engine.shadow.types import Cause, Link

WORDS: Final[dict[Cause, str]] = {
    "no_buffer": "no buffer for lag",
    "same_units": "two shops showed the same units",
    "count_late": "a count came late",
    "quota_idle": "quota stood still in a slow shop",
    "unmapped_link": "unmapped link",
    "safety_ignored": "safety stock ignored",
    "stale_number": "units came free and the shop was not told",
    "wrong_number": "the number was wrong when it was told",
    "beyond_number": "the shop sold more than it showed",
    "no_number": "no number of the shop is known",
}


class Scene(NamedTuple):
    """What was so when an order came, before its units were taken.

    `stand` is its listing, None where no number of it is known; `others` are listings of other
    channels and the units that they showed; `free` and `known` may be below 0; `untracked` units
    had been sold by links that stand for no one SKU.
    """

    sale: Sale
    stand: Stand | None
    others: Sequence[tuple[Link, int]]
    free: int
    known: int
    safety: int
    untracked: int


def oversold(scene: Scene) -> Iterator[Told]:
    """Yield why this order could take units that were not there."""
    sale, free = scene.sale, max(scene.free, 0)
    if not sale.mapped:
        yield "unmapped_link", f"{sale.link} stands for no one SKU, so it had no true number"
    elif scene.untracked:
        told = f"{scene.untracked} units were sold before by links that stand for no one SKU"
        yield "unmapped_link", told
    if scene.known > scene.free:
        fewer = scene.known - scene.free
        yield "count_late", f"a count had found {fewer} units fewer, and was not received yet"
    if scene.stand is None:
        told = f"no number of {sale.link} was told before it"
        bundle = f"it was sold in {sale.bundle}, and numbers of bundles are not compared"
        yield "no_number", bundle if sale.bundle else told
    elif sale.pieces > (scene.stand.shown or 0):
        told = f"{sale.link} showed {scene.stand.shown} and sold {sale.pieces}"
        yield "beyond_number", told
    else:
        yield from _by_number(scene, scene.stand, free)


def _by_number(scene: Scene, stand: Stand, free: int) -> Iterator[Told]:
    """Yield what was wrong with the number by which an order was taken."""
    link, units_per = stand.offer.link, stand.offer.units_per
    at = "?" if stand.told_at is None else rfc3339(to_ms(stand.told_at))
    if scene.others:
        shown = ", ".join(f"{other} {units}" for other, units in scene.others)
        yield "same_units", f"{link} showed {stand.units} units and {shown}, of {free} there were"
    told = stand.told * units_per
    if told > stand.free_then:
        if scene.known <= scene.free:
            there = f"{told} units at {at} where {stand.free_then} were there"
            yield "wrong_number", f"{link} was told {there}"
    elif stand.others:
        sold = f"others sold {stand.others} before the next"
        yield "no_buffer", f"{link} was told {told} units at {at}; {sold}, nothing was held back"
    if scene.safety and told > max(0, stand.free_then - scene.safety):
        kept = f"{scene.safety} units were to be kept of {stand.free_then}"
        yield "safety_ignored", f"{kept}, and {link} was told {told} units"
