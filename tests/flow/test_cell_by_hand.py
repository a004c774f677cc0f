"""`tidegate cell`: a person closes the cell, looks at it, opens it again, or is told why not."""

import asyncio
import os
import subprocess
import sys

import msgspec
import pytest

from engine import settings as settings_of
from engine.infra import keys
from engine.infra.servers import ports
from tests.fault.engines import certificate, id_of, open_sale
from tests.flow.test_opening import CELL, log_cut, opens, pool_wrong, readyz, restart, tamper
from tests.lua.builders import AVAILABLE, GRANTED

BECAUSE = ("--reason", "the disk was full")


@pytest.fixture
async def api(here):
    one = await here.api()
    await open_sale(one, A=100)
    for number in ("1", "2"):
        assert (await one.buy(number)).status == 202
    await one.pay(id_of("2"), "p", 100)
    await certificate(one)
    return one


@pytest.fixture
def cell(settings):
    async def command(*words):
        environment = {**os.environ, **settings_of.environment(settings)}
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "engine", "cell", *words],
            env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    return command


async def test_it_is_closed_on_purpose_and_opened_again(api, cell, pg, eventually):
    status, told = await cell("close", *BECAUSE)
    assert (status, "stays so until `tidegate cell open --reason TEXT`" in told) == (0, True)
    assert (await api.buy("3")).code == "closed"
    reason = "closed by hand: the disk was full"
    assert await readyz(api) == (503, f"the cell is closed: {reason}")
    await restart(api.cell.redis)  # what opens any other cell
    status, told = await cell("show", "--json")
    shown = msgspec.json.decode(told)
    assert (status, shown["phase"], shown["reason"]) == (1, "closed", reason)
    assert "tidegate cell open --reason TEXT" in shown["next"]
    assert (await cell("close", *BECAUSE)) == (1, f"the cell is not open: {reason}\n")

    status, told = await cell("open", "--reason", "a larger disk")
    assert status == 0, told
    assert "its pools are as Postgres has them" in told
    await eventually(lambda: opens(api))
    assert (await api.buy("3")).status == 202
    assert (await cell("open", *BECAUSE)) == (0, "the cell is open\n")
    assert (await cell("show"))[0] == 0
    rows = await pg.fetch(
        "SELECT kind, actor, data ->> 'reason' AS reason, data ->> 'closed_reason' AS was"
        " FROM events WHERE kind LIKE 'cell%' ORDER BY id"
    )
    assert [tuple(row) for row in rows] == [
        ("cell_closed", "operator", "the disk was full", ""),
        ("cell_opened", "operator", "a larger disk", reason),
    ]
    await certificate(api)


async def test_after_a_failed_write_it_is_made_anew(api, cell, eventually):
    """What the log told of and the cell could not write would be missing for ever."""
    order = keys.of("1", "holds")
    await api.cell.redis.hset(CELL, mapping={"phase": "closed", "reason": "a write failed: OOM"})
    await api.cell.redis.hdel(order, id_of("1"))
    status, told = await cell("open", *BECAUSE)
    assert (status, "repeat it with --rebuild" in told) == (1, True)
    assert (await api.buy("3")).code == "closed"
    status, told = await cell("open", "--rebuild", *BECAUSE)
    assert status == 0, told
    assert await api.cell.redis.hexists(order, id_of("1"))
    await eventually(lambda: opens(api))
    assert (await api.buy("1")).status == 200
    assert (await api.buy("3")).status == 202
    await certificate(api)


@pytest.mark.parametrize(
    ("sabotage", "sentence"),
    [
        (log_cut, "restore a Postgres that has recorded up to"),
        (pool_wrong, "pools do not add up in the cell"),
    ],
)
async def test_what_is_not_right_stays_closed(api, cell, pg, sabotage, sentence):
    await cell("close", *BECAUSE)
    await sabotage(api.cell.redis, pg)
    status, told = await cell("open", *BECAUSE)
    assert (status, sentence in told) == (1, True), told
    assert (await api.buy("3")).code == "closed"
    assert sentence in (await cell("show"))[1]


async def test_one_that_differs_from_postgres_is_closed_again_and_rebuilt(api, cell, eventually):
    await cell("close", *BECAUSE)
    await tamper(api.cell.redis, GRANTED, AVAILABLE)
    status, told = await cell("open", *BECAUSE)
    assert (status, "closed again: cell and Postgres differ about A mall" in told) == (1, True)
    assert "repeat it with --rebuild" in told
    status, told = await cell("open", "--rebuild", *BECAUSE)
    assert status == 0, told
    await eventually(lambda: opens(api))
    await certificate(api)


async def test_orders_that_are_not_recorded_survive_a_rebuild_by_hand(
    here, api, cell, pg, eventually
):
    """Whoever records them is away when it is closed; it is waited for."""
    await here.stop("worker")
    assert (await api.buy("3")).status == 202
    assert await pg.fetchval("SELECT count(*) FROM orders") == 2
    await cell("close", *BECAUSE)
    opening = asyncio.create_task(cell("open", "--rebuild", *BECAUSE))
    await here.worker()
    status, told = await opening
    assert status == 0, told
    await eventually(lambda: opens(api))
    assert (await api.buy("3")).status == 200
    await certificate(api)


@pytest.mark.parametrize("reason", ["", " ", "two\nlines", "x" * 257])
async def test_without_a_reason_nothing_is_done(api, cell, reason):
    status, told = await cell("close", "--reason", reason)
    assert (status, told) == (1, "--reason must be 1 to 256 characters, in one line\n")
    assert (await api.buy("3")).status == 202


async def test_a_cell_that_is_away_is_told(cell, servers, eventually):
    servers.kill("valkey", restart=False)
    try:
        status, told = await cell("show")
        assert status in {1, 3}
        assert told.strip()
    finally:
        servers.start_again("valkey")
        url = servers.settings.valkey_url
        await eventually(lambda: ports.valkey_answers(url), within_s=20)  # the next test asks it
