"""Statements and script calls of opening and of certifying a cell."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final, cast

import msgspec
from redis.exceptions import RedisError

from engine.assurance.rebuilding import SECTIONS, Part
from engine.assurance.types import Ending, Epoch, PoolTotals
from engine.infra import keys, queries
from engine.infra.cell import CallReply, Cell
from engine.infra.postgres import Connection, Pool
from engine.infra.wire import Command
from engine.kernel import limits
from engine.kernel.errors import Closed, Misconfigured, OutcomeUnknown

SQL: Final = queries.load("engine.assurance")
_LEASE: Final = timedelta(seconds=limits.LEASE_SECONDS)
_ACCOUNTS: Final = 5


async def next_epoch(db: Connection, cell: str) -> Epoch:
    """Begin a new epoch in Postgres; whoever records under the old one is fenced from here on."""
    row = await db.fetchrow(SQL["next_epoch"], cell)
    if row is None:
        raise Misconfigured(f"the database has no cell {cell}: run `tidegate migrate`")
    return Epoch(row["epoch"], row["last_id"], row["identity"])


async def make_cell(db: Connection, cell: str, identity: str) -> None:
    """Give a database its row of a cell, with the identity that both will carry; once."""
    await db.execute(SQL["make_cell"], cell, identity)


async def renew_lease(db: "Pool | Connection", process: str, restored_epoch: int) -> None:
    """Say that this process lives, and up to which epoch it has put its claims back."""
    await db.execute(SQL["renew_lease"], process, _LEASE, restored_epoch)


async def begin_restoring(cell: Cell, epoch: Epoch) -> None:
    """Take the cell into the new epoch; only restoring is accepted from here on.

    Raises:
        Misconfigured: the cell belongs to another database.
        Closed: another opener was faster.
    """
    claims = [epoch.identity, epoch.last_id]
    reply = await cell.call("open", claims, argument="restoring", epoch=epoch.epoch)
    if reply.word == "OTHER_DATABASE":
        raise Misconfigured(
            "this cell belongs to another database: give the matching TIDEGATE_DATABASE_URL, or an"
            " empty Valkey"
        )


async def finish_opening(cell: Cell, epoch: Epoch) -> None:
    """Open the cell for claims."""
    claims = [epoch.identity, epoch.last_id]
    await cell.call("open", claims, argument="open", epoch=epoch.epoch)


async def wipe(cell: Cell, epoch: Epoch, last_id: str, seen_ms: int) -> None:
    """Empty the cell and take it into the new epoch; only `rebuild` is accepted from here on.

    Raises:
        Misconfigured: the cell belongs to another database, and is not empty.
        Closed: another opener was faster.
    """
    claims = [epoch.identity, last_id, seen_ms]
    reply = await cell.call("wipe", claims, argument="0", epoch=epoch.epoch)
    if reply.word == "OTHER_DATABASE":
        raise Misconfigured(
            "this cell belongs to another database: give the matching TIDEGATE_DATABASE_URL, or an"
            " empty Valkey"
        )


async def rebuild(cell: Cell, epoch: int, number: int, part: Part) -> None:
    """Write one numbered part into a cell that `wipe` emptied; a repeat changes nothing.

    Raises:
        Closed: a newer epoch is at work.
    """
    nothing: list[object] = [number, [0] * len(SECTIONS), []]
    writes = list(_writes(cell, part))
    reply = await cell.call_with("rebuild", nothing, writes, epoch=epoch)
    if reply is None:  # beyond the bound of memory, where only scripts may write
        sections = [part[name] for name in SECTIONS]
        values = [value for section in sections for value in section]
        claims = [number, [len(section) for section in sections], []]
        # the client sends numbers and text as they are
        packed = cast("Sequence[bytes]", values)
        reply = await cell.call("rebuild", claims, packed, argument="0", epoch=epoch)
    _require_done(number, reply)


def _writes(cell: Cell, part: Part) -> Iterator[Command]:
    for section, (command, name) in SECTIONS.items():
        key, values = keys.of(cell.id, name), part[section]
        if command == "HINCRBY":
            yield from ((command, key, *values[at : at + 2]) for at in range(0, len(values), 2))
        elif values:
            yield (command, key, *values)


async def end_rebuild(cell: Cell, epoch: int, number: int, ending: Ending) -> None:
    """End a rebuild: the cell is `restoring`.

    Raises:
        Closed: a newer epoch is at work.
    """
    claims = [number, [0] * len(SECTIONS), ending]
    _require_done(number, await cell.call("rebuild", claims, argument="0", epoch=epoch))


def _require_done(number: int, reply: CallReply) -> None:
    """A part goes out once; where the cell says anything else the whole is begun anew."""
    if reply.results[0][0] != "DONE":
        raise Closed(f"part {number} met a cell that says {reply.results[0]}")


async def extend(cell: Cell, epoch: int) -> None:
    """Move every deadline that fell into the closed time, in bounded calls."""
    more = 1
    while more:
        reply = await cell.call("extend", [limits.CLAIMS_PER_CALL_MAX], argument="0", epoch=epoch)
        _, more = reply.results


async def close(cell: Cell, epoch: int, reason: str) -> None:
    """Close the cell, with a sentence; a newer epoch is left alone."""
    await cell.call("close", [reason], argument="0", epoch=epoch)


async def cell_pools(cell: Cell) -> dict[str, PoolTotals]:
    """Read every pool of a cell that nobody writes to.

    Raises:
        OutcomeUnknown: the cell does not answer.
    """
    try:
        packed = await cell.redis.hgetall(keys.of(cell.id, "pools"))
    except (RedisError, OSError) as error:
        raise OutcomeUnknown("the cell does not answer") from error
    pools = {}
    for pool_id, body in cast("dict[bytes, bytes]", packed).items():
        values: list[Any] = msgspec.msgpack.decode(body)
        pools[pool_id.decode()] = PoolTotals(*values[:_ACCOUNTS])
    return pools


async def log_end(cell: Cell) -> str:
    """Return the id of the last entry ever written to the log, `0-0` when there is none.

    Raises:
        OutcomeUnknown: the cell does not answer.
    """
    try:
        if not await cell.redis.exists(keys.of(cell.id, "log")):
            return "0-0"
        info = await cell.redis.xinfo_stream(keys.of(cell.id, "log"))
    except (RedisError, OSError) as error:
        raise OutcomeUnknown("the cell does not answer") from error
    return cast("bytes", info["last-generated-id"]).decode()


async def log_begin(cell: Cell) -> str:
    """Return the id of the first entry that the log still has, `0-0` when it has none.

    Raises:
        OutcomeUnknown: the cell does not answer.
    """
    found = await cell.ask("XRANGE", keys.of(cell.id, "log"), "-", "+", "COUNT", 1)
    return cast("bytes", found[0][0]).decode() if found else "0-0"


async def is_empty(cell: Cell) -> bool:
    """Whether a cell has neither pools nor holds: whoever it belongs to loses nothing.

    Raises:
        OutcomeUnknown: the cell does not answer.
    """
    sizes = [await cell.ask("HLEN", keys.of(cell.id, name)) for name in ("pools", "holds")]
    return not any(sizes)


async def checkpoint(cell: Cell, checkpoint_id: str) -> str:
    """Write a checkpoint into the log and return where it ends.

    Raises:
        Closed: only an open cell is certified.
    """
    if not cell.is_open:
        raise Closed("the cell is closed: nothing can be certified now")
    return (await cell.call("checkpoint", [checkpoint_id])).log_id
