"""The commands `tidegate import orders`, `import numbers` and `import stock --shadow`.

They write the shadow's own tables and nothing else, so no shop, pool or balance can notice. The
same file again changes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from engine.catalogue import service as catalogue
from engine.channels import service as channels
from engine.infra import importing
from engine.infra.importing import Options, Sheet
from engine.infra.postgres import Connection
from engine.infra.sheets import Row
from engine.kernel import clock
from engine.kernel.clock import SystemClock
from engine.kernel.types import Tenant
from engine.physical.files import Defaults
from engine.physical.rules.lines import LineFault
from engine.physical.service import reading
from engine.physical.types.facts import Key
from engine.settings import Settings
from engine.shadow import files, store
from engine.shadow.files import CountRow
from engine.shadow.rules import keeping
from engine.shadow.rules.keeping import Candidate
from engine.shadow.store import COUNTS, LINES, NUMBERS, Fact, Table
from engine.shadow.types import Counted, OrderLine, Shown

What = TypeVar("What", bound=OrderLine | Shown | CountRow)
Named = TypeVar("Named", bound=OrderLine | Shown)
_Outcome: TypeAlias = "tuple[Mapping[str, int], Sequence[LineFault]]"
_COUNTED: Final = ("created", "updated", "unchanged", "stale")
_ORDERS: Final = Sheet(files.order_rows, files.ORDER_COLUMNS, _COUNTED)
_COUNTS: Final = Sheet(files.count_rows, files.COUNT_COLUMNS, _COUNTED)
_NUMBERS: Final = Sheet(files.number_rows, files.NUMBER_COLUMNS, _COUNTED)


class _Run(NamedTuple):
    """One file's import; `earlier` facts of a dry run would be there, were it none."""

    tenant: Tenant
    dry_run: bool
    earlier: dict[Any, tuple[str, Any]]


async def orders(settings: Settings, options: Options, channel: str) -> int:
    """Import order lines; `channel` is of rows that name none. Returns the exit code."""
    now, run = _now(), _Run(Tenant(settings.tenant), options.dry_run, {})

    async def keep(tx: Connection, rows: Sequence[Row]) -> _Outcome:
        told, faults = _sorted((row.line, files.order(row, channel, now)) for row in rows)
        return await _keep_named(tx, run, LINES, told, faults)

    return await importing.stream(settings, options, _ORDERS, keep)


async def numbers(settings: Settings, options: Options, channel: str) -> int:
    """Import what shops showed; `channel` is of rows that name none. Returns the exit code."""
    now, run = _now(), _Run(Tenant(settings.tenant), options.dry_run, {})

    async def keep(tx: Connection, rows: Sequence[Row]) -> _Outcome:
        told, faults = _sorted((row.line, files.number(row, channel, now)) for row in rows)
        return await _keep_named(tx, run, NUMBERS, told, faults)

    return await importing.stream(settings, options, _NUMBERS, keep)


async def stock(settings: Settings, options: Options) -> int:
    """Import the history of counts. Returns the exit code."""
    defaults, run = Defaults(_now()), _Run(Tenant(settings.tenant), options.dry_run, {})

    async def keep(tx: Connection, rows: Sequence[Row]) -> _Outcome:
        told, faults = _sorted((row.line, files.count(row, defaults)) for row in rows)
        by_line = dict(told)
        placed, more = await reading.place(tx, run.tenant, [one.read.told for _, one in told])
        facts = [
            (line.n, _counted(by_line[line.n], line.key, line.quantity, line.locked))
            for line in placed
        ]
        return await _keep(tx, run, COUNTS, facts, [*faults, *more])

    return await importing.stream(settings, options, _COUNTS, keep)


def _now() -> datetime:
    return clock.instant(SystemClock().now_ms())


def _sorted(
    read: Iterable[tuple[int, What | list[LineFault]]],
) -> tuple[list[tuple[int, What]], list[LineFault]]:
    """Return what rows say by their lines, and what is wrong with the others."""
    told: list[tuple[int, What]] = []
    faults: list[LineFault] = []
    for n, what in read:
        if isinstance(what, list):
            faults += what
        else:
            told.append((n, what))
    return told, faults


def _counted(row: CountRow, key: Key, quantity: int, locked: int) -> Counted:
    read = row.read
    return Counted(
        key.node, key.owner, key.sku, key.condition, key.batch, read.as_of, read.sequence,
        read.basis, quantity, locked, row.safety, row.received_at,
    )  # fmt: skip


async def _keep_named(
    tx: Connection,
    run: _Run,
    table: Table[Named],
    told: Sequence[tuple[int, Named]],
    faults: Sequence[LineFault],
) -> _Outcome:
    """Keep facts of channels and SKUs that exist."""
    there = await channels.known(tx, run.tenant, {one.channel for _, one in told})
    skus = await catalogue.owners_of(tx, run.tenant, {one.sku for _, one in told if one.sku})
    unknown = [
        LineFault(n, "channel", f"there is no channel {one.channel!r}")
        for n, one in told
        if one.channel not in there
    ]
    unknown += [
        LineFault(n, "sku", f"there is no SKU {one.sku!r}")
        for n, one in told
        if one.sku and one.sku not in skus
    ]
    bad = {fault.n for fault in unknown}
    sound = [(n, one) for n, one in told if n not in bad]
    return await _keep(tx, run, table, sound, [*faults, *unknown])


async def _keep(
    tx: Connection,
    run: _Run,
    table: Table[Fact],
    told: Sequence[tuple[int, Fact]],
    faults: Sequence[LineFault],
) -> _Outcome:
    await store.lock(tx, run.tenant)
    candidates = [
        Candidate(n, table.key_of(fact), getattr(fact, "version", ""), fact) for n, fact in told
    ]
    there = await store.find(tx, run.tenant, table, {one.key for one in candidates})
    known = {table.key_of(fact): (getattr(fact, "version", ""), fact) for fact in there}
    known |= {key: run.earlier[key] for one in candidates if (key := one.key) in run.earlier}
    found = keeping.sort(candidates, known)
    if run.dry_run:
        run.earlier.update(
            (key, (getattr(fact, "version", ""), fact)) for key, fact in found.write.items()
        )
    await store.write(tx, run.tenant, table, list(found.write.values()))
    return found.counts, [*faults, *found.faults]
