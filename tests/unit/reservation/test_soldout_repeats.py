"""The hardest rule of the flags: an order that was or may be accepted is never told `sold_out`."""

import asyncio

import pytest

from engine.infra import log
from engine.kernel.errors import SoldOut
from engine.reservation import store
from tests.unit.reservation.instances import claim_of, house, take
from tests.unit.reservation.test_soldout import flagged, is_flagged, refused, sold_out


@pytest.fixture
async def here(valkey_url):
    async with house(valkey_url) as one:
        yield one


async def test_a_process_that_reads_behind_does_not_refuse_what_another_accepted(
    here, eventually, monkeypatch
):
    """Sold out, a unit came back, an order took it through A and comes again through B."""
    a, b = await here.start(), await here.start()
    await sold_out(here, a)
    await is_flagged(a, eventually)
    await is_flagged(b, eventually)
    follow, stopped, behind = log.follow, asyncio.Event(), asyncio.Event()

    async def read_late(redis, *given, **more):
        if redis is b.cell.redis:
            stopped.set()
            await behind.wait()
        return await follow(redis, *given, **more)

    monkeypatch.setattr(log, "follow", read_late)
    await stopped.wait()
    await here.world.grant("a", 1)
    await eventually(lambda: flagged(a) is None)
    first = await take(a, "lucky")
    assert not first.repeated
    assert flagged(b, "lucky") is not None  # the flag alone would refuse it
    again = await take(b, "lucky")
    assert again.repeated
    assert (again.order_id, again.pay_by) == (first.order_id, first.pay_by)
    behind.set()


async def test_an_order_on_its_way_to_the_cell_is_not_refused_when_it_comes_again(
    here, eventually, monkeypatch
):
    """Its buyer hung up and sent it again; meanwhile all was sold, and then a unit came back."""
    one = await here.start()
    await sold_out(here, one)
    reserve, go, sent = store.reserve, asyncio.Event(), asyncio.Event()

    async def reserve_late(*given):
        sent.set()
        await go.wait()
        return await reserve(*given)

    refusal = await refused(one.cell)
    monkeypatch.setattr(store, "reserve", reserve_late)
    ahead = asyncio.create_task(take(one, "ahead", ("B", 1)))
    await sent.wait()
    first = asyncio.create_task(take(one, "lucky"))
    await asyncio.sleep(0)  # it waits for the next batch now

    async def refused_by_flag():
        one.flags.raise_for(claim_of("stranger"), refusal)
        return flagged(one, "lucky") is not None

    await eventually(refused_by_flag)
    again = asyncio.create_task(take(one, "lucky"))
    with pytest.raises(SoldOut):
        await take(one, "stranger")  # by the flag: no batch is answered yet
    assert not again.done()
    await here.world.grant("a", 1)
    go.set()
    with pytest.raises(SoldOut):
        await ahead
    assert [one.repeated for one in (await first, await again)] == [False, True]
