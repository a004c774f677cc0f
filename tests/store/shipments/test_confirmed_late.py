"""Units that leave although their node was done with them, and that others have meanwhile."""

import pytest

from engine.routing.service import rejecting
from engine.shipments import service
from engine.shipments.types.shipments import Line, Package
from tests.store.physical.conftest import at
from tests.store.shipments import test_reporting

place, shipping = test_reporting.place, test_reporting.shipping
WHOLE = test_reporting.WHOLE
BOX = Package("sf", "W1", ((1, 2), (2, 2)))
LATE = Package("sf", "W2", ((1, 1),))


async def nothing(*_):
    """Nothing follows for stock."""


async def short(shipping, take=nothing):
    """A shipment of which one A did not leave, which is certain by now; return it."""
    code = await shipping.plan(*WHOLE)
    await shipping.begin(code)
    await shipping.say(code, "sent", reply=True)
    await shipping.say(code, "shipped", BOX)
    async with shipping.db.transaction():
        outcome = await service.settle(shipping.db, code, at(30))
        assert outcome.refused
        await take(shipping.db, "main", outcome, at(30))
    return code


async def recalled(shipping):
    """What the job that was put down with the late confirm asks for."""
    jobs = await shipping.db.fetch("SELECT * FROM jobs WHERE kind = 'recall'")
    found = []
    for job in jobs:
        code = job["key"].removesuffix(":recall")
        while True:
            async with shipping.db.transaction():
                asked = await service.recall(shipping.db, code, at(60))
            if asked is None:
                break
            found.append(asked)
    return found


async def test_what_no_node_was_asked_for_is_withdrawn(shipping):
    first = await short(shipping)
    second = await shipping.plan(Line(1, "A", 1))
    await shipping.say(first, "partly_shipped", LATE)
    assert await shipping.begin(second) == "lines_changed", "it waits until it is withdrawn"
    (asked,) = await recalled(shipping)
    assert (asked.stop.answer, asked.stop.lines) == ("stopped", ((1, 1),))
    assert [one.shipment_id for one in asked.withdrawn] == [second]
    assert await shipping.begin(second) == "gone"
    assert await shipping.progress() == "shipped"
    assert await shipping.sums() == [(7, 0, 0, 0, 7), (8, 0, 0, 0, 8)]
    assert await recalled(shipping) == []
    assert await service.shipped_twice(shipping.db) == 0


@pytest.mark.parametrize("word", ["cancelled", "cancel_failed"])
async def test_what_a_node_has_is_to_be_stopped_there(shipping, word):
    first = await short(shipping)
    second = await shipping.plan(Line(1, "A", 1))
    assert await shipping.begin(second) == "create"
    await shipping.say(second, "sent", reply=True)
    await shipping.say(first, "partly_shipped", LATE)
    (asked,) = await recalled(shipping)
    assert (asked.stop.answer, asked.calls) == ("", (second,))
    assert await shipping.begin(second) == "cancel"
    (stop,) = (await shipping.say(second, word, reply=True)).answered
    assert service.twice(stop) is (word == "cancel_failed")
    assert await service.shipped_twice(shipping.db) == 0, "it has not left yet"
    if word == "cancel_failed":
        await shipping.say(second, "shipped")
        assert await service.shipped_twice(shipping.db) == 1
    assert await recalled(shipping) == []


async def test_what_has_left_has_left_twice(shipping):
    first = await short(shipping)
    second = await shipping.plan(Line(1, "A", 1))
    await shipping.begin(second)
    await shipping.say(second, "sent", reply=True)
    await shipping.say(second, "shipped")
    await shipping.say(first, "partly_shipped", LATE)
    (asked,) = await recalled(shipping)
    assert (asked.stop.answer, service.twice(asked.stop)) == ("not_stopped", True)
    assert await service.shipped_twice(shipping.db) == 1


