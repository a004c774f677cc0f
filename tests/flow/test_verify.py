"""The certificate is exact under load, and finds whatever does not agree."""

import asyncio
import os
import subprocess
import sys

import msgspec
import pytest

from engine import settings as settings_of
from engine.assurance import rules
from engine.assurance.verify import certify
from engine.infra import keys
from engine.kernel import codec
from engine.kernel.errors import Closed, NotFound, OutcomeUnknown
from tests.fault.engines import certificate, house, id_of, open_sale

POOLS = keys.of("1", "pools")


@pytest.fixture
async def here(settings):
    async with house(settings) as one:
        await one.worker("keeper", "sweeper", "publisher", "settler")
        await one.worker("recorder", name="recorder")
        yield one


async def certified(api, within_s=30):
    return await certify(api.cell, api.process.pool, api.process.clock, within_s=within_s)


async def test_under_load_every_certificate_is_exact(here):
    api = await here.api()
    await open_sale(api, A=2_000, B=2_000)
    done = asyncio.Event()

    async def buyer(n):
        turn = 0
        while not done.is_set():
            number = f"{n}-{turn}"
            answer = await api.buy(number, ("A", 1), ("B", 2))
            if answer.status == 202 and turn % 3 == 0:
                await api.pay(id_of(number), "p", 300)
            elif answer.status == 202 and turn % 3 == 1:
                await api.cancel(id_of(number), "c")
            turn += 1

    found = []
    async with asyncio.TaskGroup() as tasks:
        for n in range(8):
            tasks.create_task(buyer(n))
        while len(found) < 5:
            found += [await certified(api)]
        done.set()
    for one in found:
        assert one.holds, one.faults
        assert one.oversold_by_us == 0
        assert one.accepted == one.recorded_there
        assert [row.cell for row in one.pools] == [row.recorded for row in one.pools]
    accepted = [one.accepted for one in found]
    assert accepted == sorted(set(accepted)), "nothing was bought between two certificates"
    await certificate(api)


def take_away(table, condition):
    """Delete rows, and keep them aside to be put back."""
    return (
        f"WITH gone AS (DELETE FROM {table} WHERE {condition} RETURNING *)"  # noqa: S608 - ours
        f" INSERT INTO kept_{table} SELECT * FROM gone"
    )


# What is changed behind everybody's back, how it is put right again, and what must be said of it.
DRIFTS = {
    "a pool in Postgres": (
        "UPDATE pools SET available = available + 1, granted = granted + 1 WHERE sku = 'A'",
        "UPDATE pools SET available = available - 1, granted = granted - 1 WHERE sku = 'A'",
        ["the cell says (10, 0, 7, 2, 1), Postgres (11, 0, 8, 2, 1)", "its ledger sums to"],
    ),
    "a pool that no longer adds up": (
        "UPDATE pools SET sold = sold - 1 WHERE sku = 'A'",
        "UPDATE pools SET sold = sold + 1 WHERE sku = 'A'",
        ["does not add up in Postgres", "orders hold 2 and bought 1, the pool says 2 and 0"],
    ),
    "a row of the ledger changed": (
        "UPDATE ledger SET held = held + 1 WHERE kind = 'reserved' AND reference = '{1}'",
        "UPDATE ledger SET held = held - 1 WHERE kind = 'reserved' AND reference = '{1}'",
        ["its ledger sums to (10, 0, 7, 3, 1), its balance is (10, 0, 7, 2, 1)"],
    ),
    "a row of the ledger gone": (
        take_away("ledger", "kind = 'reserved' AND reference = '{1}'"),
        "INSERT INTO ledger SELECT * FROM kept_ledger",
        ["its ledger sums to (10, 0, 8, 1, 1)"],
    ),
    "an order gone": (
        take_away("orders", "order_id = '{1}'"),
        "INSERT INTO orders SELECT * FROM kept_orders",
        ["recorded 3, orders 2", "orders hold 1 and bought 1, the pool says 2 and 1"],
    ),
    "what an order drew": (
        "UPDATE orders SET draws = '[]' WHERE order_id = '{1}'",
        (
            "UPDATE orders SET draws = jsonb_build_array(jsonb_build_array(1, pools.pool_id, 1))"
            " FROM pools WHERE pools.sku = 'A' AND order_id = '{1}'"
        ),
        ["orders hold 1 and bought 1, the pool says 2 and 1"],
    ),
    "a payment gone": (
        take_away("payments", "true"),
        "INSERT INTO payments SELECT * FROM kept_payments",
        ["1 orders are paid without a payment"],
    ),
    "an order paid without anybody paying": (
        "UPDATE orders SET payment_state = 'paid' WHERE order_id = '{1}'",
        "UPDATE orders SET payment_state = 'unpaid' WHERE order_id = '{1}'",
        ["1 orders are paid without a payment", "orders hold 1 and bought 2"],
    ),
    "a payment whose order is unpaid": (
        "UPDATE orders SET payment_state = 'unpaid' WHERE order_id = '{2}'",
        "UPDATE orders SET payment_state = 'paid' WHERE order_id = '{2}'",
        ["1 payments are applied to orders that are not paid", "orders hold 3 and bought 0"],
    ),
    "claims that were recorded twice": (
        "UPDATE cells SET recorded = recorded + 1",
        "UPDATE cells SET recorded = recorded - 1",
        ["accepted 3, recorded 4", "recorded 4, orders 3"],
    ),
    "a pool only Postgres knows": (
        (
            "INSERT INTO pools (pool_id, cell, tenant, owner, sku, granted, available)"
            " VALUES ('x', '1', 'main', '', 'X', 1, 1)"
        ),
        "DELETE FROM pools WHERE pool_id = 'x'",
        ["pool x (X shared) is known to one side only"],
    ),
}


