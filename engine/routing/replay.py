"""The command `tidegate route replay`: recorded orders, decided again by a plan from a file.

It reads what routers recorded and changes nothing. The report is on stdout, progress on stderr.
"""

import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from engine.infra import importing
from engine.kernel import clock, codec
from engine.kernel.clock import Clock, SystemClock
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Tenant
from engine.routing.check import FAILED, OK, USAGE, load
from engine.routing.following import amount
from engine.routing.service import replaying
from engine.routing.service.replaying import Terms
from engine.routing.types.comparing import (
    Comparison,
    DifferenceView,
    Pair,
    PlanRuleView,
    Replay,
    SideView,
)
from engine.settings import Settings

_TOLD_EVERY_S: Final = 2.0
_SHOWN_MAX: Final = 10
_MINUTE_S: Final = 60


class Options(NamedTuple):
    """What the command was told; instants as they were written."""

    path: Path
    since: str
    until: str
    limit: int
    as_json: bool


async def run(settings: Settings, options: Options) -> int:
    """Decide again, tell what it comes to, and return the exit code.

    0; 1 when the plan is wrong or there was nothing to compare; 2 for bad terms.
    """
    time = SystemClock()
    try:
        terms = _terms(options, clock.instant(time.now_ms()))
    except ValidationFailed as refusal:
        sys.stderr.write(f"{refusal}\n")
        return USAGE
    read = load(options.path, as_json=options.as_json)
    if isinstance(read, int):
        return read
    tenant, plan = Tenant(settings.tenant), read.compiled.plan
    async with importing.connected(settings.database_url or "") as db:
        found = await replaying.replay(db, tenant, plan, terms, time, _progress(time))
    if options.as_json:
        sys.stdout.write(codec.encode_pretty(msgspec.to_builtins(found)).decode())
    else:
        sys.stdout.writelines(f"{line}\n" for line in told(found))
    if found.total.orders:
        return OK
    sys.stderr.write(f"nothing was compared of {found.since} to {found.until}\n")
    return FAILED


def _terms(options: Options, now: datetime) -> Terms:
    since = importing.instant("since", options.since)
    until = importing.instant("until", options.until) if options.until else now
    if since >= until:
        raise ValidationFailed([], f"--since: {options.since} is not before the end")
    return Terms(since, until, options.limit)


def _progress(time: Clock) -> Callable[[int], None]:
    last = time.monotonic()

    def tell(orders: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _TOLD_EVERY_S:
            last = time.monotonic()
            sys.stderr.write(f"{orders:,} orders\n")

    return tell


def told(found: Replay) -> Iterator[str]:
    """Yield the report for people."""
    total = found.total
    latest = "the latest " if found.more else ""
    yield (
        f"{found.plan} beside what decided {latest}{total.orders:,} orders,"
        f" {found.since} to {found.until}"
    )
    yield from _compared(total)
    for one in found.against:
        yield f"beside {one.plan} v{one.version}: {_short(one.comparison)}"
    for pair in found.rules[:_SHOWN_MAX]:
        rules = f"{_rule(pair.decided)} -> {_rule(pair.tried)}"
        yield f"rule {rules}: {_short(pair.comparison)}"
    for place in found.regions[:_SHOWN_MAX]:
        yield f"to {place.region or 'nowhere known'}: {_short(place.comparison)}"
    for each in found.largest[:_SHOWN_MAX]:
        yield from _difference(each)
    yield from _left_out(found)
    share = f"{found.as_recorded:,} of {total.orders:,}"
    yield f"by the plans that decided them, {share} orders come out as they are recorded"
    for name, words in (("of then", found.of_then), ("of now", found.of_now),
                        ("left out", found.left_out)):  # fmt: skip
        yield from (f"{name}: {one}" for one in words)


def _compared(total: Comparison) -> Iterator[str]:
    yield f"{'':24}{'decided':>16}{'tried':>16}"
    yield _row("placed whole", total.placed)
    yield _row("parcels", total.parcels)
    for currency, both in total.freight.items():
        decided, tried = (_money(units, currency) for units in (both.decided, both.tried))
        yield f"{'freight':24}{decided:>16}{tried:>16}"
    yield _row("later than promised", total.late)
    yield (
        f"the same {total.same:,}; parcels, freight and dates are of {total.comparable:,} that"
        " both place whole"
    )
    minutes = total.mean_shift_seconds / _MINUTE_S
    yield f"sooner {total.earlier:,}, later {total.later:,}, on average {minutes:+,.1f} minutes"


def _row(name: str, both: Pair) -> str:
    return f"{name:24}{both.decided:>16,}{both.tried:>16,}"


def _short(one: Comparison) -> str:
    freight = [
        f", freight {_money(both.decided, currency)} -> {_money(both.tried, currency)}"
        for currency, both in one.freight.items()
    ]
    parcels = f"parcels {one.parcels.decided:,} -> {one.parcels.tried:,}"
    return f"{one.orders:,} orders, {one.same:,} the same, {parcels}{''.join(freight)}"


def _money(units: int, currency: str) -> str:
    return amount({"amount": units, "currency": currency})


def _rule(one: PlanRuleView) -> str:
    return f"{one.stage}.{one.rule}" if one.rule else "none"


def _difference(one: DifferenceView) -> Iterator[str]:
    yield f"{one.order_id} at {one.at}: {_side(one.decided)} -> {_side(one.tried)}"


def _side(one: SideView) -> str:
    sent = " + ".join([f"{parcel.node} {parcel.service}".strip() for parcel in one.parcels])
    there = f", there by {one.deliver_at[:16]}" if one.deliver_at else ""
    waits = f"{one.unplaced} units in {one.queue}" if one.unplaced else ""
    cost = f", {_money(one.freight.amount, one.freight.currency)}{there}" if sent else ""
    return f"{sent}{cost}{', ' if sent and waits else ''}{waits}"


def _left_out(found: Replay) -> Iterator[str]:
    for many, why in (
        (found.unreadable, "have a record that cannot be read"),
        (found.plan_not_kept, "were decided by a plan that is not kept"),
        (found.failed, f"failed, last by {found.last_failure}"),
    ):
        if many:
            yield f"not compared: {many:,} orders {why}"