async def test_what_a_node_had_rejected_and_sends_is_the_same(shipping):
    first = await shipping.plan(*WHOLE)
    await shipping.begin(first)
    await shipping.say(first, "rejected", reply=True)
    second = await shipping.plan(*WHOLE)
    await shipping.say(first, "shipped")
    assert await shipping.begin(second) == "lines_changed"
    (asked,) = await recalled(shipping)
    assert [one.shipment_id for one in asked.withdrawn] == [second]
    assert await shipping.sums() == [(7, 0, 0, 0, 7), (8, 0, 0, 0, 8)]


async def sent_in_two(shipping):
    """Two parts of one line, as it was divided from the start, and both nodes have theirs."""
    first = await shipping.plan(Line(1, "A", 2))
    other = await shipping.plan(Line(1, "A", 1), Line(2, "B", 2))
    for code in (first, other):
        await shipping.begin(code)
        await shipping.say(code, "sent", reply=True)
    return first, other


async def test_what_others_have_of_the_line_is_left_alone(shipping):
    """Only what is too many is stopped."""
    first, other = await sent_in_two(shipping)
    await shipping.say(other, "shipped")
    await shipping.say(first, "shipped", Package("sf", "W1", ((1, 1),)))
    async with shipping.db.transaction():
        await service.settle(shipping.db, first, at(30))
    again = await shipping.plan(Line(1, "A", 1))
    await shipping.begin(again)
    await shipping.say(again, "sent", reply=True)
    await shipping.say(first, "partly_shipped", LATE)
    (asked,) = await recalled(shipping)
    assert asked.stop.shipments == (again,)
    assert await shipping.state(other) == "shipped"


async def test_what_was_about_to_be_bound_is_decided_anew(shipping):
    """Its queue has the order's row as it was; a late confirm makes it another one."""
    first, _ = await sent_in_two(shipping)
    await shipping.say(first, "shipped", Package("sf", "W1", ((1, 1),)))
    async with shipping.db.transaction():
        await service.settle(shipping.db, first, at(30))
    before = await shipping.db.fetchval("SELECT xmin::text FROM orders")
    assert await shipping.progress() == "partly_shipped"
    await shipping.say(first, "partly_shipped", LATE)
    assert await shipping.progress() == "partly_shipped"
    assert await shipping.db.fetchval("SELECT xmin::text FROM orders") != before
    assert await recalled(shipping) == [], "nothing was sent in its place yet"


async def test_what_was_taken_off_the_stock_and_left_is_not_taken_off_twice(shipping):
    code = await shipping.plan(*WHOLE)
    await shipping.begin(code)
    await shipping.say(code, "sent", reply=True)
    await shipping.say(code, "shipped", Package("sf", "W1", ((1, 1), (2, 2))))
    assert await shipping.sums() == [(9, 0, 0, 0, 9), (8, 0, 0, 0, 8)]
    async with shipping.db.transaction():
        outcome = await service.settle(shipping.db, code, at(30))
        await rejecting.take(shipping.db, "main", outcome, at(30))
    assert await shipping.sums() == [(7, 0, 0, 0, 7), (8, 0, 0, 0, 8)]
    for name, left in (("c1", 7), ("c1", 7)):
        found = await shipping.say(
            code, "partly_shipped", Package("sf", "W2", ((1, 2),)), name=name, take=rejecting.take
        )
        assert await shipping.sums() == [(left, 0, 0, 0, left), (8, 0, 0, 0, 8)], found


@pytest.mark.parametrize("counted", [False, True])
async def test_what_a_count_has_said_since_stays(shipping, counted):
    """A count as of after the final confirm, and before the late one, saw those units lie there."""
    code = await short(shipping, rejecting.take)
    assert (await shipping.sums())[0] == (7, 0, 0, 0, 7)
    if counted:
        await shipping.place.count(shipping.minute + 0.5, ("A", 8))
        assert (await shipping.sums())[0] == (8, 0, 0, 0, 8)
    await shipping.say(code, "partly_shipped", LATE, take=rejecting.take)
    assert (await shipping.sums())[0] == (7, 0, 0, 0, 7)
