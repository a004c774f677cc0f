"""One run over a started instance: measure, fill and measure again, certify, put together."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from engine.assurance import rules
from engine.assurance.verify import certify
from engine.infra import cell
from engine.infra.cell import Cell
from engine.infra.postgres import Pool
from engine.infra.servers import postgres as postgres_server
from engine.infra.servers import valkey as valkey_server
from engine.infra.servers.supervisor import Supervisor
from engine.kernel.clock import Clock
from engine.kernel.errors import EngineError
from engine.kernel.ids import token
from engine.kernel.types import CellId
from engine.simulation.bench import bars, baseline, cpu, filled, machine, routing
from engine.simulation.bench import report as reports
from engine.simulation.bench.children import Child, Generator
from engine.simulation.bench.fuller import Fuller
from engine.simulation.bench.machine import Machine
from engine.simulation.bench.meter import Meter
from engine.simulation.bench.plan import Plan
from engine.simulation.bench.report import Filled, Report, RoutingRow, Row
from engine.simulation.bench.rivals import Rivals
from engine.simulation.bench.rounds import Rounds
from engine.simulation.bench.scenarios import FLOOR
from engine.simulation.bench.shelf import Shelf
from engine.simulation.http import LoadClient
from engine.simulation.progress import Progress

_CERTIFIED_WITHIN_S: Final = 60.0
_STATEMENT_S: Final = 120.0


class _Found(NamedTuple):
    """What was seen, before it is put together."""

    rounds: Rounds
    full: Filled | None
    certificate: dict[str, Any] | None
    faults: list[str]
    notes: list[str]
    routing: list[RoutingRow]


class Bench:
    """One run; `run` once."""

    def __init__(
        self, supervisor: Supervisor, plan: Plan, progress: Progress, clock: Clock
    ) -> None:
        """Take a started instance and what to measure."""
        self._supervisor = supervisor
        self._plan = plan
        self._progress = progress
        self._clock = clock

    async def run(self, where: Machine) -> Report:
        """Measure everything and return the report; every process of ours is gone after.

        Raises:
            BenchFailed: the bench itself could not go on.
        """
        async with self._things() as (pool, client, one, meter, rivals):
            shelf = Shelf(client, self._clock, token(4))
            used = await machine.versions(one.redis, pool)
            await shelf.fill()
            rounds = Rounds(self._plan, meter, rivals, shelf, self._progress)
            filling = Fuller(self._supervisor, one, meter, self._progress)
            if self._plan.filled:
                await filling.begin()
            await rounds.run()
            full = await filling.run(rounds, shelf, rivals) if self._plan.filled else None
            faults = await self._faults(meter, shelf, rounds)
            routed: list[RoutingRow] = []
            if self._plan.routing:
                try:
                    await self._route(one, meter.postgres(), routed)
                except EngineError as error:
                    faults.append(f"routing: {error}")
            certificate = None
            try:
                certificate = await self._certify(rounds, one, pool)
            except (EngineError, TimeoutError) as error:  # what was measured is not to be lost
                faults.append(
                    f"no certificate: {error if str(error) else 'a statement took too long'}"
                )
            if certificate is not None and not certificate["holds"]:
                faults.append("the certificate does not hold")
            return self._report(
                where, used, _Found(rounds, full, certificate, faults, filling.notes, routed)
            )  # fmt: skip

    async def _route(self, one: Cell, server: Sequence[int], rows: list[RoutingRow]) -> None:
        self._progress.say("routing, in a database of its own")
        asked = routing.Asked(self._plan.orders, self._plan.quick)
        async for row in routing.measure(self._supervisor.settings, one, server, asked):
            rows.append(row)
            self._progress.say(
                f"{row.nodes} nodes, {row.lines} lines, {row.processes} routers:"
                f" {row.orders_per_s:,.0f}/s"
            )

    @asynccontextmanager
    async def _things(self) -> AsyncIterator[tuple[Pool, LoadClient, Cell, Meter, Rivals]]:
        settings = self._supervisor.settings
        async with AsyncExitStack() as stack:
            # over a million orders a statement of the certificate takes longer than a request may
            pool = await asyncpg.create_pool(
                settings.database_url, min_size=0, max_size=2, command_timeout=_STATEMENT_S
            )
            stack.callback(pool.terminate)
            redis = cell.client(settings.valkey_url or "")
            stack.push_async_callback(redis.aclose)
            rivals = Rivals(settings)
            stack.push_async_callback(rivals.stop)
            child = await Child.start("generator", environment=rivals.environment)
            stack.push_async_callback(child.stop)
            client = await stack.enter_async_context(
                LoadClient(self._supervisor.address, settings.admin_key or "", connections=4)
            )
            one = Cell(redis, CellId(settings.cell), self._clock)
            await one.refresh()
            meter = Meter(self._supervisor, Generator(child), one, pool, self._clock)
            yield pool, client, one, meter, rivals

    # What it comes to.

    async def _faults(self, meter: Meter, shelf: Shelf, rounds: Rounds) -> list[str]:
        """Compare what was answered with what is recorded; a dead process is a fault, too."""
        recorded = await meter.recorded_orders(shelf)
        faults = reports.lost(meter.accepted, meter.unanswered, recorded)
        faults += [
            f"{name} ended by itself and was started again"
            for name in self._supervisor.names()
            if self._supervisor.restarts_of(name)
        ]
        faults += [
            f"{scenario.name}: nothing was accepted"
            for scenario in rounds.present
            if not sum(one.orders for one in rounds.samples[scenario.name])
        ]
        return faults

    async def _certify(self, rounds: Rounds, one: Cell, pool: Pool) -> dict[str, Any] | None:
        """Certify the cell once everything is sold; None where the engine was not asked at all."""
        if not any(reports.is_engine(scenario) for scenario in rounds.present):
            return None
        self._progress.say("certifying")
        began = self._progress.elapsed_s
        found = await certify(one, pool, self._clock, within_s=_CERTIFIED_WITHIN_S)
        self._progress.say(f"certified in {self._progress.elapsed_s - began:.1f} s")
        told = msgspec.to_builtins(msgspec.structs.replace(found, pools=[]))
        del told["pools"]
        return {**told, "holds": found.holds, "verdict": rules.verdict(found)}

    def _report(self, where: Machine, used: machine.Versions, found: _Found) -> Report:
        settings, plan, rounds = self._supervisor.settings, self._plan, found.rounds
        rows = rounds.rows()
        by_name = {row.name: row for row in rows}
        kept = plan.baseline
        differs = baseline.remarks(kept, where, used) if kept else []
        changes = (
            baseline.compare(
                {row.name: row for row in kept.rows}, by_name, same_machine=not differs
            )
            if kept
            else []
        )
        every = [sample for samples in rounds.samples.values() for sample in samples]
        return Report(
            machine=where,
            versions=used,
            durability=settings.durability,
            api_processes=settings.api_processes,
            quick=plan.quick,
            pairs=plan.pairs,
            orders=plan.orders,
            rows=rows,
            bars=[
                *bars.judge(by_name, where.cores, found.routing),
                *(filled.bars(found.full) if found.full else []),
            ],
            noise=reports.noise(rounds.samples.get(FLOOR.name, []), every),
            certificate=found.certificate,
            changes=changes,
            notes=[*self._remarks(rows), *found.notes, *differs, *baseline.common(changes)],
            faults=found.faults,
            seconds=round(self._progress.elapsed_s, 1),
            filled=found.full,
            routing=found.routing,
        )

    def _remarks(self, rows: Sequence[Row]) -> list[str]:
        found = [f"{row.name}: {row.note}" for row in rows if row.note]
        if not cpu.visible():
            found.append("this system has no /proc: the CPU of other processes is not shown")
        names = self._supervisor.names()
        servers = {valkey_server.NAME, postgres_server.NAME} - set(names)
        found += [f"this {name} is not ours: its CPU is not shown" for name in sorted(servers)]
        rivals = [row for row in rows if row.name.startswith("rowlock") and row.orders_per_s]
        by_name = {row.name: row.orders_per_s for row in rows}
        for row in rivals:
            ours = by_name.get("hot" if row.name.endswith("hot") else "single")
            if ours and row.orders_per_s:
                times = ours.median / row.orders_per_s.median
                found.append(f"{row.name}: the engine records {times:.1f} times as many orders/s")
        return found
