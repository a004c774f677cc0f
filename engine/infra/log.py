"""The cell's log: entries in the order in which the cell decided, read from any position."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.infra import keys
from engine.kernel.errors import OutcomeUnknown
from engine.kernel.types import CellId


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it stands in the stream; `payloads` in the order of the claims it accepted."""

    log_id: str
    version: bytes
    events: bytes
    payloads: Sequence[bytes]


def position(log_id: str) -> tuple[int, int]:
    """Return a log id as something that compares: `1700000000000-3` → (1700000000000, 3)."""
    ms, _, seq = log_id.partition("-")
    return int(ms), int(seq or 0)


async def read(
    redis: Redis, cell: CellId, after: str, count: int, *, wait_ms: int | None
) -> list[Entry]:
    """Return up to `count` entries after a position; wait up to `wait_ms` for the first.

    Raises:
        OutcomeUnknown: the server does not answer; reading again is harmless.
    """
    key = keys.of(cell, "log")
    try:
        found = await redis.xread({key: after}, count=count, block=wait_ms)
    except (RedisError, OSError) as error:
        raise OutcomeUnknown("the log cannot be read") from error
    streams = cast("list[tuple[bytes, list[tuple[bytes, Any]]]]", found or [])
    return [_entry(log_id, fields) for _, entries in streams for log_id, fields in entries]


def _entry(log_id: bytes, fields: Mapping[bytes, bytes] | Sequence[bytes]) -> Entry:
    # a plain list keeps all payloads: their field name repeats, and a dict would keep one
    pairs = list(fields)
    named = dict(zip(pairs[::2], pairs[1::2], strict=True))
    payloads = [value for name, value in zip(pairs[::2], pairs[1::2], strict=True) if name == b"p"]
    # what somebody else wrote here has neither: it must not stop whoever reads
    return Entry(log_id.decode(), named.get(b"v", b""), named.get(b"e", b""), payloads)
