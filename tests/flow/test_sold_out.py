"""Sold out over HTTP: two processes, one stock; strangers are refused, buyers get their answer."""

import asyncio

from tests.fault.engines import certificate, id_of, open_sale

UNITS = 20


async def scripts_run(api):
    """How many scripts the cell has run; the sweeper's own are among them."""
    stats = await api.cell.redis.info("commandstats")
    return stats["cmdstat_evalsha"]["calls"]


async def test_of_many_buyers_in_two_processes_each_unit_has_one(here):
    apis = [await here.api(), await here.api()]
    await open_sale(apis[0], A=UNITS)
    answers = await asyncio.gather(*(apis[n % 2].buy(str(n)) for n in range(200)))
    told = [(one.status, one.code) for one in answers]
    assert told.count((202, "")) == UNITS
    assert told.count((409, "sold_out")) == 200 - UNITS
    bought = [n for n, one in enumerate(answers) if one.status == 202]
    for api in apis:
        for n in bought:
            assert (await api.buy(str(n))).status == 200
    await certificate(apis[0])


async def test_a_flood_of_strangers_does_not_reach_the_cell_and_ends_with_a_cancel(
    here, eventually
):
    apis = [await here.api(), await here.api()]
    await open_sale(apis[0], A=2)
    for number in ("1", "2"):
        assert (await apis[0].buy(number)).status == 202
    await certificate(apis[0])

    async def flagged(api):
        await api.buy("stranger")
        before = await scripts_run(api)
        answers = [await api.buy(f"stranger-{n}") for n in range(20)]
        assert {one.code for one in answers} == {"sold_out"}
        assert answers[0].document["sku"] == "A"
        return await scripts_run(api) - before < 10  # of 20; the rest is the sweeper's

    for api in apis:
        await eventually(lambda api=api: flagged(api))
    assert (await apis[0].cancel(id_of("1"), "c")).status == 200

    async def lucky(api, number):
        return (await api.buy(number)).status == 202

    await eventually(lambda: lucky(apis[1], "late"), within_s=1)
    assert (await apis[0].buy("1")).document["status"] == "cancelled"
    assert (await apis[1].buy("2")).status == 200
    await certificate(apis[0])
