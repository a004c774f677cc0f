"""Orders that a cell has and Postgres lacks, because the log that told of them was cut."""

from collections.abc import AsyncIterator
from typing import Any, cast

from redis.exceptions import RedisError

from engine.assurance.store import SQL
from engine.infra import keys
from engine.infra.cell import Cell
from engine.infra.postgres import Pool
from engine.kernel.errors import OutcomeUnknown
from engine.reservation.types import decode_hold

_AT_ONCE = 1_000


async def note(cell: Cell, pool: Pool) -> int:
    """Write them into `gap_orders`, as far as the cell remembers them; return how many.

    Raises:
        OutcomeUnknown: the cell does not answer.
    """
    found = 0
    await pool.execute(SQL["forget_gap"], cell.id)
    async for page in _holds(cell):
        rows = await pool.fetch(SQL["known_orders"], list(page))
        known = {row["order_id"] for row in rows}
        lacking = [(order_id, *_facts(body)) for order_id, body in page.items()]
        lacking = [row for row in lacking if row[0] not in known]
        if lacking:
            columns = [list(column) for column in zip(*lacking, strict=True)]
            await pool.execute(SQL["note_gap"], cell.id, *columns)
        found += len(lacking)
    return found


async def _holds(cell: Cell) -> AsyncIterator[dict[str, bytes]]:
    key, cursor = keys.of(cell.id, "holds"), 0
    while True:
        try:
            cursor, page = await cell.redis.hscan(key, cursor, count=_AT_ONCE)
        except (RedisError, OSError) as error:
            raise OutcomeUnknown("the cell does not answer") from error
        if page:
            items = cast("dict[bytes, bytes]", page).items()
            yield {order_id.decode(): body for order_id, body in items}
        if cursor == 0:
            return


def _facts(body: bytes) -> tuple[Any, ...]:
    hold = decode_hold.decode(body)
    return (
        hold.tenant, hold.channel, hold.campaign, hold.buyer, hold.state, hold.currency, hold.total,
        hold.since,
    )  # fmt: skip
