"""Waybills from a carrier that loses answers: each request has one number, and none is left out."""

import asyncio
import random

import pytest

from engine.carriers.service import waybills
from engine.carriers.types.waybills import Reply, Wanted
from engine.infra.runtime import RUNTIME
from engine.kernel.errors import InConflict, NotFound, OutcomeUnknown
from engine.simulation.carrier import Desk, Rates
from tests.flow.surface import Surface, served

BAD = Rates(error=0.2, reply_lost=0.3, refused=0.1, busy=0.2)


class Office(Surface):
    def __init__(self, app, client, settings):
        super().__init__(app, client, settings)
        self.runtime = app[RUNTIME]

    async def get(self, desk, one):
        return await waybills.get(self.runtime, "main", desk, one)

    async def cancel(self, desk, one):
        return await waybills.cancel(self.runtime, "main", desk, one, "not wanted")

    async def until_told(self, desk, one):
        while (kept := await self.get(desk, one)).state == "asked":
            pass
        return kept

    async def until_cancelled(self, desk, one):
        while True:
            try:
                return await self.cancel(desk, one)
            except OutcomeUnknown:
                continue

    async def use(self, request_id):
        async with self.runtime.pool.acquire() as tx:
            return await waybills.use(tx, "main", request_id)


@pytest.fixture
async def office(settings, database_url):
    async with served(settings, database_url, (), Office) as one:
        yield one


def wanted(n, **more):
    told = {"request_id": f"o1-s{n}-p1", "shipment_id": f"o1-s{n}", "service": "air",
            "carrier": "sf", "node": "HZ", "grams": 800, "ship_to": {"name": "王小明"}}  # fmt: skip
    return Wanted(**told | more)


async def test_a_number_is_given_once_printed_and_used(office):
    desk, one = Desk(1), wanted(1)
    with pytest.raises(NotFound):
        await waybills.find(office.runtime, "main", one.request_id)
    made = await office.get(desk, one)
    assert (made.state, made.waybill) == ("got", desk.given[one.request_id])
    assert await office.get(desk, one) == made
    assert desk.calls["get o1-s1-p1"] == 1
    printed = await waybills.print_data(office.runtime, "main", desk, one.request_id)
    assert printed.data["waybill"] == made.waybill
    assert await office.use(one.request_id)
    assert await office.use(one.request_id)
    assert not await office.use("another")
    kept = await office.cancel(desk, one)
    assert (kept.state, desk.cancelled) == ("used", set())
    with pytest.raises(InConflict):
        await office.get(desk, wanted(1, shipment_id="o2-s1"))


async def test_nothing_of_the_address_is_kept(office):
    await office.get(Desk(1), wanted(1))
    (row,) = await office.runtime.pool.fetch("SELECT w::text AS whole FROM waybills AS w")
    assert "王小明" not in row["whole"]


async def test_what_is_given_back_is_not_used_and_not_printed(office):
    desk, one = Desk(1), wanted(1)
    made = await office.get(desk, one)
    assert (await office.cancel(desk, one)).state == "cancelled"
    assert (await office.cancel(desk, one)).state == "cancelled"
    assert desk.cancelled == {made.waybill}
    assert not await office.use(one.request_id)
    with pytest.raises(NotFound, match="cancelled"):
        await waybills.print_data(office.runtime, "main", desk, one.request_id)
    assert (await office.get(desk, one)).state == "cancelled", "not asked for anew"


async def test_a_parcel_on_its_way_keeps_its_number(office):
    desk, one = Desk(1), wanted(1)
    made = await office.get(desk, one)
    assert desk.collect(made.waybill)
    kept = await office.cancel(desk, one)
    assert (kept.state, kept.reason) == ("got", "E2001 it is on its way")


async def test_a_refusal_for_good_is_told_and_ends_it(office):
    desk, one = Desk(1, Rates(refused=1.0)), wanted(1)
    failed = await office.get(desk, one)
    assert (failed.state, failed.reason) == ("failed", "E1001 the address is not served")
    assert (await office.cancel(desk, one)).state == "failed"
    busy = Desk(1, Rates(busy=1.0))
    assert (await office.get(busy, wanted(2))).state == "asked", "to be asked again"


async def test_one_number_for_two_requests_is_not_taken(office):
    class Twice(Desk):
        async def get(self, one):  # noqa: ARG002 - of the port
            return Reply("DONE", "SF1")

    await office.get(Twice(1), wanted(1))
    with pytest.raises(InConflict, match="SF1"):
        await office.get(Twice(1), wanted(2))
    assert (await waybills.find(office.runtime, "main", "o1-s2-p1")).state == "asked"


async def test_whatever_is_lost_each_request_ends_with_one_number_or_none(office):
    """60 requests, half of them given back while they are asked for, by a desk that misbehaves."""
    desk, rnd = Desk(7, BAD), random.Random(7)
    wanted_all = [wanted(n) for n in range(60)]

    async def ask(one, *, give_back):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(office.until_told(desk, one))
            tasks.create_task(office.until_told(desk, one))
            if give_back:
                tasks.create_task(cancel(one))

    async def cancel(one):
        try:
            await office.until_cancelled(desk, one)
        except NotFound:  # before it was asked for
            await office.until_told(desk, one)
            await office.until_cancelled(desk, one)

    for one in wanted_all:
        await ask(one, give_back=rnd.random() < 0.5)
    rows = await office.runtime.pool.fetch("SELECT waybill, state FROM waybills")
    assert len(rows) == 60
    assert {row["state"] for row in rows} == {"got", "cancelled", "failed"}
    assert {row["waybill"] for row in rows if row["state"] == "got"} == desk.out()
    assert {row["waybill"] for row in rows if row["state"] == "cancelled"} == desk.cancelled
    assert max(desk.calls.values()) > 3, "control: nothing was lost"


async def test_without_an_id_of_ours_numbers_are_left_out(office):
    """The control: a retry under a new id leaves numbers at the carrier that nobody knows of."""
    desk = Desk(7, BAD)
    for n in range(60):
        attempt, state = 0, "asked"
        while state == "asked":
            attempt += 1
            state = (await office.get(desk, wanted(n, request_id=f"o1-s{n}-try{attempt}"))).state
    rows = await office.runtime.pool.fetch("SELECT waybill FROM waybills WHERE state = 'got'")
    assert {row["waybill"] for row in rows} < desk.out()
