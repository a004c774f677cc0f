"""`tidegate demo`: a whole instance, a sale over real HTTP, a killed server, and the proof.

Before the sale an everyday shop's orders are routed, sent and delivered. Beside the own mall two
shops on marketplaces sell, whose orders nobody may refuse.
"""

import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

import uvloop

from engine.assurance.types import Certificate
from engine.assurance.verify import certify
from engine.client import Client
from engine.infra import cell, postgres
from engine.infra.cell import Cell
from engine.infra.migrate import migrate
from engine.infra.postgres import Pool
from engine.infra.servers import ports
from engine.infra.servers.errors import CannotStart
from engine.infra.servers.supervisor import Supervisor
from engine.kernel.clock import SystemClock
from engine.kernel.errors import Closed, EngineError, OutcomeUnknown
from engine.kernel.ids import token
from engine.kernel.types import CellId
from engine.settings import Settings
from engine.simulation import demand as demands
from engine.simulation import fulfilment, naive, orderfile, proof, summary
from engine.simulation.calls import PATIENT
from engine.simulation.fulfilment import Fulfilled
from engine.simulation.http import LoadClient
from engine.simulation.marketplace import Live, Marketplace, recorded, shops
from engine.simulation.marketplace.pushing import Pushing
from engine.simulation.marketplace.syncing import Syncing
from engine.simulation.naive import Oversold
from engine.simulation.progress import Progress
from engine.simulation.sale import Sale
from engine.simulation.shop import Shop, campaign_of
from engine.simulation.summary import Summary
from engine.simulation.types import Demand

PROVED: Final = 0
FAILED: Final = 1
USAGE: Final = 2
SEED: Final = 20261111

_KILL_AT: Final = 0.4  # of the orders
_VALKEY: Final = "valkey"
_SETTLED_WITHIN_S: Final = 40.0
_CERTIFIED_WITHIN_S: Final = 30.0
_SHOW_EVERY_S: Final = 0.25
_ADAPTER_CONNECTIONS: Final = 2  # of all marketplaces together, away from those of the buyers


def run(settings: Settings, orders: Path | None, as_json: bool) -> int:  # noqa: FBT001 - as the command has it
    """Run the demo on seeded demand or on the lines of a file; 0 only if everything is proved.

    Raises:
        CannotStart: nothing is left running.
    """
    try:
        demand = demands.seeded(SEED) if orders is None else orderfile.read(orders)
    except orderfile.MalformedFile as refusal:
        sys.stderr.write(f"--orders {orders}: {refusal}\n")
        return USAGE
    found = play(settings, demand)
    summary.show(*found, as_json=as_json)
    return PROVED if found[0].proved else FAILED


def play(settings: Settings, demand: Demand) -> tuple[Summary, Certificate]:
    """Start an instance, sell a demand on it, and return what was found; all is stopped after.

    SIGTERM is taken as Ctrl-C, so that the servers are stopped then too.

    Raises:
        CannotStart: nothing is left running.
    """
    progress = Progress(SystemClock().monotonic)
    settings = _on_a_free_port(settings, progress.say)
    progress.say("starting Valkey, Postgres, one API process and one worker")
    # a shell's background job was started with SIGINT ignored
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with Supervisor(settings, api_processes=1, tell=progress.say) as supervisor:
            asyncio.run(migrate(supervisor.settings.database_url or ""))
            supervisor.start_engine()
            supervisor.wait_ready()
            progress.say(f"ready at {supervisor.address}")
            found = uvloop.run(_Demo(supervisor, demand, progress).run())
            progress.end()
            progress.say("done; stopping")
            return found
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)
        progress.end()


def _on_a_free_port(settings: Settings, say: Callable[[str], None]) -> Settings:
    try:
        ports.refuse_taken(settings.http_host, settings.http_port)
    except CannotStart:
        say(f"port {settings.http_port} is taken: the demo takes a free one")
        return replace(settings, http_port=0)
    return settings


