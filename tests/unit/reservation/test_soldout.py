"""A sold-out flag is only used while it is certainly true, and never on an accepted order."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.infra import log
from engine.infra.log import position
from engine.kernel.errors import Closed, SoldOut
from engine.kernel.ids import order_id
from engine.reservation import soldout, store
from engine.reservation.soldout import Filter, SoldOutFlags
from tests.lua.builders import SEP, cancel, key, offer
from tests.unit.reservation.instances import claim_of, house, take


@settings(deadline=None)
@given(st.sets(st.text(max_size=30), max_size=200))
def test_the_filter_never_says_no_to_what_was_put_in(texts):
    found = Filter(1 << 10)
    for text in texts:
        found.add(text)
    assert all(text in found for text in texts)


def test_the_filter_mostly_says_no_to_strangers():
    """If it always said yes, every test of flags below would pass without one being used."""
    found = Filter(1 << 16)
    for n in range(1_000):
        found.add(order_id("main", "mall", f"in-{n}"))
    strangers = [order_id("main", "mall", f"out-{n}") for n in range(10_000)]
    assert sum(one in found for one in strangers) < 20


@pytest.fixture
async def here(valkey_url):
    async with house(valkey_url) as one:
        yield one


async def sold_out(here, one, units=1):
    """Sell all of A through one process."""
    await here.world.grant("a", units)
    await here.world.grant("b", 1)
    await take(one, "last of b", ("B", 1))
    for n in range(units):
        await take(one, f"taken-{n}")


def flagged(one, number="another", *lines, **more):
    return one.flags.refusal(claim_of(number, *lines, **more))


async def is_flagged(one, eventually, sku="A"):
    """Be refused until it sticks: what is read of the log afterwards may still clear it."""

    async def refused_by_flag():
        with pytest.raises(SoldOut):
            await take(one, "stranger", (sku, 1))
        return flagged(one, "another", (sku, 1)) is not None

    await eventually(refused_by_flag)


async def test_after_a_refusal_strangers_are_answered_without_the_cell(
    here, eventually, monkeypatch
):
    one = await here.start()
    assert flagged(one) is None
    await sold_out(here, one)
    await is_flagged(one, eventually)
    found = flagged(one, "x", ("B", 1), ("A", 3))
    assert (found.code, found.extra) == ("sold_out", {"line": 2, "sku": "A"})
    assert flagged(one, "x", ("B", 1)) is None
    assert flagged(one, "x", campaign="") is None
    assert flagged(one, "x", channel="app") is None

    async def asked(*_):
        raise AssertionError("the cell was asked")

    monkeypatch.setattr(store, "reserve", asked)
    with pytest.raises(SoldOut):
        await take(one, "stranger")


async def test_every_process_learns_by_its_own_refusal(here, eventually):
    one, other = await here.start(), await here.start()
    await sold_out(here, one)
    await is_flagged(one, eventually)
    assert flagged(other) is None
    await is_flagged(other, eventually)


async def test_an_accepted_order_always_goes_to_the_cell(here, eventually):
    one, other = await here.start(), await here.start()
    await sold_out(here, one, units=2)
    late = await here.start()
    for process in (one, other, late):
        await is_flagged(process, eventually)
        for n in range(2):
            assert flagged(process, f"taken-{n}") is None
            assert (await take(process, f"taken-{n}")).repeated


async def test_what_may_free_units_itself_or_do_without_is_never_refused_by_a_flag(
    here, eventually
):
    one = await here.start()
    await sold_out(here, one)
    await is_flagged(one, eventually)
    assert flagged(one, "x", buyer_id="b", replace_unpaid=True) is None
    gift = {"sku": "A", "quantity": 1, "unit_price": {"amount": 0, "currency": "CNY"}}
    assert flagged(one, "x", lines=[{**gift, "on_short": "drop"}]) is None
    assert flagged(one, "x", lines=[gift]) is not None


async def test_a_replacing_claim_sets_no_flag(here, eventually):
    one = await here.start()
    await sold_out(here, one)
    await is_flagged(one, eventually, sku="B")  # shows that this process does set flags
    with pytest.raises(SoldOut):
        await take(one, "stranger", buyer_id="b", replace_unpaid=True)
    assert flagged(one, "another", ("B", 1)) is not None
    assert flagged(one) is None


async def test_too_few_is_not_none(here, eventually):
    one = await here.start()
    await sold_out(here, one)
    await here.world.grant("a", 1)
    await is_flagged(one, eventually, sku="B")
    with pytest.raises(SoldOut):
        await take(one, "greedy", ("A", 2))
    assert flagged(one, "another", ("B", 1)) is not None
    assert flagged(one) is None
    assert not (await take(one, "modest")).repeated


async def by_grant(world):
    await world.grant("a", 1)


async def by_release(world):
    await world.call("release", cancel(order_id("main", "mall", "taken-0")))


async def by_expiry(world):
    await world.advance(2_000_000)  # the first call warns, the second one ends it
    await world.call("expire", 256)
    await world.call("expire", 256)


async def by_move(world):
    await world.grant("b", 1)
    await world.call("move", ["m", "b", "a", 1, "key-1", 0])


async def by_rule(world):
    await world.call("rule", offer("A", "b", version=2))


async def by_pause(world):
    await world.call("pause", ["main", "campaign", "d11", 1, "key-1", "why"])


CLEARED_BY = {
    "a grant": by_grant,
    "a release": by_release,
    "an expiry": by_expiry,
    "a rule": by_rule,
    "a pause": by_pause,
    "a move": by_move,
}


@pytest.mark.parametrize("event", CLEARED_BY.values(), ids=CLEARED_BY)
async def test_a_flag_ends_in_every_process_when(here, eventually, event):
    one, other = await here.start(), await here.start()
    await sold_out(here, one)
    for process in (one, other):
        await is_flagged(process, eventually)
    await event(here.world)
    begun = asyncio.get_running_loop().time()
    for process in (one, other):
        await eventually(lambda process=process: flagged(process) is None)
    # promised are 100 ms; a busy machine gets some more
    assert asyncio.get_running_loop().time() - begun < 1


async def test_a_new_epoch_clears_all_flags(here, eventually):
    one = await here.start()
    await sold_out(here, one)
    await is_flagged(one, eventually)
    await here.world.open(epoch=2)
    await eventually(lambda: flagged(one) is None)

    async def back():
        with suppress(Closed):
            return (await take(one, "taken-0")).repeated

    await eventually(back)
    assert flagged(one) is None


async def test_a_closed_cell_uses_no_flag(here, eventually):
    one = await here.start()
    await sold_out(here, one)
    await is_flagged(one, eventually)
    await here.world.call("close", "for the test", epoch=1)
    await eventually(lambda: not one.cell.is_open)
    assert flagged(one) is None


async def refused(cell, number="stranger"):
    """Be refused by the cell, and keep the refusal instead of handing it to the flags."""
    (refusal,) = await store.reserve(cell, [claim_of(number)], [b"{}"])
    assert isinstance(refusal, store.EmptyPools)
    return refusal


async def stuck(one, flags, eventually, stranger="x"):
    async def refused_by_flag():
        flags.raise_for(claim_of("stranger"), await refused(one.cell))
        return flags.refusal(claim_of(stranger))

    await eventually(refused_by_flag)


class Gate:
    """Readings of the log that wait while it is shut."""

    def __init__(self, monkeypatch):
        self.open = asyncio.Event()
        self.open.set()
        self._follow = log.follow
        monkeypatch.setattr(log, "follow", self.follow)

    async def follow(self, *asked, **named):
        await self.open.wait()
        return await self._follow(*asked, **named)


async def test_a_flag_needs_a_reading_of_the_log_that_goes_on(here, eventually, monkeypatch):
    one, gate = await here.start(reading=False), Gate(monkeypatch)
    await sold_out(here, one)
    flags = SoldOutFlags(one.cell)
    flags.raise_for(claim_of("stranger"), await refused(one.cell))
    assert flags.refusal(claim_of("x")) is None
    here.run(one, flags.run())
    await stuck(one, flags, eventually)
    assert await flags.caught_up()
    gate.open.clear()
    await eventually(lambda: is_behind_after(here, flags))
    gate.open.set()
    assert await flags.caught_up()


async def is_behind(flags):
    async with asyncio.timeout(1):  # a claim waits no longer for a reading that stands still
        return not await flags.caught_up()


async def test_a_question_without_an_answer_holds_no_claim_up(here, monkeypatch):
    one = await here.start()

    async def never(_cell):
        await asyncio.Event().wait()

    monkeypatch.setattr(store, "last_log_id", never)
    async with asyncio.timeout(1):
        assert not await one.flags.caught_up()


async def test_a_reader_that_missed_what_was_cut_away_looks_at_everything_again(
    here, eventually, monkeypatch
):
    """It stood still while a unit came back, x took it, and the log was cut."""
    one, other, gate = await here.start(reading=False), await here.start(), Gate(monkeypatch)
    await sold_out(here, one)
    flags = SoldOutFlags(one.cell)
    here.run(one, flags.run())
    await stuck(one, flags, eventually)
    gate.open.clear()
    await eventually(lambda: is_behind_after(here, flags))
    await other.release(cancel(order_id("main", "mall", "taken-0")))
    await take(other, "x")
    await here.world.grant("b", 1)
    last = (await one.cell.refresh()).last_id
    await here.world.call("trim", last)
    before = await scans(here)
    gate.open.set()

    async def looked():
        return await scans(here) > before

    await eventually(looked)
    await eventually(flags.caught_up)
    assert flags.refusal(claim_of("x")) is None
    await stuck(one, flags, eventually, stranger="y")
    assert flags.refusal(claim_of("x")) is None
    assert flags.refusal(claim_of("taken-0")) is None


async def is_behind_after(here, flags):
    """Whether no reading is under way any more: the one that was may have seen this entry."""
    await here.world.grant("b", 1)
    return await is_behind(flags)


async def scans(here):
    stats = await here.world.redis.info("commandstats")
    return stats["cmdstat_hscan"]["calls"]


async def test_a_reader_that_is_far_behind_does_not_rest(here, eventually, monkeypatch):
    monkeypatch.setattr(soldout, "_REST_S", 3_600)
    one, gate = await here.start(reading=False), Gate(monkeypatch)
    gate.open.clear()
    here.run(one, one.flags.run())
    for _ in range(200):
        await here.world.grant("a", 1)
    gate.open.set()
    last = position((await one.cell.refresh()).last_id)
    await eventually(lambda: one.flags.passed >= last)


async def test_a_flag_waits_until_the_log_was_read_up_to_its_refusal(here, eventually):
    one = await here.start()
    await sold_out(here, one)
    await is_flagged(one, eventually)
    later = await refused(one.cell)
    later.log_id = f"{int(later.log_id.split('-')[0]) + 3_600_000}-0"
    one.flags.raise_for(claim_of("stranger"), later)
    assert flagged(one) is None


async def test_a_process_uses_no_flag_before_it_knows_every_accepted_order(
    here, eventually, monkeypatch
):
    first = await here.start()
    await sold_out(here, first)
    await is_flagged(first, eventually)  # it has looked at everything, and will not again
    go, asked = asyncio.Event(), asyncio.Event()
    remembered = store.remembered

    async def slow(cell):
        asked.set()
        await go.wait()
        async for one in remembered(cell):
            yield one

    monkeypatch.setattr(store, "remembered", slow)
    late = await here.start()
    await asked.wait()
    with pytest.raises(SoldOut):
        await take(late, "stranger")
    await is_flagged(first, eventually)
    assert flagged(late) is None
    assert flagged(late, "taken-0") is None
    go.set()
    await is_flagged(late, eventually)
    assert flagged(late, "taken-0") is None


async def test_a_refusal_that_arrives_after_what_it_did_not_see_sets_no_flag(here, eventually):
    """The reply was slow: units came back, and this process read of it first."""
    one = await here.start()
    await sold_out(here, one)
    slow = await refused(one.cell)
    await is_flagged(one, eventually)
    await here.world.grant("a", 1)
    await eventually(lambda: flagged(one) is None)
    one.flags.raise_for(claim_of("stranger"), slow)
    assert flagged(one) is None
    assert not (await take(one, "lucky")).repeated


async def test_a_refusal_that_arrives_after_a_change_of_rules_sets_no_flag(here, eventually):
    one = await here.start()
    await sold_out(here, one)
    slow = await refused(one.cell)
    await is_flagged(one, eventually)
    await here.world.grant("b", 1)
    await here.world.call("rule", offer("A", "b", version=2))
    await eventually(lambda: flagged(one) is None)
    one.flags.raise_for(claim_of("stranger"), slow)
    assert flagged(one) is None
    assert not (await take(one, "lucky")).repeated


async def test_a_refusal_of_a_batch_that_itself_freed_units_sets_no_flag(here, eventually):
    one = await here.start()
    await here.world.grant("a", 1)
    await here.world.grant("b", 1)
    await take(one, "mine", buyer_id="b")
    last = await here.world.redis.hget(key("cell"), "last")
    claims = [claim_of("stranger"), claim_of("new", ("B", 1), buyer_id="b", replace_unpaid=True)]
    refusal, held = await store.reserve(one.cell, claims, [b"{}", b"{}"])
    assert isinstance(refusal, store.EmptyPools)
    assert refusal.log_id == held.log_id != last.decode()
    # one event of the log later all of it has certainly been read
    await here.world.call("rule", [SEP.join(("channel", "main", "app")), 1, [1, "gate", 1, 1, {}]])
    await is_flagged(one, eventually, sku="B")
    one.flags.raise_for(claim_of("stranger"), refusal)
    assert flagged(one) is None
    assert not (await take(one, "lucky")).repeated


async def test_an_entry_that_cannot_be_read_clears_all_flags(here, eventually):
    one = await here.start()
    await sold_out(here, one)
    await is_flagged(one, eventually)
    await here.world.redis.xadd(key("log"), {"v": "1", "e": b"\xc1"})
    await eventually(lambda: flagged(one) is None)
