"""Composition root: settings become a process; the only place where things are built.

An API process takes requests; a worker records, sweeps, publishes and keeps cells open. Both end
when one of their loops does: whoever started them starts them again.
"""

import asyncio
import gc
import platform
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import version
from typing import Final

import asyncpg
import msgspec
import structlog
import uvloop
from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine import worker
from engine.aftersales import api as aftersales
from engine.aftersales.addresses import Addresses
from engine.aftersales.service import Aftersales
from engine.alerts import api as alerts
from engine.assurance import api as assurance
from engine.assurance import command as cell_by_hand
from engine.assurance import keeper, letters, report
from engine.assurance import measuring as cell_measures
from engine.assurance.reconciling import store as drifts
from engine.assurance.reconciling.command import reconcile as reconcile_by_hand
from engine.assurance.restorer import Restorer
from engine.campaigns import api as campaigns
from engine.carriers import api as carriers
from engine.catalogue import api as catalogue
from engine.catalogue.registry import BUNDLES, Bundles
from engine.channels import api as channels
from engine.channels.registry import Registry
from engine.desk import api as desk
from engine.desk import command as desk_by_hand
from engine.desk.service import reading as desk_measures
from engine.desk.service.remedying import Hands
from engine.desk.types import RemedyIn
from engine.elastic import api as elastic
from engine.explanations import api as explanations
from engine.explanations import service as explaining
from engine.explanations.waterfall import waterfall
from engine.infra import cell, logs, metrics, migrate, postgres, preflight
from engine.infra.cell import Cell
from engine.infra.http import fast, health, keys, openapi, ready, server, tracing
from engine.infra.http.admission import ADMISSION, Admission
from engine.infra.http.auth import ADMIN, Directory, Principal, ensure_admin_key
from engine.infra.http.openapi import Operation
from engine.infra.http.request import Request
from engine.infra.http.runner import Runner
from engine.infra.http.sampling import SAMPLE
from engine.infra.meters import lag
from engine.infra.meters import socket as metrics_socket
from engine.infra.meters.measured import Measured, Reading, seldom
from engine.infra.postgres import Pool
from engine.infra.runtime import RUNTIME, Runtime
from engine.infra.spans import Spans
from engine.inventory import api as inventory
from engine.inventory.service import planning
from engine.kernel import codec, limits
from engine.kernel.clock import SystemClock
from engine.kernel.errors import Misconfigured, NotFound
from engine.kernel.ids import token
from engine.kernel.types import CellId, OrderId, Tenant
from engine.listings import api as listings
from engine.listings.registry import LISTINGS, Listings
from engine.logical import api as logical
from engine.logistics import api as logistics
from engine.logistics.service import measuring as logistics_measures
from engine.orders import api as orders
from engine.orders.recall import recall_holds
from engine.orders.service import Orders, last_id, recall
from engine.orders.service import measuring as orders_measures
from engine.orders.views import Reader
from engine.physical import api as physical
from engine.places import api as places
from engine.publications import api as publications
from engine.reservation import api as reservation
from engine.reservation.recorded import Recorded
from engine.reservation.service import Reservations
from engine.review import api as review
from engine.routing.api import plans as routing_plans
from engine.routing.api import reading as routing
from engine.routing.api import waiting as routing_waiting
from engine.routing.following import followed, happenings
from engine.routing.service import measuring as routing_measures
from engine.routing.service.reading import whole as routed
from engine.settings import Settings
from engine.shipments import api as shipments
from engine.snapshots import api as snapshots
from engine.webhooks import api as webhooks
from engine.webhooks.service import describing
from engine.webhooks.service import measuring as webhook_measures
from engine.wms import api as wms
from engine.wms.service import measuring as wms_measures
from engine.worker import Loop

_NO_POSTGRES: Final[tuple[type[Exception], ...]] = (*postgres.UNAVAILABLE, asyncpg.PostgresError)
_KEEPALIVE_S: Final = 75.0
_BLOCKS_EVERY_S: Final = 15.0  # of 200,000 blocks 50 ms, of promises of 300,000 orders 300
_PROMISES_EVERY_S: Final = 60.0
_MEASURED: Final = web.AppKey("measured", Measured)
_COLLECT_AFTER: Final = 50_000  # allocations; Python's own 700 is a few requests
_SLICES: Final = (
    channels,
    catalogue,
    listings,
    campaigns,
    physical,
    places,
    logical,
    inventory,
    publications,
    elastic,
    explanations,
    alerts,
    reservation,
    snapshots,
    shipments,
    orders,
    aftersales,
    review,
    carriers,
    routing_plans,
    routing,
    routing_waiting,
    logistics,
    wms,
    webhooks,
    assurance,
    desk,
    keys,
)
OPERATIONS: Final[list[Operation]] = [one for each in _SLICES for one in each.OPERATIONS]
_logger: Final = structlog.get_logger()


