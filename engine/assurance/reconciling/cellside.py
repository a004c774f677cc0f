"""What the cell says, read in small pieces that nobody has to wait for."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from engine.assurance.reconciling.types import Hold, PoolAt, Position
from engine.assurance.types import PoolTotals
from engine.infra import keys
from engine.infra.cell import Cell
from engine.infra.wire import Command
from engine.kernel import events
from engine.kernel.errors import Closed

SCAN_COUNT: Final = 500  # fields a call: about 0.3 ms of the server
_hold: Final = msgspec.msgpack.Decoder(Hold)
_list: Final = msgspec.msgpack.Decoder(list[Any])


class At(NamedTuple):
    """Replies that are all of one position of the log."""

    last_id: str
    now_ms: int
    replies: list[Any]


class Entries(NamedTuple):
    """Which orders the log told of in a stretch; None: there was too much of it."""

    subjects: frozenset[str] | None


async def position(cell: Cell) -> Position | None:
    """Read what the cell says of itself; None where it says nothing."""
    fields = ("phase", "epoch", "last", "trimmed_to", "identity")
    (values,) = await cell.read(("HMGET", _key(cell, "cell"), *fields), at_once=False)
    if values[0] is None:
        return None
    text = [_text(value) for value in values]
    return Position(text[0], int(text[1] or 0), text[2] or "0-0", text[3] or "0-0", text[4])


async def deleted_to(cell: Cell) -> str:
    """Return the newest entry that was deleted from the log by hand; `0-0` is none."""
    if not await cell.ask("EXISTS", _key(cell, "log")):
        return "0-0"
    told: Sequence[Any] = await cell.ask("XINFO", "STREAM", _key(cell, "log"))
    named = dict(zip(told[::2], told[1::2], strict=True))
    return _text(named.get(b"max-deleted-entry-id")) or "0-0"


async def at_once(cell: Cell, *commands: Command) -> At:
    """Read several things of an open cell at one position of its log.

    Raises:
        Closed: it is not open: what it holds is being put in order.
        OutcomeUnknown: it does not answer.
    """
    head = ("HMGET", _key(cell, "cell"), "phase", "last", "now")
    (phase, last, now), *replies = await cell.read(head, *commands)
    if phase != b"open":
        raise Closed("the cell is not open: nothing can be compared now")
    return At(_text(last) or "0-0", int(now or 0), replies)


async def pools(cell: Cell, pool_ids: Sequence[str]) -> tuple[str, dict[str, PoolAt]]:
    """Read pools at one position of the log, and return it with those that exist."""
    read = await at_once(cell, ("HMGET", _key(cell, "pools"), *pool_ids))
    found = {}
    for pool_id, packed in zip(pool_ids, read.replies[0], strict=True):
        if packed is not None:
            values = _list.decode(packed)
            found[pool_id] = PoolAt(
                PoolTotals(*values[:5]), values[5], ended=values[7] == 1, successor=values[6]
            )
    return read.last_id, found


async def packed_pools(cell: Cell, pool_ids: Sequence[str]) -> list[bytes | None]:
    """Read pools of an open cell as they are packed, None where there is none."""
    read = await at_once(cell, ("HMGET", _key(cell, "pools"), *pool_ids))
    return list(read.replies[0])


async def scan(cell: Cell, name: str, *match: str) -> AsyncIterator[dict[str, bytes]]:
    """Go through a hash in chunks; a field that stays is seen once or, while it grows, twice."""
    cursor = b"0"
    pattern = ("MATCH", *match) if match else ()
    while True:
        (told,) = await cell.read(
            ("HSCAN", _key(cell, name), cursor, *pattern, "COUNT", SCAN_COUNT), at_once=False
        )
        cursor, flat = told
        if flat:
            named = [field.decode() for field in flat[::2]]
            yield dict(zip(named, flat[1::2], strict=True))
        if cursor == b"0":
            return


async def scan_due(cell: Cell) -> AsyncIterator[list[str]]:
    """Go through the sweeper's list in chunks of order ids."""
    cursor = b"0"
    while True:
        (told,) = await cell.read(
            ("ZSCAN", _key(cell, "due"), cursor, "COUNT", SCAN_COUNT), at_once=False
        )
        cursor, flat = told
        if flat:
            yield [member.decode() for member in flat[::2]]
        if cursor == b"0":
            return


