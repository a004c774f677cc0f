"""Whatever changes what there is of a SKU says so, in the transaction that changes it."""

from datetime import date

import pytest

from engine.infra import postgres
from engine.infra.publishing import CHANNEL
from engine.physical.types.stock import CountLine


@pytest.fixture
async def changed(place):
    async def since():
        rows = await place.pg.fetch("DELETE FROM stock_changes RETURNING tenant, sku")
        return sorted({(row["tenant"], row["sku"]) for row in rows})

    return since


async def test_each_change_of_a_balance_names_its_sku(place, changed):
    await place.move("receipt", 10, 1)
    assert await changed() == [("main", "A")]
    await place.count(5, ("A", 12), ("B", 3))
    assert await changed() == [("main", "A"), ("main", "B")]


async def test_what_only_goes_to_a_node_changes_no_pool(place, changed):
    """What may be sold of it and what was ever assigned, of which pools are made, is one sum."""
    await place.count(5, ("A", 12))
    await changed()
    name = await place.assign("o-1", 2)
    for minute, verb in enumerate(("accept", "ship"), start=6):
        await place.note(verb, minute, name)
        assert await changed() == []
    other = await place.assign("o-2", 2)
    await place.note("accept", 6, other)
    await place.note("cancel", 7, other)
    assert await changed() == []


async def test_what_a_count_knew_of_before_we_did_does(place, changed):
    """It left before the count, which did not see it any more: nothing on hand goes for it."""
    name = await place.assign("o-1", 2)
    await place.count(9, ("A", 12))
    await changed()
    await place.note("ship", 6, name)
    assert await changed() == [("main", "A")]


async def test_the_first_word_of_a_sku_does(place, changed):
    await place.assign("o-1", 2)
    assert await changed() == [("main", "A")], "it was declared, and is counted from now on"


async def test_what_changes_nothing_names_nothing(place, changed):
    await place.count(5, ("A", 12))
    await changed()
    await place.count(4, ("A", 3))  # a later count is here
    await place.move("receipt", 1, 4)  # which knows of this
    assert await changed() == []


async def test_the_dates_of_a_batch_do(place, changed):
    await place.count(5, CountLine("A", 12, batch="b1"))
    await changed()
    told = CountLine("A", 1, batch="b1", produced_on=date(2026, 1, 1), expires_on=date(2027, 1, 1))
    await place.count(4, told)  # stale, but nobody said so before
    assert await changed() == [("main", "A")]


async def test_a_complete_count_names_what_it_left_out(place, changed):
    await place.count(1, ("A", 12), ("B", 3), owner="")
    await changed()
    await place.count(5, ("B", 3), owner="", complete=True)
    assert await changed() == [("main", "A"), ("main", "B")]


async def test_a_transaction_that_is_given_up_names_nothing(place, changed):
    await place.move("receipt", 1, 1, reference="twice")
    await changed()
    assert (await place.move("receipt", 1, 1, reference="twice"))["reference"] == "twice"
    assert await changed() == []


async def test_it_rings_the_bell(place, database_url):
    heard = []
    listener = await postgres.connect(database_url)
    try:
        await listener.add_listener(CHANNEL, lambda *_: heard.append(1))
        await place.move("receipt", 1, 1)
        while not heard:
            await listener.fetchval("SELECT 1")
    finally:
        await listener.close(timeout=1)
