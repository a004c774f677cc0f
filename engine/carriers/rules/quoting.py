"""What a parcel costs by a rate card; no I/O, whole numbers only.

Billed weight is the greater of weight and volumetric weight (体积重). Freight is the first weight
(首重) and then further steps (续重), at least the least charge. Surcharges add to it, tax to both.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from engine.carriers.types.services import (
    FOREVER,
    NO_RATE,
    Cards,
    Quote,
    RateCard,
    Service,
    Surcharge,
)
from engine.places.rules.regions import chain

_BP: Final = 10_000
KILO: Final = 1_000  # in a kg, which a volumetric divisor is for
# (least, most grams, most cm3, divisor, first_g, step_g, first, step, least charge)
Tariff = tuple[int, int, int, int, int, int, int, int, int]
Lines = Sequence[Mapping[str, tuple[RateCard, ...]]]
# What a share of is taken for each kind; of all others it is of the freight.
_OF: Final = {"cod": 0, "insurance": 1}


def gathered(lines: Collection[RateCard]) -> Cards:
    """Return lines of cards by what they are looked up by.

    A version of a card ends where a higher one takes effect, whatever lines that one has. Where
    several cards are for the same, the one that took effect last counts, then the first by name.
    """
    versions: dict[str, dict[int, int]] = defaultdict(dict)
    for line in lines:
        versions[line.card][line.version] = line.since
    found: dict[str, dict[str, dict[str, list[RateCard]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for line in lines:
        higher = (at for n, at in versions[line.card].items() if n > line.version)
        until = min(line.until, *higher, FOREVER)
        if line.since < until:
            kept = line._replace(until=until)
            found[line.service][line.origin][line.dest].append(kept)
    return {
        service: {
            origin: {
                dest: tuple(sorted(some, key=lambda one: (-one.since, one.card)))
                for dest, some in dests.items()
            }
            for origin, dests in origins.items()
        }
        for service, origins in found.items()
    }


def quote(  # noqa: PLR0913, PLR0917 - what a quote depends on
    cards: Cards, service: Service, origin: str, dest: str, grams: int, cm3: int, cod: int,
    insured: int, at: int,
) -> Quote:  # fmt: skip
    """Return what a parcel costs from one region to another, if it is sent at an instant.

    The line of a card is looked up by the most special origin, then the most special destination:
    a region by its code, what it lies in, the zone that the service has it in, any. Never raises:
    without a line it says `no_rate`.
    """
    line = line_for(cards, service, origin, dest, at)
    if line is None:
        return NO_RATE
    return priced(line, service, dest, (grams, cm3), (cod, insured), at)


def priced(
    line: RateCard, service: Service, dest: str, size: tuple[int, int], sums: tuple[int, int],
    at: int,
) -> Quote:  # fmt: skip
    """Return what a parcel costs by a line; `size` is grams and cm3, `sums` cod and insured."""
    billed = billed_grams(*size, line.divisor or service.divisor)
    freight = max(line.least, freight_of(line, billed))
    additions = tuple(
        (one.kind, amount)
        for one in applying(line, dest, at)
        if (amount := _amount(one, freight, sums, billed))
    )
    before_tax = freight + sum(amount for _, amount in additions)
    tax = (before_tax * line.tax_bp + _BP // 2) // _BP
    return Quote(
        line.card, line.version, before_tax + tax, billed, freight, additions, tax, line.currency
    )


def cost(
    line: RateCard, service: Service, extras: Sequence[Surcharge], size: tuple[int, int],
    sums: tuple[int, int],
) -> int:  # fmt: skip
    """Return the price of `priced` alone; `extras` are the surcharges that are `applying`."""
    billed = billed_grams(*size, line.divisor or service.divisor)
    total = freight = max(line.least, freight_of(line, billed))
    for one in extras:
        total += _amount(one, freight, sums, billed)
    return total + (total * line.tax_bp + _BP // 2) // _BP if line.tax_bp else total


def tariff(line: RateCard, service: Service, extras: Collection[Surcharge]) -> Tariff | None:
    """Return a line as the numbers that alone decide its price, None where more does."""
    if extras or line.tax_bp or line.rounding != "CEIL_STEP":
        return None
    least, most = service.grams
    return (
        least, most, service.cm3_max or FOREVER, line.divisor or service.divisor, line.first_g,
        line.step_g or FOREVER, line.first, line.step if line.step_g else 0, line.least,
    )  # fmt: skip


def applying(line: RateCard, dest: str, at: int) -> tuple[Surcharge, ...]:
    """Return the surcharges that are for a region at an instant, whatever the parcel is."""
    if not line.surcharges:
        return ()
    return tuple(
        one
        for one in line.surcharges
        if one.since <= at < one.until
        and (not one.regions or not one.regions.isdisjoint(chain(dest)))
    )


def line_for(cards: Cards, service: Service, origin: str, dest: str, at: int) -> RateCard | None:
    """Return the line of a card that is in force for two regions."""
    return line_of(lines_from(cards, service, origin), names_of(service, dest), at)


def lines_from(cards: Cards, service: Service, origin: str) -> Lines:
    """Return what cards have of a region to send from, by destination, the most special first."""
    origins = cards.get(service.service, {})
    return [origins[name] for name in names_of(service, origin) if name in origins]


def line_of(found: Lines, names: Sequence[str], at: int) -> RateCard | None:
    """Return the line that is in force for a destination of these names."""
    for dests in found:
        for name in names:
            for line in dests.get(name, ()):
                if line.since <= at < line.until:
                    return line
    return None


def zone_of(service: Service, region: str) -> str | None:
    """Return the zone in which a service has a region; None if it does not serve it."""
    zones = service.zones
    return next((zones[one] for one in chain(region) if one in zones), None)


def billed_grams(grams: int, cm3: int, divisor: int) -> int:
    """Return the greater of weight and volumetric weight (cm3 over cm3 a kg, begun grams whole)."""
    return max(grams, -(-cm3 * KILO // divisor)) if divisor else grams


def freight_of(line: RateCard, billed_g: int) -> int:
    """Return freight by weight alone.

    `CEIL_STEP`: a begun step costs a whole one. `HALF`: a begun half of a step costs half of it.
    `NEAREST`: to the nearest step, half of one up. `EXACT`: by the gram, a begun minor unit whole.
    """
    over, step = max(0, billed_g - line.first_g), line.step_g
    if not over or not step:
        return line.first
    if line.rounding == "EXACT":
        return line.first + -(-over * line.step // step)
    if line.rounding == "HALF":
        halves = -(-2 * over // step)
        return line.first + -(-halves * line.step // 2)
    steps = (2 * over + step) // (2 * step) if line.rounding == "NEAREST" else -(-over // step)
    return line.first + steps * line.step


def _amount(one: Surcharge, freight: int, sums: tuple[int, int], billed: int) -> int:
    place = _OF.get(one.kind)
    if (place is not None and not sums[place]) or (one.over_g and billed <= one.over_g):
        return 0
    share = -(-(freight if place is None else sums[place]) * one.bp // _BP)
    amount = max(one.least, one.fixed + share)
    return min(amount, one.most) if one.most else amount


def names_of(service: Service, region: str) -> tuple[str, ...]:
    """Return what a region may be called in a card, the most special first."""
    *some, anywhere = chain(region)
    zone = zone_of(service, region)
    return (*some, zone, anywhere) if zone else (*some, anywhere)