def run_api(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, then answer what has been accepted and end."""
    return uvloop.run(_api(settings))


def run_worker(settings: Settings, roles: Sequence[str]) -> int:
    """Work until SIGTERM or SIGINT; without roles all of them."""
    return uvloop.run(_worker(settings, roles))


def verify(settings: Settings, as_json: bool) -> int:  # noqa: FBT001 - as the command has it
    """Write a certificate; 0 only if it holds."""

    async def prove() -> int:
        async with runtime(settings, "verify") as process:
            certificate = await report.certify(process)
            report.show(certificate, as_json=as_json)
            return 0 if certificate.holds else 1

    return uvloop.run(prove())


def reconcile(
    settings: Settings, *, dry_run: bool, as_json: bool, say: Callable[[str], None]
) -> int:
    """Compare all that must agree, once; 0 only if nothing is left open."""

    async def compare() -> int:
        logs.configure("error", "reconcile")  # what it finds is its output
        async with runtime(settings, "reconcile") as process:
            return await reconcile_by_hand(process, dry_run=dry_run, as_json=as_json, say=say)

    return uvloop.run(compare())


def cell_show(settings: Settings, *, as_json: bool) -> int:
    """Say how the cell stands; 0 only if it is open."""
    return _by_hand(settings, lambda process: cell_by_hand.show(process, as_json=as_json))


def cell_close(settings: Settings, reason: str, say: Callable[[str], None]) -> int:
    """Close the cell on purpose; 0 if it was open."""
    return _by_hand(settings, lambda process: cell_by_hand.close(process, reason, say))


def cell_open(settings: Settings, reason: str, say: Callable[[str], None], *, rebuild: bool) -> int:
    """Open a cell that stays closed; 0 only if it is open then."""
    return _by_hand(
        settings,
        lambda process: cell_by_hand.open_again(process, reason, say, rebuild=rebuild),
    )


def _by_hand(settings: Settings, act: Callable[[Runtime], Awaitable[int]]) -> int:
    async def run() -> int:
        logs.configure("error", "cell")  # what comes of it is its output
        async with runtime(settings, "cell") as process:
            return await act(process)

    return uvloop.run(run())


def order_show(settings: Settings, order_id: str) -> int:
    """Print one order as JSON; 1 when there is none."""

    async def show() -> int:
        async with runtime(settings, "order-show") as process:
            assert isinstance(process.cell, Cell)
            await process.cell.refresh()
            reservations = Reservations(process.cell)
            found = await Reader(reservations, process.pool).order(OrderId(order_id))
            print(codec.encode(found or {"error": "no such order"}).decode())  # noqa: T201 - its output
            return 0 if found else 1

    return uvloop.run(show())


def order_explain(settings: Settings, order_id: str, *, as_json: bool) -> int:
    """Print how an order came to where it is, and why from there; 1 when there is none."""

    async def explain() -> int:
        async with runtime(settings, "order-explain") as process:
            assert isinstance(process.cell, Cell)
            await process.cell.refresh()
            shown = await Reader(Reservations(process.cell), process.pool).order(OrderId(order_id))
            if shown is None:
                print("no such order", file=sys.stderr)  # noqa: T201 - its output
                return 1
            told = await routed(process.pool, Tenant(shown["tenant"]), order_id)
            told = msgspec.to_builtins(told)
            if as_json:
                happened = [one._asdict() for one in happenings(shown, told)]
                answer = {"order_id": order_id, "status": shown["status"], "happened": happened}
                print(codec.encode(answer | {"routing": told}).decode())  # noqa: T201 - its output
            else:
                print("\n".join(followed(shown, told)))  # noqa: T201 - its output
            return 0

    return uvloop.run(explain())


def stock_explain(settings: Settings, sku: str, channel: str, as_json: bool) -> int:  # noqa: FBT001 - as the command has it
    """Print why as many of a SKU are for sale as are; 1 when there is no such SKU."""

    async def show() -> int:
        async with runtime(settings, "stock-explain") as process:
            tenant = Tenant(settings.tenant)
            try:
                view = await explaining.explain(process, tenant, sku, channel)
            except NotFound as refusal:
                print(refusal.detail, file=sys.stderr)  # noqa: T201 - its output
                return 1
            text = codec.encode(view).decode() if as_json else "\n".join(waterfall(view))
            print(text)  # noqa: T201 - its output
            return 0

    return uvloop.run(show())


def dead_letters(settings: Settings, queue: str, *, as_json: bool) -> int:
    """Print what was given up."""

    async def show() -> int:
        async with _pool(settings) as pool:
            found = await letters.listed(
                pool, Tenant(settings.tenant), settings.cell, SystemClock().now_ms(), queue=queue,
                limit=limits.PAGE_MAX,
            )  # fmt: skip
        text = codec.encode(found).decode() if as_json else "\n".join(letters.lines(found))
        if text:
            print(text)  # noqa: T201 - its output
        return 0

    return uvloop.run(show())


def retry_letters(settings: Settings, letter: str, queue: str, say: Callable[[str], None]) -> int:
    """Try one call again, or those of a queue; 0 if there was any."""

    async def again() -> int:
        async with _pool(settings) as pool:
            tenant, actor = Tenant(settings.tenant), "operator"
            if letter:
                return await letters.retry(pool, tenant, letter, actor)
            return await letters.retry_queue(pool, tenant, queue, actor)

    done = uvloop.run(again())
    say(f"tried again: {done}")
    return 0 if done else 1


def settle_letter(settings: Settings, letter: str, reason: str, say: Callable[[str], None]) -> int:
    """Note that one entry is settled, and return 0."""

    async def settle() -> None:
        async with _pool(settings) as pool:
            await letters.settle(pool, settings.cell, letter, reason, "operator")

    uvloop.run(settle())
    say(f"settled: {letter}")
    return 0


def exceptions_list(settings: Settings, asked: desk_by_hand.Asked, *, as_json: bool) -> int:
    """Print what waits for a person, the most urgent first."""
    return _by_hand(settings, lambda process: desk_by_hand.listed(process, asked, as_json=as_json))


def exceptions_summary(settings: Settings, *, as_json: bool) -> int:
    """Print how much waits for a person, by code and channel."""
    return _by_hand(settings, lambda process: desk_by_hand.summary(process, as_json=as_json))


def exceptions_remedy(settings: Settings, asked: RemedyIn, *, as_json: bool) -> int:
    """Do a remedy of many, or say what it would touch; 1 if one of them could not be done."""

    async def act(process: Runtime) -> int:
        assert isinstance(process.cell, Cell)
        await process.cell.refresh()
        reservations, clock = Reservations(process.cell), process.clock
        of = (reservations, process.pool, clock, settings.cell)
        principal = Principal("operator", Tenant(settings.tenant), frozenset({ADMIN}))
        hands = Hands(process, Orders(*of), Aftersales(*of), principal)
        return await desk_by_hand.remedy(hands, asked, as_json=as_json)

    return _by_hand(settings, act)


def document() -> dict[str, object]:
    """Return the API's OpenAPI document."""
    return openapi.document(OPERATIONS, version("tidegate"), webhooks.TOLD)


@cache
def _description() -> list[web.RouteDef]:
    """Return what shows the document, made once a process."""
    return openapi.routes(OPERATIONS, version("tidegate"), webhooks.TOLD)


def openapi_document() -> bytes:
    """Return the OpenAPI document as it stands in the tree."""
    return codec.encode_pretty(document())


def asyncapi_document() -> bytes:
    """Return the AsyncAPI document of what webhooks are told."""
    return codec.encode_pretty(describing.document(version("tidegate")))


async def keys_create(settings: Settings, new: keys.NewKey) -> str:
    """Make a key and return its text, which is never shown again."""
    async with _pool(settings) as pool:
        return (await keys.create(pool, Tenant(settings.tenant), new)).key


async def keys_revoke(settings: Settings, key_id: str) -> None:
    """End a key."""
    async with _pool(settings) as pool:
        await keys.revoke(pool, Tenant(settings.tenant), key_id)


async def keys_list(settings: Settings) -> list[keys.KeyView]:
    """Return all keys without their secrets."""
    async with _pool(settings) as pool:
        return await keys.listed(pool, Tenant(settings.tenant), "", limits.PAGE_MAX)


@asynccontextmanager
async def runtime(settings: Settings, name: str) -> AsyncIterator[Runtime]:
    """Open what a process needs, after the servers were found to be as the profile promises.

    Raises:
        Misconfigured: what to set, a sentence each.
    """
    if settings.database_url is None or settings.valkey_url is None:
        raise Misconfigured("TIDEGATE_DATABASE_URL and TIDEGATE_VALKEY_URL must be set")
    clock = SystemClock()
    redis = cell.client(settings.valkey_url)
    try:
        async with _pool(settings) as pool:
            await _preflight(settings, redis)
            replicated = settings.durability == "replica"
            one = Cell(redis, CellId(settings.cell), clock, replicated=replicated)
            await keeper.require_own(one, pool)
            async with _spans(settings, name) as spans:
                yield Runtime(
                    settings=settings, clock=clock, pool=pool, cell=one, process=name, spans=spans
                )
    finally:
        await redis.aclose()


@asynccontextmanager
async def _pool(settings: Settings) -> AsyncIterator[Pool]:
    pool = await postgres.open_pool(settings.database_url or "")
    try:
        yield pool
    finally:
        pool.terminate()


@asynccontextmanager
async def _spans(settings: Settings, name: str) -> AsyncIterator[Spans | None]:
    spans = Spans(settings.otlp_url, name) if settings.otlp_url else None
    try:
        yield spans
    finally:
        if spans is not None:
            await asyncio.to_thread(spans.close)


async def _preflight(settings: Settings, redis: Redis) -> None:
    try:
        connection = await postgres.connect(settings.database_url or "")
    except _NO_POSTGRES as away:
        told = f"no Postgres lets us in there: {str(away) or type(away).__name__}"
        raise Misconfigured(f"TIDEGATE_DATABASE_URL: {told}") from away
    try:
        try:
            findings = await preflight.check(connection, redis, settings.durability)
        except RedisError as away:
            raise Misconfigured(f"TIDEGATE_VALKEY_URL: no Valkey answers there: {away}") from away
        preflight.refuse(findings)
        await migrate.require_head(connection)
        await keeper.make_cell(connection, settings.cell, token())
    finally:
        await connection.close(timeout=2)


async def _api(settings: Settings) -> int:
    name = settings.process_name or f"api-{token(4)}"
    logs.configure(settings.log_level, name)
    # a slot's name is used again after a restart; its lease must not be
    SAMPLE.every = settings.log_every
    async with runtime(settings, f"{name}-{token(4)}") as process:
        application, loops, restorer = await build_api(process)
        loops += _measuring(process, application[_MEASURED])
        runner = Runner(
            application, access_log=None, keepalive_timeout=_KEEPALIVE_S, handle_signals=False
        )
        await runner.setup()
        _put_in_front(runner, application)
        await restorer.start()
        site = web.TCPSite(
            runner, settings.http_host, settings.http_port, backlog=limits.LISTEN_BACKLOG,
            reuse_port=True, shutdown_timeout=settings.drain_seconds,
        )  # fmt: skip

        async def serve(stopped: asyncio.Event) -> None:
            await site.start()
            _logger.info("api_up", port=settings.http_port)
            await stopped.wait()
            application[ADMISSION].end()
            await runner.drain()
            await runner.cleanup()
            await restorer.end()

        await until_stopped(serve, loops)
    return 0


def _put_in_front(runner: web.AppRunner, application: web.Application) -> None:
    """Let the hot routes be answered before the application is asked."""
    serving = runner.server
    assert isinstance(serving, web.Server)

    async def order(request: Request) -> fast.Answer:
        return await reservation.order(application, request)

    async def pay(order_id: str, request: Request) -> fast.Answer:
        return await orders.pay(application, OrderId(order_id), request)

    spans, ordinary = application[RUNTIME].spans, serving.request_handler
    first = order if spans is None else tracing.traced(spans, "POST /v1/orders", order)
    serving.request_handler = fast.Front(
        "POST", "/v1/orders", first, ordinary, {"payments": pay}, application[ADMISSION]
    )


async def build_api(process: Runtime) -> tuple[web.Application, list[Loop], Restorer]:
    """Put an API process together: its application, the loops it needs, and its lease."""
    one, clock, pool, settings = process.cell, process.clock, process.pool, process.settings
    assert isinstance(one, Cell)
    if settings.admin_key is not None:
        async with pool.acquire() as connection:
            await ensure_admin_key(connection, settings.admin_key, Tenant(settings.tenant))
    directory, registry = Directory(pool, clock), Registry(pool, clock)
    admission = Admission()
    reservations = Reservations(one, admission.sent)
    recorded = Recorded(reservations.kept, lambda: _passed(reservations, pool, settings.cell))
    restorer = Restorer(one, pool, reservations, clock, process.process)
    routes = [route for each in _SLICES for route in each.routes()]
    measured = Measured(pool, clock, _readings(process, one))
    application = server.build(
        process,
        directory,
        [*routes, *_description()],
        {
            "cell": lambda: ready.cell_missing(one, pool),
            "postgres": lambda: ready.postgres_missing(pool),
            "batches": lambda: ready.batches_missing(reservations.batchers),
            "process": admission.missing,
        },
        {
            "documents": lambda: planning.noted(process),
            "drifts": lambda: drifts.unsafe(pool, settings.cell),
        },
        measured,
    )  # fmt: skip
    if process.spans is not None:
        application.middlewares.append(tracing.middleware(process.spans))
    application[_MEASURED] = measured
    application[ADMISSION] = admission
    application[reservation.RESERVATIONS] = reservations
    application[reservation.REGISTRY] = registry
    application[LISTINGS] = mapped = Listings(pool, clock)
    application[BUNDLES] = sets = Bundles(pool, clock)
    application[reservation.RECORDED] = recorded
    application[orders.ORDERS] = Orders(reservations, pool, clock, settings.cell)
    application[reservation.RECALL] = lambda claim: recall(pool, claim)
    application[aftersales.ADDRESSES] = Addresses(reservations, pool, clock, settings.cell)
    application[aftersales.AFTERSALES] = Aftersales(reservations, pool, clock, settings.cell)
    application[snapshots.RECALL_HOLDS] = lambda order_ids: recall_holds(pool, order_ids)
    application[orders.READER] = Reader(reservations, pool)
    loops: list[Loop] = [
        directory.run, registry.run, mapped.run, sets.run, reservations.run, recorded.run,
        restorer.run,
    ]  # fmt: skip
    return application, loops, restorer


def _readings(process: Runtime, one: Cell) -> list[Reading]:
    """Return what reads the facts, one slice after the other."""
    tenant = Tenant(process.settings.tenant)
    return [
        lambda pool: routing_measures.read(pool, tenant),
        lambda pool: logistics_measures.read(pool, tenant),
        lambda pool: wms_measures.read(pool, tenant),
        lambda pool: webhook_measures.read(pool, tenant),
        lambda _: cell_measures.of_cell(one),
        lambda pool: cell_measures.of_log(pool, one),
        lambda pool: cell_measures.of_pools(pool, tenant),
        lambda pool: cell_measures.of_trust(pool, one, tenant),
        seldom(orders_measures.of_orders, _BLOCKS_EVERY_S, process.clock),
        seldom(
            lambda pool: orders_measures.of_promises(pool, tenant),
            _PROMISES_EVERY_S, process.clock,
        ),
        seldom(
            lambda pool: desk_measures.measures(pool, tenant), _BLOCKS_EVERY_S, process.clock
        ),
    ]  # fmt: skip


async def _worker(settings: Settings, roles: Sequence[str]) -> int:
    name = f"{settings.process_name or 'worker'}-{token(4)}"
    logs.configure(settings.log_level, name)
    async with runtime(settings, name) as process:
        loops = [*worker.loops(process, roles), *_measuring(process)]
        if settings.metrics_port:
            loops.append(lambda: watched(settings))

        async def wait(stopped: asyncio.Event) -> None:
            _logger.info("worker_up", roles=list(roles) or "all")
            await stopped.wait()

        await until_stopped(wait, loops)
    return 0


def _measuring(process: Runtime, measured: Measured | None = None) -> list[Loop]:
    """Return what measures a process while it runs, and tells its supervisor if it has one."""
    made_of = version("tidegate"), platform.python_version()
    metrics.BUILD_INFO.reads(lambda: {made_of: 1})
    path = process.settings.metrics_socket
    if path is None:
        return [lag.watch]
    return [lag.watch, lambda: metrics_socket.tell(path, process.process, measured)]


async def watched(settings: Settings) -> None:
    """Show what this worker counts; one that finds its port taken works on without."""
    application = web.Application()
    application.add_routes(health.routes({}))
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.http_host, settings.metrics_port).start()
        _logger.info("metrics_up", port=settings.metrics_port)
    except OSError as taken:
        _logger.warning("metrics_missing", port=settings.metrics_port, reason=type(taken).__name__)
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def calm_collector() -> None:
    """Leave what was built at start out of every collection, and collect what is new less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 50)


async def until_stopped(
    main: Callable[[asyncio.Event], Awaitable[None]], loops: Sequence[Loop]
) -> None:
    """Run loops beside `main`, whose event is set by SIGTERM or SIGINT; then cancel the loops."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    calm_collector()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_forever(loop)) for loop in loops]
        await main(stopped)
        for task in running:
            task.cancel()


async def _forever(loop: Loop) -> None:
    await loop()


async def _passed(reservations: Reservations, pool: Pool, cell_id: str) -> str | None:
    """Return how far Postgres has come in the log that this process' claims stand in."""
    async with pool.acquire() as connection:
        passed = await last_id(connection, cell_id)
    return passed if await reservations.same_log() else None
