"""Power loss: what was written and not yet on the disk is gone, and so are the API processes.

`kill -9` alone proves nothing here: the page cache survives it. So strace watches the cell's server
write and sync its append-only file, and after the kill the file is cut to its last synced
length. The recorder is held back, so that the file is all there is.
"""

import asyncio
import random
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest

from engine import settings as settings_of
from engine.infra.migrate import migrate
from engine.infra.servers.supervisor import Supervisor
from engine.simulation.drill.power import CannotWatch, Watch
from tests.fault.buyers import Buyers
from tests.fault.engines import ADMIN
from tests.fault.loop import Loop

PUT_BACK_S = 10.0
LOAD_S = 1.5  # longer than the second in which `everysec` syncs
WORST_S = 2.5  # and until it has not synced for long


async def lose_power(
    durability: str,
    out: Path,
    victims: Sequence[str] = ("valkey", "api-0", "api-1"),
    put_back_s: float = PUT_BACK_S,
) -> tuple[set[str], set[str], int]:
    """Return what was acknowledged, what of it is recorded after all, and how many bytes were cut.

    Orders by their number, payments by theirs: `o17` and `paid o17`.
    """
    asked = {
        "TIDEGATE_HTTP_PORT": "0",
        "TIDEGATE_ADMIN_KEY": ADMIN,
        "TIDEGATE_DURABILITY": durability,
    }
    settings = settings_of.load(asked)
    supervisor = Supervisor(settings, ephemeral=True, api_processes=2, workers=1)
    await asyncio.to_thread(supervisor.start)
    try:
        await migrate(supervisor.settings.database_url)
        supervisor.start_engine()
        await asyncio.to_thread(supervisor.wait_ready)
        return await _cut(supervisor, out, victims, put_back_s)
    finally:
        await asyncio.to_thread(supervisor.stop)


async def _cut(
    supervisor: Supervisor, out: Path, victims: Sequence[str], put_back_s: float
) -> tuple[set[str], set[str], int]:
    loop = Loop(supervisor, random.Random(11), stop_s=0)
    await loop.open_sale()
    supervisor.kill("worker-0", signal.SIGSTOP)
    try:
        watch = Watch(supervisor.pid_of("valkey"), out)
    except CannotWatch as error:
        pytest.skip(str(error))
    # a cancel that the cell forgets is nowhere else: its units may have been sold again, and then
    # the cell rightly stays closed when both orders are put back
    cancels = len(victims) > 1
    buyers = Buyers(supervisor.address, random.Random(12), prefix="o", cancels=cancels)
    load = asyncio.create_task(buyers.run(20))
    await asyncio.wait([load], timeout=LOAD_S)
    await asyncio.to_thread(watch.wait_worst, WORST_S)
    load.cancel()
    await asyncio.wait([load])
    assert load.cancelled()
    for name in victims:
        supervisor.kill(name, restart=False)
    acknowledged = {number for number, one in buyers.bought.items() if one.accepted}
    acknowledged |= {f"paid {number}" for number, one in buyers.bought.items() if one.paid}
    cut = await asyncio.to_thread(watch.cut)
    for name in victims:
        await asyncio.to_thread(supervisor.start_again, name)
    supervisor.kill("worker-0", signal.SIGCONT)
    await asyncio.to_thread(supervisor.wait_ready)
    await loop.recorded(await loop.accepted())
    assert await loop.reckoning(Buyers("", random.Random(0), prefix="nobody")) == []
    assert not buyers.strange
    deadline = time.monotonic() + put_back_s
    while True:  # what is booked again after the opening is recorded a moment later
        recorded = await _recorded(supervisor.settings.database_url)
        if acknowledged <= recorded or time.monotonic() > deadline:
            return acknowledged, recorded, cut
        await asyncio.sleep(0.1)


async def _recorded(database_url: str) -> set[str]:
    connection = await asyncpg.connect(database_url)
    try:
        orders = await connection.fetch("SELECT channel_order_id FROM orders")
        paid = await connection.fetch(
            "SELECT channel_order_id FROM orders JOIN payments AS p USING (order_id)"
            " WHERE p.state = 'applied' AND payment_state = 'paid'"
        )
    finally:
        await connection.close()
    return {row[0] for row in orders} | {f"paid {row[0]}" for row in paid}


needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed: it tells what was synced"
)


@needs_strace
async def test_control_with_everysec_acknowledged_orders_are_lost(tmp_path):
    """If this loses nothing, the test below proves nothing."""
    # nobody is left who could put anything back
    acknowledged, recorded, cut = await lose_power("memory", tmp_path / "calls", put_back_s=1.0)
    assert cut > 0
    lost = acknowledged - recorded
    print(f"everysec: {len(acknowledged)} acknowledged, {len(lost)} lost, {cut} bytes cut")  # noqa: T201
    assert lost


@needs_strace
async def test_with_always_no_acknowledged_order_is_lost(tmp_path):
    acknowledged, recorded, cut = await lose_power("fsync", tmp_path / "calls")
    print(f"always: {len(acknowledged)} acknowledged, {cut} bytes cut")  # noqa: T201
    assert len(acknowledged) > 100
    assert acknowledged <= recorded


@needs_strace
async def test_what_only_the_cell_lost_the_api_processes_put_back(tmp_path):
    """The disk of the cell forgets a second; the processes that said yes still know."""
    acknowledged, recorded, cut = await lose_power("memory", tmp_path / "calls", ["valkey"])
    assert cut > 0
    lost = acknowledged - recorded
    print(f"put back: {len(acknowledged)} acknowledged, {cut} bytes cut, {len(lost)} lost")  # noqa: T201
    assert not lost