async def due_of(cell: Cell, order_ids: Sequence[str]) -> list[float | None]:
    """Return when the sweeper will look at these orders, ms."""
    (told,) = await cell.read(("ZMSCORE", _key(cell, "due"), *order_ids), at_once=False)
    return [None if score is None else float(score) for score in told]


async def without_hold(cell: Cell, order_ids: Sequence[str]) -> list[str]:
    """Return those of these orders that the cell has no hold of."""
    asked = [("HSTRLEN", _key(cell, "holds"), order_id) for order_id in order_ids]
    lengths = await cell.read(*asked, at_once=False)
    return [one for one, length in zip(order_ids, lengths, strict=True) if not length]


async def holds(cell: Cell, order_ids: Sequence[str]) -> tuple[At, dict[str, bytes]]:
    """Read holds, packed, and their places in the sweeper's list (the second reply), at once."""
    read = await at_once(
        cell,
        ("HMGET", _key(cell, "holds"), *order_ids),
        ("ZMSCORE", _key(cell, "due"), *order_ids),
    )
    found = zip(order_ids, read.replies[0], strict=True)
    return read, {order_id: packed for order_id, packed in found if packed is not None}


async def counters(
    cell: Cell, fields: Sequence[str], order_ids: Sequence[str], after: str, most: int
) -> tuple[dict[str, int], dict[str, bytes], Entries]:
    """Read counters, holds, and which orders the log told of since `after`, at once."""
    asked: list[Command] = [("HMGET", _key(cell, "counters"), *fields)]
    if order_ids:
        asked.append(("HMGET", _key(cell, "holds"), *order_ids))
    asked.append(("XRANGE", _key(cell, "log"), f"({after}", "+", "COUNT", most))
    read = await at_once(cell, *asked)
    values = [int(value or 0) for value in read.replies[0]]
    packed = read.replies[1] if order_ids else []
    told = read.replies[-1]
    subjects = None if len(told) >= most else frozenset(_subjects(told))
    return (
        dict(zip(fields, values, strict=True)),
        {one: body for one, body in zip(order_ids, packed, strict=True) if body is not None},
        Entries(subjects),
    )


async def rules(cell: Cell, fields: Sequence[str]) -> list[bytes | None]:
    """Read rules."""
    (told,) = await cell.read(("HMGET", _key(cell, "rules"), *fields), at_once=False)
    return list(told)


async def last_id(cell: Cell) -> str:
    """Return where the log of an open cell ends."""
    return (await at_once(cell)).last_id


async def due_size(cell: Cell) -> int:
    """Return how many orders the sweeper waits for."""
    (told,) = await cell.read(("ZCARD", _key(cell, "due")), at_once=False)
    return int(told)


async def size(cell: Cell, name: str) -> int:
    """Return how many fields a hash has."""
    (told,) = await cell.read(("HLEN", _key(cell, name)), at_once=False)
    return int(told)


def unpack_hold(packed: bytes) -> Hold:
    """Return a hold of the cell."""
    return _hold.decode(packed)


def unpack_pause(packed: bytes) -> tuple[int, str, str]:
    """Return since when (ms), by whom and why something is paused."""
    since, by, reason = _list.decode(packed)[:3]
    return int(since), str(by), str(reason)


def _subjects(told: Iterable[Any]) -> Iterable[str]:
    for _, flat in told:
        named = dict(zip(flat[::2], flat[1::2], strict=True))
        for event in events.decode(named.get(b"e", b"\x90")):
            yield event.subject


def _key(cell: Cell, name: str) -> str:
    return keys.of(cell.id, name)


def _text(value: bytes | None) -> str:
    return value.decode() if value else ""
