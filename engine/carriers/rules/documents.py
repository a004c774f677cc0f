"""What services and rate cards may say, and what they come to; no I/O."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Final

import msgspec

from engine.carriers.types.documents import CardFields, CardLine, CardSurcharge, ServiceFields
from engine.carriers.types.services import FOREVER, RateCard, Service, Surcharge
from engine.kernel import codec, urls
from engine.kernel.clock import to_ms
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Fault
from engine.places.rules import calendars
from engine.places.rules.calendars import day_of, minute_of
from engine.places.rules.wording import clock_faults, name_faults, text_faults

ANY: Final = "*"
_PAUSE_DAYS_MAX: Final = 400


def normal_service(service: ServiceFields, plain_hosts: Collection[str] = ()) -> ServiceFields:
    """Return the service as all of its authors would spell it.

    `plain_hosts` may be called without TLS.

    Raises:
        ValidationFailed: with everything that is wrong with it.
    """
    if faults := list(_service_faults(service, plain_hosts)):
        raise ValidationFailed(faults)
    return msgspec.structs.replace(
        service,
        nodes=sorted(set(service.nodes)),
        tags_not=sorted(set(service.tags_not)),
    )


def normal_card(card: CardFields) -> CardFields:
    """Return the card as all of its authors would spell it.

    Raises:
        ValidationFailed: with everything that is wrong with it.
    """
    if faults := list(_card_faults(card)):
        raise ValidationFailed(faults)
    since = codec.instant(card.effective_from, "/effective_from")
    until = card.effective_until and codec.instant(card.effective_until, "/effective_until")
    if until and until <= since:
        codec.refuse("/effective_until", "must be later than effective_from")
    surcharges = [_normal(one, f"/surcharges/{n}") for n, one in enumerate(card.surcharges)]
    return msgspec.structs.replace(
        card, effective_from=since, effective_until=until, surcharges=surcharges
    )


def compiled_service(name: str, fields: ServiceFields, told: Mapping[str, int | None]) -> Service:
    """Return a service as it is chosen by; `told` are cut-offs by node that count first."""
    cutoffs = {_any(node): minute_of(text) for node, text in fields.cutoffs.items()}
    cutoffs |= {node: minute for node, minute in told.items() if minute is not None}
    days = (range(day_of(one.from_), day_of(one.to) + 1) for one in fields.pauses)
    return Service(
        service=name,
        carrier=fields.carrier,
        tier=fields.tier,
        zones={_any(region): zone for region, zone in fields.zones.items()},
        grams=(fields.grams_min, fields.grams_max),
        cod=fields.cod,
        insured_max=fields.insured_max,
        tags_not=frozenset(fields.tags_not),
        divisor=fields.divisor,
        cutoffs=cutoffs,
        days=fields.days,
        score=fields.score,
        intercept=fields.intercept,
        ratio=fields.ratio,
        minutes=fields.minutes,
        workdays=fields.workdays,
        by=minute_of(fields.by),
        pauses=frozenset(day for span in days for day in span),
        timezone=fields.timezone,
        cm3_max=fields.cm3_max,
        nodes=frozenset(fields.nodes),
        enabled=fields.enabled,
    )


def compiled_card(name: str, version: int, card: CardFields) -> list[RateCard]:
    """Return the lines of one version of a card, as quotes are made by them."""
    since, until = to_ms(card.effective_from), _ms(card.effective_until, FOREVER)
    surcharges = tuple(
        Surcharge(
            one.kind, one.fixed, one.basis_points, one.least, one.most, frozenset(one.regions),
            one.over_grams, _ms(one.from_, 0), _ms(one.until, FOREVER),
        )
        for one in card.surcharges
    )  # fmt: skip
    return [
        RateCard(
            name, version, card.service, since, until, line.origin, line.dest, line.first_grams,
            line.first, line.step_grams, line.step, line.least, card.rounding, surcharges,
            card.tax_basis_points, card.divisor, card.currency,
        )
        for line in card.lines
    ]  # fmt: skip


def limits(fields: ServiceFields) -> Mapping[str, int | None]:
    """Return what a service takes a day, by dimension; None is no limit, 0 nothing."""
    return {"orders": fields.capacity.orders, "grams": fields.capacity.grams}


def _service_faults(service: ServiceFields, plain_hosts: Collection[str]) -> Iterator[Fault]:
    yield from name_faults({"/carrier": service.carrier})
    yield from name_faults({f"/nodes/{n}": one for n, one in enumerate(service.nodes)})
    yield from name_faults({f"/tags_not/{n}": one for n, one in enumerate(service.tags_not)})
    yield from text_faults({"/name": service.name})
    yield from _zone_faults(service)
    names = {f"/cutoffs/{codec.escape(node)}": node for node in service.cutoffs}
    yield from name_faults(names)
    yield from clock_faults({at: service.cutoffs[node] for at, node in names.items()})
    yield from clock_faults({"/by": service.by})
    if service.grams_max < service.grams_min:
        yield Fault("/grams_max", "must not be less than grams_min")
    if service.desk_url and (wrong := urls.fault(service.desk_url, plain_hosts)):
        yield Fault("/desk_url", wrong)
    if not calendars.is_zone(service.timezone):
        yield Fault("/timezone", "must be a zone of the IANA database, as Asia/Shanghai")
    yield from _pause_faults(service)


def _pause_faults(service: ServiceFields) -> Iterator[Fault]:
    for n, one in enumerate(service.pauses):
        begins, ends = day_of(one.from_), day_of(one.to)
        yield from text_faults({f"/pauses/{n}/reason": one.reason})
        if min(begins, ends) < 0:
            yield Fault(f"/pauses/{n}", "must be days from 2000 to 2199, as 2026-10-01")
        elif not 0 <= ends - begins < _PAUSE_DAYS_MAX:
            told = f"must not be before from, and within {_PAUSE_DAYS_MAX} days of it"
            yield Fault(f"/pauses/{n}/to", told)


def _zone_faults(service: ServiceFields) -> Iterator[Fault]:
    named = set(service.zones.values())
    yield from text_faults({f"/zones/{codec.escape(one)}": one for one in service.zones})
    yield from text_faults({"/zones": " ".join(named)})
    if "" in service.zones:
        yield Fault("/zones", "must name a region, or * for all others")
    for field, by_zone in (("days", service.days), ("minutes", service.minutes)):
        for zone in sorted(set(by_zone) - named):
            yield Fault(f"/{field}/{codec.escape(zone)}", "is no zone in zones")
    for zone in sorted(named - set(service.days) - set(service.minutes)):
        yield Fault("/days", f"must say how many days the way to zone {zone} takes")


def _card_faults(card: CardFields) -> Iterator[Fault]:
    yield from name_faults({"/service": card.service})
    text = card.currency
    if not (text.isascii() and text.isalpha() and text.isupper()):
        yield Fault("/currency", "must be three capital letters, as in ISO 4217")
    seen: set[tuple[str, str]] = set()
    for n, line in enumerate(card.lines):
        yield from _line_faults(line, f"/lines/{n}")
        if (line.origin, line.dest) in seen:
            yield Fault(f"/lines/{n}", "has the origin and destination of a line before it")
        seen.add((line.origin, line.dest))
    for n, one in enumerate(card.surcharges):
        yield from text_faults({f"/surcharges/{n}/regions": " ".join(one.regions)})
        if 0 < one.most < one.least:
            yield Fault(f"/surcharges/{n}/most", "must not be less than least")


def _line_faults(line: CardLine, pointer: str) -> Iterator[Fault]:
    yield from text_faults({f"{pointer}/origin": line.origin, f"{pointer}/dest": line.dest})
    if line.step and not line.step_grams:
        yield Fault(f"{pointer}/step_grams", "is required with step")
    if line.step_grams and not line.step and line.first_grams:
        yield Fault(f"{pointer}/step", "is required with step_grams")


def _normal(one: CardSurcharge, pointer: str) -> CardSurcharge:
    begins = one.from_ and codec.instant(one.from_, f"{pointer}/from")
    ends = one.until and codec.instant(one.until, f"{pointer}/until")
    if begins and ends and ends <= begins:
        codec.refuse(f"{pointer}/until", "must be later than from")
    return msgspec.structs.replace(one, from_=begins, until=ends, regions=sorted(set(one.regions)))


def _any(name: str) -> str:
    return "" if name == ANY else name


def _ms(moment: datetime | None, otherwise: int) -> int:
    return otherwise if moment is None else to_ms(moment)
