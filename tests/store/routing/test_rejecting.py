"""A node that refused a line is not asked for it until its time is over."""

from datetime import UTC, datetime, timedelta

from engine.kernel.clock import to_ms
from engine.routing.service import queue, rejecting
from engine.routing.service.rejecting import FOR_GOOD_MS, Rejection
from tests.store.physical import conftest as physical

place = physical.place
NOW = datetime.now(UTC).replace(microsecond=0)


async def test_nodes_are_excluded_until_their_time_is_over_or_for_good(place):
    soon, gone = NOW + timedelta(hours=1), NOW - timedelta(hours=1)
    told = [
        Rejection("o1", "N", ((1, 2), (2, 1)), "no_stock", exclude_until=soon),
        Rejection("o1", "N", ((1, 2),), "damaged"),
        Rejection("o1", "M", ((1, 2),), "busy", exclude_until=gone),
        Rejection("o2", "M", ((1, 2),), "busy", exclude_until=soon),
    ]
    async with place.runtime.pool.acquire() as tx, tx.transaction():
        await rejecting.note(tx, "main", told, "wms", NOW)
        found = await rejecting.excluded(tx, ["o1", "o2", "o3"])
    assert found == {
        "o1": ((1, "N", FOR_GOOD_MS), (2, "N", to_ms(soon))),
        "o2": ((1, "M", to_ms(soon)),),
    }
    numbers = await place.pg.fetch(
        "SELECT n FROM node_rejections WHERE order_id = 'o1' AND line_no = 1 AND node = 'N'"
    )
    assert sorted(row["n"] for row in numbers) == [1, 2]


async def test_an_empty_queue_says_so(place):
    assert await queue.counts(place.runtime.pool, "main") == {}
    async with place.runtime.pool.acquire() as tx, tx.transaction():
        await queue.withdraw(tx, ["nobody"])
