"""What becomes of parcels on their way: milestones with delays, losses and refusals, by a seed."""

import random
from typing import Final, NamedTuple

from engine.simulation.carrier.types import Milestone, Rates

_HOUR_MS: Final = 3_600_000
_ON_TIME: Final = (0.05, 0.35, 0.6, 0.85)  # when between pick-up and promise each comes
_ENDS: Final = frozenset({"delivered", "lost", "refused"})
_WORDS: Final = ("collected", "in_transit", "arrived", "out_for_delivery")


class Journeys(NamedTuple):
    """How parcels of one carrier travel."""

    seed: int
    rates: Rates = Rates()


def travel(
    journeys: Journeys, waybill: str, left_ms: int, promised_ms: int, turned_ms: int | None = None
) -> list[Milestone]:
    """Return all that is ever told of a parcel, in the order in which it happens.

    It ends with `delivered`, before the promise unless it is late; with `lost`, some time on the
    way; or with `refused` and `returned`. One that is turned round before its end comes back, and
    takes as long for that as it has gone by then.
    """
    told = _onward(journeys, waybill, left_ms, promised_ms)
    if turned_ms is None or any(one.milestone in _ENDS and one.at_ms <= turned_ms for one in told):
        return told
    turned_ms = max(turned_ms, left_ms)
    back = 2 * turned_ms - left_ms + _HOUR_MS
    return [
        *(one for one in told if one.at_ms <= turned_ms),
        Milestone(waybill, "returning", turned_ms, ""),
        Milestone(waybill, "returned", back, ""),
    ]


def _onward(journeys: Journeys, waybill: str, left_ms: int, promised_ms: int) -> list[Milestone]:
    chance, rates = random.Random(f"{journeys.seed} {waybill}"), journeys.rates
    lost, late = chance.random() < rates.lost, chance.random() < rates.late
    refused = chance.random() < rates.returned
    span = max(promised_ms - left_ms, _HOUR_MS)
    if late:
        span += chance.randrange(_HOUR_MS, 48 * _HOUR_MS)
    told = [
        Milestone(waybill, word, left_ms + int(span * share), "") for word, share in
        zip(_WORDS, _ON_TIME, strict=True)
    ]  # fmt: skip
    if lost:
        kept = told[: chance.randrange(1, len(told))]
        return [*kept, Milestone(waybill, "lost", kept[-1].at_ms + 72 * _HOUR_MS, "")]
    last = left_ms + int(span * (1.0 if late else 0.85 + 0.15 * chance.random()))
    if refused:
        back = last + chance.randrange(24 * _HOUR_MS, 96 * _HOUR_MS)
        return [
            *told, Milestone(waybill, "refused", last, ""), Milestone(waybill, "returned", back, "")
        ]  # fmt: skip
    return [*told, Milestone(waybill, "delivered", last, "")]
