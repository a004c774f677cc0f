"""The roles of a worker process; any number of processes may have the same one.

recorder   folds the cell's log into Postgres
sweeper    expires due holds and forgets old ones
keeper     opens the cell when it is certain
publisher  brings campaigns, policies and channels to the cell
settler    carries out what waited: payments received while closed, units on their way back; asks
           for stops where a marketplace changed an address, answers those that no node answers;
           forgets the lines of old answers about stock
rebalancer lends units from slow to fast shops, where a campaign says so; of several, one at a time
shelver    keeps what marketplaces are to show, and moves units out of their pools
reconciler compares cell, Postgres, documents and ledger all the time; one a cell is active
watcher    looks at stock and raises alerts
reviewer   judges paid orders by rules, and puts what may be sent into the queue
router     decides which node sends what is due in the queue, and binds it
tracker    follows parcels: where carriers say they are, clocks that run out, channels that do not
           answer
shipper    tells warehouses what to send and what not to
notifier   tells webhooks what happened; of several, each endpoint is told by one
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import structlog

from engine.aftersales.answering import settle_stops, settle_told
from engine.alerts.consumer import watcher
from engine.assurance.keeper import Keeper
from engine.assurance.reconciling.reconciler import Reconciler
from engine.elastic.consumer import Rebalancer
from engine.infra import metrics
from engine.infra.cell import Cell
from engine.infra.postgres import UNAVAILABLE, Connection
from engine.infra.runtime import Runtime
from engine.infra.tasks import beating, beats, raise_if_cancelled, sleep
from engine.inventory.consumer import publisher
from engine.kernel import limits
from engine.kernel.clock import instant
from engine.kernel.errors import EngineError, Misconfigured
from engine.kernel.types import Tenant
from engine.logistics.consumer import tracker
from engine.orders import service as orders
from engine.orders.recorder import Recorder
from engine.physical.service import movements
from engine.publications.consumer import shelver
from engine.reservation import service as reservation
from engine.reservation.service import Reservations
from engine.review.consumer import reviewer
from engine.review.service.intake import Intake
from engine.routing.service import rejecting
from engine.routing.service.current import CurrentPlans
from engine.routing.service.intake import Desk
from engine.routing.service.router import router
from engine.routing.service.shadowing import Shadows
from engine.shipments.types.stops import Stop
from engine.webhooks.consumer import Notifier
from engine.wms.consumer import Shipper
from engine.wms.service import callbacks

_SETTLE_INTERVAL_S: Final = 0.2
_STOPS_EVERY: Final = 25  # settlements, about 5 s
_PRUNE_EVERY: Final = 300  # sweeps or settlements, about a minute
_AWAY: Final[tuple[type[Exception], ...]] = (EngineError, *UNAVAILABLE)
_logger: Final = structlog.get_logger()

Loop = Callable[[], Awaitable[None]]


def loops(process: Runtime, roles: Sequence[str]) -> list[Loop]:
    """Return the loops of the given roles, all of them when none is given.

    Raises:
        Misconfigured: there is no such role.
    """
    cell = process.cell
    assert isinstance(cell, Cell)
    settings = process.settings
    recorder = Recorder(
        cell, settings.database_url or "", process.clock, process.process,
        keep_seconds=settings.log_keep_seconds, spans=process.spans,
    )  # fmt: skip
    tenant = Tenant(settings.tenant)
    desk = Desk(process, settings.queue_alarm_seconds)
    plans = CurrentPlans()
    shadows = Shadows(process.pool, tenant, process.clock, plans)
    known: Mapping[str, Loop] = {
        "recorder": recorder.run,
        "sweeper": lambda: sweep(cell),
        "keeper": Keeper(cell, process.pool, process.clock).run,
        "publisher": lambda: publisher(process),
        "settler": lambda: settle(process, cell),
        "rebalancer": Rebalancer(process, cell).run,
        "shelver": lambda: shelver(process),
        "reconciler": Reconciler(cell, process.pool, process.clock, process.process).run,
        "watcher": lambda: watcher(process),
        "reviewer": lambda: reviewer(Intake(process, tenant, desk.enqueue, desk.active)),
        "router": lambda: router(process, plans.active, shadows=shadows),
        "tracker": lambda: tracker(process),
        "shipper": Shipper(process).run,
        "notifier": Notifier(process).run,
    }
    if unknown := sorted(set(roles) - set(known)):
        raise Misconfigured(f"no such role: {', '.join(unknown)}; there are {', '.join(known)}")
    metrics.ROLE_BEAT.reads(lambda: {(role,): since for role, since in beats().items()})
    chosen: list[Loop] = [partial(beating, role, known[role]) for role in (roles or known)]
    return chosen if "keeper" in (roles or known) else [*chosen, lambda: follow(cell)]


async def follow(cell: Cell) -> None:
    """Keep this process' view of the cell fresh where no keeper does."""
    while True:
        try:
            await cell.refresh()
        except EngineError as away:
            _logger.warning("cell_away", reason=away.code)
        await sleep(_SETTLE_INTERVAL_S)


async def sweep(cell: Cell) -> None:
    """Expire holds when they are due, and now and then forget what is old enough."""
    turn = 0
    while True:
        await cell.wait_open()
        raise_if_cancelled()
        try:
            done, _ = await reservation.expire(cell)
            turn += 1
            if turn % _PRUNE_EVERY == 0:
                while await reservation.prune(cell) == limits.CLAIMS_PER_CALL_MAX:
                    pass
            if done == limits.CLAIMS_PER_CALL_MAX:
                continue
        except EngineError as away:
            _logger.warning("sweeper_waits", reason=away.code)
        await sleep(limits.SWEEP_INTERVAL_MS / 1_000)


async def settle(process: Runtime, cell: Cell) -> None:
    """Carry out what waits in Postgres for the cell to be open."""
    reservations = Reservations(cell)
    tenant = Tenant(process.settings.tenant)
    turn, behind = 0, False

    async def then(tx: Connection, late: Iterable[Stop]) -> None:
        await rejecting.answered(tx, tenant, late, instant(process.clock.now_ms()))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(reservations.send())
        while True:
            await cell.wait_open()
            try:
                await orders.apply_received(process.pool, reservations, process.clock)
                reservations.kept.clear()  # what was received is a row already
                await orders.give_back(cell, process.pool)
                await orders.release_duplicates(cell, process.pool)
                await settle_told(process.pool, process.clock)
                turn += 1
                if turn % _STOPS_EVERY == 0:
                    wait_s = process.settings.stop_seconds
                    await settle_stops(process.pool, process.clock, wait_s, then)
                if behind or turn % _PRUNE_EVERY == 0:
                    forgotten = await movements.forget(process.pool, process.clock)
                    await callbacks.prune(process)
                    behind = forgotten == movements.FORGOTTEN_PER_CALL_MAX
            except _AWAY as away:
                _logger.warning("settler_waits", reason=type(away).__name__)
            await sleep(_SETTLE_INTERVAL_S)
