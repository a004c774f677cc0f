"""What the cell alone counts: how much of a shared pool each channel has drawn under its cap."""

from collections.abc import Collection

from redis.exceptions import RedisError

from engine.infra import keys
from engine.infra.cell import Cell
from engine.kernel.errors import Overloaded


async def counted(cell: Cell, fields: Collection[str]) -> dict[str, int]:
    """Return the cell's counters of these fields; no fields, no call.

    Raises:
        Overloaded: the cell does not answer.
    """
    if not fields:
        return {}
    named = list(fields)
    try:
        values = await cell.redis.hmget(keys.of(cell.id, "counters"), named)
    except (RedisError, OSError) as error:
        raise Overloaded("the cell, which counts what is left of a cap, is away") from error
    return {field: int(value or 0) for field, value in zip(named, values, strict=True)}
