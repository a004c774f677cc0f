"""The loads of one plan over one instance as it is now: warm up, alternate with the floor."""

from collections.abc import Sequence
from typing import Final

from engine.simulation.bench import report as reports
from engine.simulation.bench.figures import figure
from engine.simulation.bench.meter import Meter, Server
from engine.simulation.bench.plan import Plan
from engine.simulation.bench.report import Row
from engine.simulation.bench.rivals import Rivals
from engine.simulation.bench.rowlock import POOL_SIZES
from engine.simulation.bench.scenarios import FLOOR, RATE_OF, Scenario, Target
from engine.simulation.bench.shelf import Shelf
from engine.simulation.bench.types import Sample
from engine.simulation.progress import Progress

_WARM_UP: Final = 0.25  # of a measurement's orders, thrown away
_WARM_UP_MIN: Final = 200


class Rounds:
    """Every scenario of a plan, measured; `samples` by name, `floors` the bare halves of pairs."""

    def __init__(
        self, plan: Plan, meter: Meter, rivals: Rivals, shelf: Shelf, progress: Progress
    ) -> None:
        """Take what to measure; nothing is before `run`."""
        self.plan: Final = plan
        self.samples: dict[str, list[Sample]] = {}
        self.floors: dict[str, list[Sample]] = {}
        self._meter = meter
        self._rivals = rivals
        self._shelf = shelf
        self._progress = progress
        self._absent: dict[str, str] = {}
        self._notes: dict[str, str] = {}
        self._pool_sizes: dict[str, int] = {}

    async def run(self) -> None:
        """Measure everything.

        Raises:
            BenchFailed: the bench itself could not go on.
        """
        await self._probe()
        await self._warm_up()
        await self._alternate()
        await self._on_schedule()

    @property
    def present(self) -> list[Scenario]:
        """What this version of the engine offers of the plan."""
        return [one for one in self.plan.scenarios if one.name not in self._absent]

    def rows(self) -> list[Row]:
        """Return what each scenario came to, in the order of the plan."""
        return [
            reports.absent(one, self._absent[one.name])
            if one.name in self._absent
            else reports.row(
                one,
                self.samples[one.name],
                [] if one is FLOOR else self.floors.get(one.name, []),
                self._notes.get(one.name, ""),
            )
            for one in self.plan.scenarios
        ]

    async def _probe(self) -> None:
        """Leave out what this version of the engine does not offer."""
        for scenario in self.plan.scenarios:
            if scenario.target is Target.ENGINE and not await self._shelf.offers(scenario.kind):
                self._absent[scenario.name] = "this version has no such call"
            if scenario.target is Target.GRANTS:
                await self._shelf.fill_many()

    async def _warm_up(self) -> None:
        """Load every process once before anything counts; a row lock's pool is chosen here."""
        self._progress.say("warming up")
        orders = max(_WARM_UP_MIN, round(self.plan.orders * _WARM_UP))
        for scenario in self.present:
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

    async def _alternate(self) -> None:
        """Measure pairs of the floor and each scenario, in turn and each second time reversed."""
        paired = [one for one in self.present if one is not FLOOR and not one.of_rate]
        for n in range(self.plan.pairs):
            for scenario in paired or [FLOOR]:
                await self._pair(scenario, reverse=bool(n % 2))
            self._progress.say(f"round {n + 1} of {self.plan.pairs}: {self._latest(paired)}")

    async def _pair(self, scenario: Scenario, *, reverse: bool) -> None:
        pair = [FLOOR] if scenario is FLOOR else [FLOOR, scenario]
        taken = {}
        for one in reversed(pair) if reverse else pair:
            taken[one.name] = await self._sample(one, self.plan.orders)
            self.samples.setdefault(one.name, []).append(taken[one.name])
        self.floors.setdefault(scenario.name, []).append(taken[FLOOR.name])

    def _latest(self, paired: Sequence[Scenario]) -> str:
        return ", ".join(
            f"{one.name} {self.samples[one.name][-1].orders_per_s:,.0f}/s"
            for one in [FLOOR, *paired]
        )

    async def _on_schedule(self) -> None:
        """Send at a part of what was measured, whatever the answers do."""
        for scenario in self.present:
            if not scenario.of_rate:
                continue
            full = figure([one.orders_per_s for one in self.samples[RATE_OF]]).median
            rate = full * scenario.of_rate
            self._progress.say(f"{scenario.name}: {rate:,.0f} orders/s, on schedule")
            self._notes[scenario.name] = f"open loop at {rate:,.0f}/s"
            self.samples[scenario.name] = [
                await self._sample(scenario, self.plan.orders, rate=rate)
                for _ in range(self.plan.pairs)
            ]

    async def _sample(self, scenario: Scenario, orders: int, rate: float = 0.0) -> Sample:
        instead: Server | None = None
        if scenario.target is Target.BARE:
            instead = await self._rivals.bare()
        elif scenario.target is Target.ROWLOCK:
            instead = await self._rivals.rowlock(self._pool_sizes[scenario.name])
        return await self._meter.sample(scenario, orders, self._shelf, instead=instead, rate=rate)
