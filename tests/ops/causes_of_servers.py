"""Troubles of processes, servers and clients; each ends by what its runbook tells."""

import asyncio
import resource
import shutil
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import asyncpg

from engine.infra.servers.valkey import NAME as VALKEY
from engine.kernel.limits import KEPT_CLAIMS_MAX, ORDERS_PER_BATCH_MAX
from tests.conftest import eventually
from tests.fault.engines import an_order
from tests.fault.losses import start_postgres, stop_postgres
from tests.ops.instance import API, UNANSWERED, WORKER, meanwhile

FSYNC_S, FSYNC_WORSE_S = 0.3, 0.8
JUNK, JUNK_BYTES, JUNK_KEYS = "somebody-else", 1 << 20, 64
FULL, DESCRIPTORS, CONNECTIONS = 0.97, 0.85, 0.9
RULES, RULES_ROUTE = "review_rules", "/v1/review-rules"  # no metric is read of them
ALERTS = "stock_alerts"
LOCKED_S, BREATH_S, READERS = 2.0, 0.3, 60
STANDS_S = 0.6
UP = "worker_up"


@asynccontextmanager
async def worker_stands(on):
    async with on.stopped(WORKER), meanwhile(on.order, 0.2):
        yield


@asynccontextmanager
async def api_stands(on):
    async with on.stopped(API):
        yield


@asynccontextmanager
async def api_stands_at_times(on):
    async def stand():
        async with on.stopped(API):
            await asyncio.sleep(STANDS_S)

    async with meanwhile(stand, 3 * STANDS_S):
        yield


@asynccontextmanager
async def worker_dies_again_and_again(on):
    async def die():
        if on.supervisor.pid_of(WORKER) is not None:
            on.supervisor.kill(WORKER)

    ups = on.supervisor.log_of(WORKER).count(UP)
    async with meanwhile(die, 0.05):
        yield
    await eventually(lambda: on.supervisor.log_of(WORKER).count(UP) > ups, within_s=20)


@asynccontextmanager
async def postgres_is_gone(on):
    await on.off(stop_postgres, on.supervisor)
    try:
        yield
    finally:
        await on.off(start_postgres, on.supervisor)
        await on.ready()


@asynccontextmanager
async def valkey_is_gone(on):
    on.supervisor.kill(VALKEY, restart=False)
    try:
        async with meanwhile(on.order, 0.1):
            yield
    finally:
        await on.off(on.supervisor.start_again, VALKEY)
        await on.ready()


@asynccontextmanager
async def valkey_is_nearly_full(on):
    """Somebody else writes to it, and it may have little more than that."""
    async with on.valkey() as client:
        before = (await client.config_get("maxmemory"))["maxmemory"]
        keys = [f"{JUNK}:{n}" for n in range(JUNK_KEYS)]
        for key in keys:
            await client.set(key, bytes(JUNK_BYTES))
        used = (await client.info("memory"))["used_memory"]
        await client.config_set("maxmemory", int(used / FULL))
        try:
            yield
        finally:
            await client.config_set("maxmemory", before)
            await client.delete(*keys)


@asynccontextmanager
async def _fsync_takes(on, seconds, every_s):
    """Let the disk of the cell's server be so slow, and an order come so often."""
    assert shutil.which("strace"), "strace is not installed: it makes a disk slow"
    calls = "fdatasync,fsync"
    strace = await asyncio.create_subprocess_exec(
        "strace", "-f", "-e", f"trace={calls}", "-e",
        f"inject={calls}:delay_enter={seconds * 1e6:.0f}", "-p",
        str(on.supervisor.pid_of(VALKEY)), "-o", "/dev/null", stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with meanwhile(on.order, every_s):
            yield
    finally:
        strace.terminate()
        await strace.wait()


def disk_is_slow(on):
    return _fsync_takes(on, FSYNC_S, 1.0)


def disk_is_slow_in_a_sale(on):
    return _fsync_takes(on, FSYNC_WORSE_S, 0.05)


@asynccontextmanager
async def nobody_records(on):
    """The worker stands, and shops order by the hundred."""

    async def batch(first):
        orders = [an_order(f"kept-{first + n}") for n in range(ORDERS_PER_BATCH_MAX)]
        return await on.api.call("POST", "/v1/orders:batch", {"orders": orders})

    async with on.stopped(WORKER):
        for first in range(0, KEPT_CLAIMS_MAX * 3 // 4, ORDERS_PER_BATCH_MAX):
            assert (await batch(first)).status == 200
        yield


@asynccontextmanager
async def a_lock_stays(on, table):
    """A migration, say, that waits for somebody while it has its lock."""
    connection = await asyncpg.connect(on.settings.database_url)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def a_role_waits_for_a_lock(on):
    async with a_lock_stays(on, ALERTS):
        yield


@asynccontextmanager
async def requests_wait_for_a_lock(on):
    """A lock that comes again and again, and more readers than there are connections."""

    async def read():
        with suppress(*UNANSWERED):
            await on.api.call("GET", RULES_ROUTE)

    async def lock():
        async with a_lock_stays(on, RULES):
            await asyncio.sleep(LOCKED_S)

    async with (
        meanwhile(lock, LOCKED_S + BREATH_S),
        meanwhile(read, LOCKED_S / READERS),
    ):
        yield


@asynccontextmanager
async def a_migration_is_half_done(on):
    await on.sql(f"ALTER TABLE {RULES} RENAME TO {RULES}_new")
    try:
        async with meanwhile(lambda: on.api.call("GET", RULES_ROUTE), 0.1):
            yield
    finally:
        await on.sql(f"ALTER TABLE {RULES}_new RENAME TO {RULES}")


@asynccontextmanager
async def a_shop_asks_too_often(on):
    body = {"name": "eager", "scopes": ["orders:read"], "rate_per_s": 1}
    key = await on.call("POST", "/v1/keys", body)
    named = {"Authorization": f"Bearer {key['key']}"}
    async with meanwhile(lambda: on.api.call("GET", "/v1/orders", **named), 0.05):
        yield


@asynccontextmanager
async def few_files_may_be_opened(on):
    pid = on.supervisor.pid_of(API)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (int(_opened(pid) / DESCRIPTORS), before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def _opened(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@asynccontextmanager
async def somebody_takes_connections(on):
    (row,) = await on.sql(
        "SELECT current_setting('max_connections')::int AS most, count(*) AS taken"
        " FROM pg_stat_activity WHERE backend_type = 'client backend'"
    )
    async with AsyncExitStack() as stack:
        for _ in range(int(row["most"] * CONNECTIONS) - row["taken"]):
            connection = await asyncpg.connect(on.settings.database_url)
            stack.push_async_callback(connection.close)
        yield
