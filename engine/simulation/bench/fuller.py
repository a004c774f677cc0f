"""Between the two measurements: make the campaigns, fill, settle, measure again, compare."""

from time import monotonic

from engine.infra.cell import Cell
from engine.infra.servers.supervisor import Supervisor
from engine.simulation.bench import crowd, filled
from engine.simulation.bench.filled import Measured
from engine.simulation.bench.filling import Filler
from engine.simulation.bench.meter import Meter
from engine.simulation.bench.report import Filled
from engine.simulation.bench.rivals import Rivals
from engine.simulation.bench.rounds import Rounds
from engine.simulation.bench.scenarios import FLOOR, Scenario, Target, spread_out
from engine.simulation.bench.shelf import Shelf
from engine.simulation.bench.size import Size
from engine.simulation.http import LoadClient
from engine.simulation.progress import Progress


class Fuller:
    """One filling of one instance that was measured empty: `begin`, and `run` once."""

    def __init__(
        self, supervisor: Supervisor, cell: Cell, meter: Meter, progress: Progress
    ) -> None:
        """Take the instance."""
        self._supervisor = supervisor
        self._filler = Filler(meter, cell, supervisor.settings.database_url or "", progress)
        self._meter = meter
        self._progress = progress

    async def run(self, empty: Rounds, shelf: Shelf, rivals: Rivals) -> Filled:
        """Fill, measure the same loads again, and return what became of them.

        Raises:
            BenchFailed: the bench itself could not go on.
        """
        filler = self._filler
        before = await self._look()
        made_s = await self._make(shelf, empty.plan.filled)
        bare = await self._look()
        began = monotonic()
        await filler.fill(shelf, empty.plan.filled)
        filled_s = monotonic() - began
        self._progress.say("settling: vacuum, checkpoint, append-only file")
        await filler.settle()
        full = await self._look()
        loads = _loads(empty)
        plan = empty.plan._replace(scenarios=[FLOOR, *(load for load, _ in loads)])
        again = Rounds(plan, self._meter, rivals, shelf, self._progress)
        await again.run()
        after = await self._look()
        cell_each, disk_each = filled.per_order(bare, full)
        return Filled(
            campaigns=shelf.crowd.campaigns,
            skus=shelf.crowd.skus,
            orders=full.orders - bare.orders,
            made_s=round(made_s, 1),
            filled_s=round(filled_s, 1),
            parts=filler.parts,
            start=self._start,
            before=before,
            empty=bare,
            full=full,
            after=after,
            rows=again.rows(),
            growth=filled.growth(
                loads,
                Measured(empty.samples, empty.floors),
                Measured(again.samples, again.floors),
            ),
            bytes_per_open_hold=filled.per_open_hold(filler.parts),
            cell_bytes_per_order=cell_each,
            disk_bytes_per_order=disk_each,
        )

    async def begin(self) -> None:
        """Look at the instance before anything is measured."""
        self._start = await self._look()

    @property
    def notes(self) -> list[str]:
        """What was odd."""
        return self._filler.notes

    async def _look(self) -> Size:
        return await self._filler.look(self._meter.pids())

    async def _make(self, shelf: Shelf, orders: int) -> float:
        settings, began = self._supervisor.settings, monotonic()
        shelf.crowd = crowd.sized(shelf.crowd, orders)
        async with LoadClient(
            self._supervisor.address, settings.admin_key or "", connections=crowd.AT_ONCE
        ) as client:
            await crowd.make(shelf, client, self._progress)
        took = monotonic() - began
        self._progress.say(f"all of it is on sale after {took:.0f} s")
        return took


def _loads(empty: Rounds) -> list[tuple[Scenario, Scenario]]:
    """Return what is measured again, each with the load of the empty instance it is held against.

    The bench's own campaign and SKUs once more and, beside them, the same over everything there is.
    """
    same = [
        one
        for one in empty.present
        if one.target in {Target.ENGINE, Target.CELL} and not one.of_rate
    ]  # fmt: skip
    wide = [(spread_out(one), one) for one in same if one.skus > 1]
    return [*((one, one) for one in same), *wide]
