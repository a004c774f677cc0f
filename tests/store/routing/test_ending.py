"""Orders whose time is up."""

from engine.kernel.clock import SystemClock
from engine.routing.service import ending
from tests.race.stopping import ORDER
from tests.store.physical import conftest as physical

place = physical.place
ROW = """
INSERT INTO routing_queue (tenant, order_id, queue, reason, turn, facts, row_version, cancel_at)
VALUES ('main', 'o', 'UNFILLABLE', 'no_stock', 0, '\\x07', '1', now())
"""


async def test_one_that_this_process_cannot_read_is_left_to_a_person(place):
    """It would else end the process each time, and no order were routed."""
    await place.pg.execute(ORDER, "o")
    await place.pg.execute(ROW)
    assert await ending.cancel_overdue(place.runtime.pool, "main", SystemClock()) == 0
    row = await place.pg.fetchrow("SELECT queue, reason FROM routing_queue")
    assert tuple(row) == ("MANUAL", "auto_cancel")
