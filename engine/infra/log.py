"""The cell's log: entries in the order in which the cell decided, read from any position."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.infra import keys
from engine.infra.wire import Command, wires_of
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
    (found,) = await _ask(redis, _xread(cell, after, count, wait_ms))
    return _entries(found)


async def follow(
    redis: Redis, cell: CellId, after: str, count: int, *, wait_ms: int
) -> tuple[list[Entry], str]:
    """Return entries as `read`, and below which position the log was cut by then.

    Where that lies behind `after`, entries in between may have been missed.

    Raises:
        OutcomeUnknown: as `read`.
    """
    cut_at = ("HGET", keys.of(cell, "cell"), "trimmed_to")
    found, cut = await _ask(redis, _xread(cell, after, count, wait_ms), cut_at)
    return _entries(found), (cut or b"0-0").decode()


def _xread(cell: CellId, after: str, count: int, wait_ms: int | None) -> Command:
    block = () if wait_ms is None else ("BLOCK", wait_ms)
    return ("XREAD", "COUNT", count, *block, "STREAMS", keys.of(cell, "log"), after)


async def _ask(redis: Redis, *commands: Command) -> list[Any]:
    try:
        replies = await wires_of(redis).ask(*commands)
    except (RedisError, OSError) as error:
        raise OutcomeUnknown("the log cannot be read") from error
    for reply in replies:
        if isinstance(reply, Exception):
            raise OutcomeUnknown("the log cannot be read") from reply
    return replies


def _entries(found: Any) -> list[Entry]:
    return [_entry(log_id, fields) for _, entries in found or [] for log_id, fields in entries]


def _entry(log_id: bytes, fields: Sequence[bytes]) -> Entry:
    pairs = list(zip(fields[::2], fields[1::2], strict=True))
    named = dict(pairs)  # the name of the payloads repeats
    payloads = [value for name, value in pairs if name == b"p"]
    # what somebody else wrote here has neither: it must not stop whoever reads
    return Entry(log_id.decode(), named.get(b"v", b""), named.get(b"e", b""), payloads)