async def test_every_planted_drift_is_found_and_nothing_else(here, pg):
    api = await here.api()
    await open_sale(api, A=10)
    for number in ("1", "2", "3"):
        await api.buy(number)
    await api.pay(id_of("2"), "p", 100)
    await certificate(api)
    for table in ("ledger", "orders", "payments"):
        await pg.execute(f"CREATE TABLE kept_{table} (LIKE {table} INCLUDING DEFAULTS)")
    wrong = {}
    for name, (plant, mend, said) in DRIFTS.items():
        await pg.execute(plant.replace("{1}", id_of("1")).replace("{2}", id_of("2")))
        found = await certified(api)
        missing = [words for words in said if not any(words in fault for fault in found.faults)]
        if found.holds or missing or "BROKEN" not in rules.verdict(found):
            wrong[name] = (missing, found.faults)
        await pg.execute(mend.replace("{1}", id_of("1")).replace("{2}", id_of("2")))
        again = await certified(api)
        assert again.holds, (name, again.faults)
    assert wrong == {}


# Units added to (granted, owed, available, held, sold) of the only pool in the cell.
IN_THE_CELL = {
    "a unit too many": ((1, 0, 1, 0, 0), ["the cell says (11, 0, 8, 1, 2)"], 0),
    "a unit from nowhere": ((0, 0, 1, 0, 0), ["does not add up in the cell"], 0),
    "a unit sold twice": ((0, 0, 0, 0, 8), ["does not add up in the cell"], 1),
    "a unit below nothing": ((0, 0, -8, 8, 0), ["does not add up in the cell"], 1),
}


async def test_every_drift_in_the_cell_is_found(here):
    api = await here.api()
    await open_sale(api, A=10)
    for number in ("1", "2", "3"):
        await api.buy(number)
    for number in ("1", "2"):
        await api.pay(id_of(number), "p", 100)
    await certificate(api)
    ((pool_id, packed),) = (await api.cell.redis.hgetall(POOLS)).items()
    pool = msgspec.msgpack.decode(packed)
    for name, (change, said, oversold) in IN_THE_CELL.items():
        wrong = [a + b for a, b in zip(pool[:5], change, strict=True)] + pool[5:]
        await api.cell.redis.hset(POOLS, pool_id, msgspec.msgpack.encode(wrong))
        found = await certified(api)
        assert all(any(one in fault for fault in found.faults) for one in said), (name, found)
        assert found.oversold_by_us == oversold, name
    await api.cell.redis.hset(POOLS, pool_id, packed)
    await certificate(api)


async def test_where_nothing_was_ever_sold_there_is_nothing_to_certify(here):
    api = await here.api()
    with pytest.raises(NotFound):
        await certified(api)


async def test_a_closed_cell_is_not_certified(here):
    api = await here.api()
    await here.stop("worker")
    await api.cell.call("close", ["for the test"], argument="0")
    with pytest.raises(Closed):
        await certified(api)


async def test_without_a_recorder_the_certificate_gives_up(here):
    api = await here.api()
    await open_sale(api, A=1)
    await here.stop("recorder")
    with pytest.raises(OutcomeUnknown):
        await certified(api, within_s=0.2)


async def command(settings, *arguments):
    """Run `tidegate verify` over the running instance; return its exit code and its lines."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "engine", "verify", *arguments,
        env=dict(os.environ) | settings_of.environment(settings),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_command_ends_with_the_verdict_and_its_exit_code(here, settings, pg):
    api = await here.api()
    code, out, err = await command(settings)
    assert (code, out) == (1, "")
    assert "nothing to certify" in err
    await open_sale(api, A=10)
    await api.buy("1")
    code, out, _ = await command(settings)
    last = out.rstrip().splitlines()[-6:]
    assert (code, last) == (
        0,
        [
            "oversold by us: 0", "sold by channels beyond stock: 0", "shipped after stop: 0",
            "shipped twice: 0", "orders nowhere: 0", "certificate: holds",
        ],
    )  # fmt: skip
    await pg.execute("DELETE FROM orders")
    code, out, _ = await command(settings)
    assert code == 1
    assert (
        out.rstrip().splitlines()[-1].startswith("certificate: BROKEN (recorded 1, orders 0; and")
    )
    code, out, _ = await command(settings, "--json")
    assert (code, codec.decode_json(out)["holds"]) == (1, False)
