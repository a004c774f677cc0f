"""`tidegate exceptions`: the desk by hand, as a person reads it in a terminal."""

import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Column, Table

from engine.desk import rules
from engine.desk.service import reading, remedying
from engine.desk.service.remedying import Hands
from engine.desk.types import COUNT_MAX, ItemView, RemedyAnswer, RemedyIn, SumView, Wanted
from engine.infra.runtime import Runtime
from engine.kernel import codec
from engine.kernel.clock import instant
from engine.kernel.errors import Misconfigured, ValidationFailed
from engine.kernel.ids import token
from engine.kernel.types import Tenant

# What fields of a request are called as options.
_OPTIONS: Final = {
    "/remedy": "REMEDY", "/code": "--code", "/channel": "--channel", "/sku": "--sku",
    "/min_age": "--min-age", "/ship_by_before": "--ship-by-before", "/expect_max": "--expect-max",
    "/remedy_id": "--remedy-id", "/reason": "--reason", "/limit": "--limit",
}  # fmt: skip


_ID_WIDTH: Final = 26  # of an order: what is cut cannot be copied


class Asked(NamedTuple):
    """The options of `list`; what is empty does not filter."""

    code: str
    channel: str
    sku: str
    overdue: bool
    min_age: int
    ship_by_before: str
    limit: int


def asked_for(options: Mapping[str, Any]) -> RemedyIn:
    """Return the options of `remedy` as a request; a real run without a name is given one.

    Raises:
        Misconfigured: naming the option.
    """
    fields = {name: value for name, value in options.items() if value not in ("", None)}
    if not options["dry_run"] and not options["remedy_id"]:
        fields["remedy_id"] = f"by-hand-{token(6)}"
    try:
        asked = codec.typed(fields, RemedyIn)
        rules.check(asked)
        rules.codes_for(asked)
    except ValidationFailed as refusal:
        ((place, detail), *_) = ((one.pointer, one.detail) for one in refusal.faults)
        raise Misconfigured(f"{_OPTIONS.get(place, place)}: {detail}") from refusal
    return asked


async def listed(process: Runtime, asked: Asked, *, as_json: bool) -> int:
    """Print items."""
    now = instant(process.clock.now_ms())
    if asked.code and asked.code not in rules.CODES:
        raise Misconfigured(f"--code: must be one of {', '.join(rules.CODES)}")
    wanted = Wanted(
        Tenant(process.settings.tenant), asked.channel, (asked.code,) if asked.code else None,
        asked.sku, asked.overdue,
        now - timedelta(seconds=asked.min_age) if asked.min_age else None,
        _instant(asked.ship_by_before),
    )  # fmt: skip
    rows = await reading.page(process, wanted, asked.limit)
    items = [rules.shown(one, now) for one in rows]
    if as_json:
        sys.stdout.write(codec.encode_pretty(items).decode())
    else:
        _show_items(items)
    return 0


async def summary(process: Runtime, *, as_json: bool) -> int:
    """Print how much waits."""
    rows = await reading.summary(process, Tenant(process.settings.tenant), "", "")
    if as_json:
        sys.stdout.write(codec.encode_pretty(rows).decode())
    else:
        _show_sums(rows)
    return 0


async def remedy(hands: Hands, asked: RemedyIn, *, as_json: bool) -> int:
    """Print what a remedy touches, and what became of it; 1 if one of them was not done."""
    answer, _ = await remedying.run(hands, asked)
    if as_json:
        sys.stdout.write(codec.encode_pretty(answer).decode())
    else:
        _show_answer(answer)
    return 1 if {"skipped", "failed", "left"} & answer.outcomes.keys() else 0


def _instant(text: str) -> datetime | None:
    if not text:
        return None
    moment = codec.moment(text)
    if moment is None:
        raise Misconfigured("--ship-by-before: must be an instant with a zone, as in RFC 3339")
    return moment


def _show_items(items: list[ItemView]) -> None:
    table = Table("code", _whole(), "channel", "ship by", "age", "at risk", "reason")
    for one in items:
        table.add_row(
            one.code, one.order_id or one.subject or one.sku, one.channel,
            (one.ship_by or "") + (" overdue" if one.overdue else ""), _age(one.age_seconds),
            _money(one.at_risk), one.reason,
        )  # fmt: skip
    _print(table, f"{len(items)} shown" if items else "nothing waits for a person")


def _show_sums(rows: list[SumView]) -> None:
    table = Table("code", "channel", "count", "overdue", "at risk", "oldest", "next ship by")
    for one in rows:
        count = f"{COUNT_MAX}+" if one.capped else str(one.count)
        table.add_row(
            one.code, one.channel, count, str(one.overdue), ", ".join(map(_money, one.at_risk)),
            _age(one.oldest_seconds), one.next_ship_by or "",
        )  # fmt: skip
    _print(table, "" if rows else "nothing waits for a person")


def _show_answer(answer: RemedyAnswer) -> None:
    touches = f"{COUNT_MAX}+" if answer.capped else str(answer.touches)
    if answer.dry_run:
        table = Table("code", _whole(), "id")
        for one in answer.sample:
            table.add_row(one.code, one.order_id, one.id)
        again = f"--yes --expect-max {answer.touches} --reason …"
        _print(table, f"would touch {touches}; nothing was done. To do it: {again}")
        return
    table = Table(_whole(), "what became of it", "why", "id")
    for result in answer.results:
        table.add_row(result.order_id, result.outcome, result.detail, result.id)
    told = ", ".join(f"{count} {word}" for word, count in sorted(answer.outcomes.items()))
    _print(table, f"{touches} were to be touched: {told or 'none was'} ({answer.remedy_id})")


def _print(table: Table, told: str) -> None:
    console = Console(soft_wrap=True)
    if table.row_count:
        console.print(table)
    if told:
        console.print(told, highlight=False, markup=False)


def _whole() -> Column:
    return Column("order or subject", min_width=_ID_WIDTH, overflow="fold")


def _age(seconds: int) -> str:
    return str(timedelta(seconds=seconds))


def _money(one: codec.Money | None) -> str:
    return "" if one is None else f"{one.amount / 100:.2f} {one.currency}"
