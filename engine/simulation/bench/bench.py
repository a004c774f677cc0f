"""One run over a started instance: warm up, alternate with the floor, certify, put together."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import msgspec

from engine.assurance import rules
from engine.assurance.verify import certify
from engine.infra import cell, postgres
from engine.infra.cell import Cell
from engine.infra.postgres import Pool
from engine.infra.servers import postgres as postgres_server
from engine.infra.servers import valkey as valkey_server
from engine.infra.servers.supervisor import Supervisor
from engine.kernel.clock import Clock
from engine.kernel.errors import Closed, EngineError, OutcomeUnknown
from engine.kernel.ids import token
from engine.kernel.types import CellId
from engine.simulation.bench import bars, baseline, cpu, machine
from engine.simulation.bench import report as reports
from engine.simulation.bench.children import Child, Generator
from engine.simulation.bench.figures import figure
from engine.simulation.bench.machine import Machine
from engine.simulation.bench.meter import Meter, Server
from engine.simulation.bench.plan import Plan
from engine.simulation.bench.report import Report, Row
from engine.simulation.bench.rivals import Rivals
from engine.simulation.bench.rowlock import POOL_SIZES
from engine.simulation.bench.scenarios import FLOOR, RATE_OF, Scenario, Target
from engine.simulation.bench.shelf import Shelf
from engine.simulation.bench.types import Sample
from engine.simulation.http import LoadClient
from engine.simulation.progress import Progress

_CERTIFIED_WITHIN_S: Final = 60.0
_WARM_UP: Final = 0.25  # of a measurement's orders, thrown away
_WARM_UP_MIN: Final = 200


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
        self._samples: dict[str, list[Sample]] = {}
        self._floors: dict[str, list[Sample]] = {}
        self._absent: dict[str, str] = {}
        self._notes: dict[str, str] = {}
        self._pool_sizes: dict[str, int] = {}

    async def run(self, where: Machine) -> Report:
        """Measure everything and return the report; every process of ours is gone after.

        Raises:
            BenchFailed: the bench itself could not go on.
        """
        async with self._things() as (pool, client, one, meter, rivals):
            self._meter, self._rivals = meter, rivals
            self._shelf = Shelf(client, self._clock, token(4))
            used = await machine.versions(one.redis, pool)
            await self._shelf.fill()
            await self._probe()
            await self._warm_up()
            await self._rounds()
            await self._on_schedule()
            faults = await self._faults()
            certificate = await self._certify(one, pool)
            if certificate is not None and not certificate["holds"]:
                faults.append("the certificate does not hold")
            rows = self._rows()
            return self._report(where, used, rows, certificate, faults)

    @asynccontextmanager
    async def _things(self) -> AsyncIterator[tuple[Pool, LoadClient, Cell, Meter, Rivals]]:
        settings = self._supervisor.settings
        async with AsyncExitStack() as stack:
            pool = await postgres.open_pool(settings.database_url or "", size_max=2)
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

    # Measuring.

    @property
    def _present(self) -> list[Scenario]:
        return [one for one in self._plan.scenarios if one.name not in self._absent]

    async def _probe(self) -> None:
        """Leave out what this version of the engine does not offer."""
        for scenario in self._plan.scenarios:
            if scenario.target is Target.ENGINE and not await self._shelf.offers(scenario.kind):
                self._absent[scenario.name] = "this version has no such call"

    async def _warm_up(self) -> None:
        """Load every process once before anything counts; a row lock's pool is chosen here."""
        self._progress.say("warming up")
        orders = max(_WARM_UP_MIN, round(self._plan.orders * _WARM_UP))
        for scenario in self._present:
            if scenario.target is Target.ROWLOCK:
                await self._choose_pool(scenario, orders)
            elif not scenario.of_rate:
                await self._sample(scenario, orders)

    async def _choose_pool(self, scenario: Scenario, orders: int) -> None:
        rates: dict[int, float] = {}
        for size in POOL_SIZES:
            self._pool_sizes[scenario.name] = size
            await self._sample(scenario, orders)
            rates[size] = (await self._sample(scenario, orders)).orders_per_s
            await self._rivals.end_rowlock(size)
        best = max(rates, key=lambda size: rates[size])
        self._pool_sizes[scenario.name] = best
        self._notes[scenario.name] = f"pool of {best} connections, the best of {POOL_SIZES}"
        await self._sample(scenario, orders)

    async def _rounds(self) -> None:
        """Measure pairs of the floor and each scenario, in turn and each second time reversed."""
        paired = [one for one in self._present if one is not FLOOR and not one.of_rate]
        for n in range(self._plan.pairs):
            for scenario in paired or [FLOOR]:
                await self._pair(scenario, reverse=bool(n % 2))
            self._progress.say(f"round {n + 1} of {self._plan.pairs}: {self._latest(paired)}")

    async def _pair(self, scenario: Scenario, *, reverse: bool) -> None:
        pair = [FLOOR] if scenario is FLOOR else [FLOOR, scenario]
        taken = {}
        for one in reversed(pair) if reverse else pair:
            taken[one.name] = await self._sample(one, self._plan.orders)
            self._samples.setdefault(one.name, []).append(taken[one.name])
        self._floors.setdefault(scenario.name, []).append(taken[FLOOR.name])

    def _latest(self, paired: Sequence[Scenario]) -> str:
        return ", ".join(
            f"{one.name} {self._samples[one.name][-1].orders_per_s:,.0f}/s"
            for one in [FLOOR, *paired]
        )

    async def _on_schedule(self) -> None:
        """Send at a part of what was measured, whatever the answers do."""
        for scenario in self._present:
            if not scenario.of_rate:
                continue
            full = figure([one.orders_per_s for one in self._samples[RATE_OF]]).median
            rate = full * scenario.of_rate
            self._progress.say(f"{scenario.name}: {rate:,.0f} orders/s, on schedule")
            self._notes[scenario.name] = f"open loop at {rate:,.0f}/s"
            self._samples[scenario.name] = [
                await self._sample(scenario, self._plan.orders, rate=rate)
                for _ in range(self._plan.pairs)
            ]

    async def _sample(self, scenario: Scenario, orders: int, rate: float = 0.0) -> Sample:
        instead: Server | None = None
        if scenario.target is Target.BARE:
            instead = await self._rivals.bare()
        elif scenario.target is Target.ROWLOCK:
            instead = await self._rivals.rowlock(self._pool_sizes[scenario.name])
        return await self._meter.sample(scenario, orders, self._shelf, instead=instead, rate=rate)

    # What it comes to.

    async def _faults(self) -> list[str]:
        """Compare what was answered with what is recorded; a dead process is a fault, too."""
        recorded = await self._meter.recorded_orders(self._shelf)
        faults = reports.lost(self._meter.accepted, self._meter.unanswered, recorded)
        faults += [
            f"{name} ended by itself and was started again"
            for name in self._supervisor.names()
            if self._supervisor.restarts_of(name)
        ]
        faults += [
            f"{scenario.name}: nothing was accepted"
            for scenario in self._present
            if not sum(one.orders for one in self._samples[scenario.name])
        ]
        return faults

    async def _certify(self, one: Cell, pool: Pool) -> dict[str, Any] | None:
        """Certify the cell once everything is sold; None where the engine was not asked at all."""
        if not any(reports.is_engine(scenario) for scenario in self._present):
            return None
        self._progress.say("certifying")
        try:
            found = await certify(one, pool, self._clock, within_s=_CERTIFIED_WITHIN_S)
        except (Closed, OutcomeUnknown) as error:
            raise EngineError(f"no certificate: {error.detail}") from error
        told = msgspec.to_builtins(msgspec.structs.replace(found, pools=[]))
        del told["pools"]
        return {**told, "holds": found.holds, "verdict": rules.verdict(found)}

    def _rows(self) -> list[Row]:
        return [
            reports.absent(one, self._absent[one.name])
            if one.name in self._absent
            else reports.row(
                one,
                self._samples[one.name],
                [] if one is FLOOR else self._floors.get(one.name, []),
                self._notes.get(one.name, ""),
            )
            for one in self._plan.scenarios
        ]

    def _report(
        self,
        where: Machine,
        used: machine.Versions,
        rows: list[Row],
        certificate: dict[str, Any] | None,
        faults: list[str],
    ) -> Report:
        settings, plan = self._supervisor.settings, self._plan
        by_name = {row.name: row for row in rows}
        kept = plan.baseline
        every = [sample for samples in self._samples.values() for sample in samples]
        return Report(
            machine=where,
            versions=used,
            durability=settings.durability,
            api_processes=settings.api_processes,
            quick=plan.quick,
            pairs=plan.pairs,
            orders=plan.orders,
            rows=rows,
            bars=bars.judge(by_name, where.cores),
            noise=reports.noise(self._samples.get(FLOOR.name, []), every),
            certificate=certificate,
            changes=baseline.compare({row.name: row for row in kept.rows}, by_name) if kept else [],
            notes=[*self._remarks(rows), *(baseline.remarks(kept, where, used) if kept else [])],
            faults=faults,
            seconds=round(self._progress.elapsed_s, 1),
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