class _Demo:
    """One run over a started instance."""

    def __init__(self, supervisor: Supervisor, demand: Demand, progress: Progress) -> None:
        self._supervisor = supervisor
        self._settings = supervisor.settings
        self._demand = demand
        self._progress = progress
        self._clock = SystemClock()
        self._mark = token(4)
        self._feeds: list[Syncing] = []

    async def run(self) -> tuple[Summary, Certificate]:
        """Sell, settle, compare, certify."""
        pool = await postgres.open_pool(self._settings.database_url or "")
        address, key = self._supervisor.address, self._settings.admin_key or ""
        specs = shops.beside(self._demand, SEED, campaign_of(self._mark), self._mark)
        try:
            async with (
                LoadClient(address, key) as client,
                LoadClient(address, key, connections=_ADAPTER_CONNECTIONS) as adapters,
                Client(address, key, retry=PATIENT) as operator,
            ):
                fulfilled = await self._fulfil(operator)
                shop = Shop(operator, self._demand, self._mark, self._clock, specs)
                await self._open(shop, adapters)
                return await self._run(client, shop, pool, fulfilled)
        finally:
            pool.terminate()

    async def _fulfil(self, client: Client) -> Fulfilled | str:
        """Send what an everyday shop sells, or say why not.

        It comes first: an active plan would take up the sale's orders, too, whose goods nobody
        counted and which have no address; as it is they wait for a plan, and the sale costs what it
        cost before.
        """
        place = self._supervisor.address, self._mark
        found = await fulfilment.play(client, *place, SEED, self._progress, self._clock)
        self._progress.end()
        if isinstance(found, str):
            self._progress.say(f"no orders are sent: {found}")
        else:
            self._progress.say(
                f"{found.parcels:,} parcels of {found.orders:,} orders left,"
                f" {found.delivered:,} orders are delivered; the plan is archived"
            )
        return found

    async def _open(self, shop: Shop, adapters: LoadClient) -> None:
        demand, say = self._demand, self._progress.say
        say(
            f"{demand.title}: {len(demand.orders):,} orders for {sum(demand.wanted().values()):,}"
            f" units, {sum(demand.stock.values()):,} on the shelf in {len(demand.stock):,} SKUs"
        )
        await shop.open()
        say("the sale is open")
        for spec in shop.markets:
            spec_now = replace(spec, opens_at_ms=self._clock.now_ms())
            if spec.pushed:
                self._feeds.append(Pushing(adapters, Live(spec_now)))
                say(f"{spec.channel} sells by itself what we tell it to show: {spec.orders} buyers")
                continue
            market = Marketplace(spec_now)
            self._feeds.append(Syncing(adapters, market))
            say(
                f"{spec.channel} sells by itself: {len(market.truth):,} orders, it shows"
                f" {sum(spec.published.values()):,} units of which we have"
                f" {sum(spec.have[sku] for sku in spec.published):,}"
            )

    async def _run(
        self, client: LoadClient, shop: Shop, pool: Pool, fulfilled: Fulfilled | str
    ) -> tuple[Summary, Certificate]:
        sale = Sale(client, shop, self._demand, Random(SEED))
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(self._tell(sale))
            killing = tasks.create_task(self._kill(sale))
            selling = tasks.create_task(self._oversell(sale))
            syncing = [tasks.create_task(feed.run()) for feed in self._feeds]
            await sale.run()
            await asyncio.wait([selling, *syncing])
            telling.cancel()
            killing.cancel()
        self._progress.end()
        self._progress.say("every buyer and every marketplace has an answer")
        moving = await proof.settle(pool, shop.campaign, self._clock, _SETTLED_WITHIN_S)
        self._progress.say("nothing moves any more; comparing and certifying")
        certificate = await self._certify(pool)
        rows = await proof.rows_of(pool, shop.campaign, self._mark)
        found = proof.compare(rows, sale.seen, self._demand)
        if moving:
            found.faults.append(f"{moving} holds, payments or returns never settled")
        found.fulfilled = fulfilled
        found.markets = await recorded.compare(pool, self._feeds, shop.campaign, certificate)
        return self._judge(sale, found, selling.result(), certificate), certificate

    def _judge(
        self, sale: Sale, found: proof.Recorded, oversold: Oversold, certificate: Certificate
    ) -> Summary:
        return summary.summarise(
            self._demand, sale.seen, found, oversold, certificate, self._progress.elapsed_s
        )

    async def _certify(self, pool: Pool) -> Certificate:
        redis = cell.client(self._settings.valkey_url or "")
        try:
            one = Cell(redis, CellId(self._settings.cell), self._clock)
            return await certify(one, pool, self._clock, within_s=_CERTIFIED_WITHIN_S)
        except (Closed, OutcomeUnknown) as error:
            raise EngineError(
                f"no certificate: {error.detail}; the worker's log in the data directory says why"
                " (run without --ephemeral to keep it)"
            ) from error
        finally:
            await redis.aclose()

    async def _oversell(self, sale: Sale) -> Oversold:
        """Run the naive script while the last buyers pay or let their time pass."""
        await sale.all_came.wait()
        self._progress.say("all buyers came; beside them the same demand by read, then write")
        oversold = await naive.sell(self._settings.valkey_url or "", self._demand)
        self._progress.say(f"the naive script sold {oversold.oversold:,} units that were not there")
        return oversold

    async def _tell(self, sale: Sale) -> None:
        while True:
            seen = sale.seen
            self._progress.counts(
                {
                    "orders": f"{seen.counts['orders']:,} of {len(self._demand.orders):,}",
                    "accepted": f"{len(seen.orders):,}",
                    "refused": f"{seen.refused.total():,}",
                    "replayed": f"{seen.counts['replayed']:,}",
                    "retries": f"{seen.counts['retries']:,}",
                    "paid": f"{seen.counts['payments applied']:,}",
                    "cancels": f"{seen.counts['cancels']:,}",
                    "synced": f"{sum(feed.counts['snapshots'] for feed in self._feeds):,}",
                }
            )
            await asyncio.sleep(_SHOW_EVERY_S)

    async def _kill(self, sale: Sale) -> None:
        """Kill Valkey once in the middle, and say how long nothing was accepted."""
        if _VALKEY not in self._supervisor.names():
            self._progress.say("this Valkey is not ours: it is not killed")
            return
        seen, enough = sale.seen, len(self._demand.orders) * _KILL_AT
        while seen.counts["orders"] < enough:  # noqa: ASYNC110 - the counts are the sale's, not ours
            await asyncio.sleep(_SHOW_EVERY_S / 10)
        self._progress.say("kill -9 of Valkey, in the middle of the sale")
        seen.killed_at = self._clock.monotonic()
        await asyncio.to_thread(self._supervisor.kill, _VALKEY)
        while not seen.resumed_at:  # noqa: ASYNC110 - as above
            await asyncio.sleep(_SHOW_EVERY_S / 10)
        self._progress.say(f"orders are accepted again {seen.interruption_s:.2f} s after the kill")
