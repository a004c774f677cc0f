"""What the cell is asked and what it answers; the only file of this slice that knows its keys.

Every function settles a batch in one script call and returns one result per item, in order: a
value, or the refusal as an exception that is not raised, because its neighbours may have succeeded.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Literal, cast

from redis.exceptions import RedisError

from engine.infra import keys
from engine.infra.cell import Cell
from engine.kernel import limits
from engine.kernel.clock import rfc3339
from engine.kernel.errors import (
    Ended,
    EngineError,
    IdempotencyConflict,
    InConflict,
    LimitReached,
    NotStarted,
    OutcomeUnknown,
    Overloaded,
    Paused,
    SoldOut,
    TicketNeeded,
    UnknownSku,
    ValidationFailed,
    WrongCall,
)
from engine.kernel.types import Fault, OrderId
from engine.reservation.bundles import named
from engine.reservation.columns import as_asked
from engine.reservation.stages import Due
from engine.reservation.types import (
    Claim,
    Held,
    HoldRecord,
    PaymentClaim,
    ReleaseClaim,
    Result,
    SnapshotClaim,
    Synced,
    TicketClaim,
    Turn,
    decode_hold,
)

_SCAN_COUNT: Final = 1_000
_SYNCED: Final[Mapping[str, Literal["created", "updated", "unchanged", "stale"]]] = {
    "CREATED": "created", "UPDATED": "updated", "UNCHANGED": "unchanged", "STALE": "stale",
}  # fmt: skip
_TICKETS: Final = {
    "none": "this campaign has a waiting room: take a ticket first",
    "invalid": "the ticket was not given to this buyer for this campaign",
    "expired": "the ticket is over: take another one",
}
_ENDED_AS: Final = {
    "ALREADY_CONFIRMED": "paid",
    "ALREADY_RELEASED": "cancelled",
    "EXPIRED": "expired",
}


async def reserve(
    cell: Cell, claims: Sequence[Claim], payloads: Sequence[bytes]
) -> list[Held | EngineError]:
    """Take stock for each claim; safe to repeat with the same claims."""
    reply = await cell.call("reserve", *as_asked(claims, payloads))
    return [
        _held(claim, result, reply.log_id)
        for claim, result in zip(claims, reply.results, strict=True)
    ]


async def restore(
    cell: Cell, epoch: int, claims: Sequence[tuple[object, ...]], payloads: Sequence[bytes]
) -> tuple[str, list[Result]]:
    """Put accepted claims back while a cell is being opened; return the log id and verdicts."""
    reply = await cell.call("restore", claims, payloads, argument="0", epoch=epoch)
    return reply.log_id, reply.results


async def sync(
    cell: Cell, snapshots: Sequence[SnapshotClaim], payloads: Sequence[bytes]
) -> list[Synced | EngineError]:
    """Make orders what these snapshots say; safe to repeat, in any order."""
    reply = await cell.call("sync", snapshots, payloads)
    return [_synced(result, reply.log_id) for result in reply.results]


async def resync(
    cell: Cell, epoch: int, snapshots: Sequence[SnapshotClaim], payloads: Sequence[bytes]
) -> tuple[str, list[Result]]:
    """Judge snapshots once more while a cell is being opened; return the log id and verdicts."""
    reply = await cell.call("resync", snapshots, payloads, argument="0", epoch=epoch)
    return reply.log_id, reply.results


async def confirm(cell: Cell, payments: Sequence[PaymentClaim]) -> tuple[str, list[Result]]:
    """Book payments; results are the script's words, `EXPIRED` ones are still to be reheld."""
    reply = await cell.call("confirm", [payment[:8] for payment in payments])
    return reply.log_id, reply.results


async def rehold(cell: Cell, payments: Sequence[PaymentClaim]) -> tuple[str, list[Result]]:
    """Book payments that came after their hold expired."""
    reply = await cell.call("rehold", payments)
    return reply.log_id, reply.results


async def release(cell: Cell, claims: Sequence[ReleaseClaim]) -> tuple[str, list[Result]]:
    """Give pending holds back; return the log id and the script's words."""
    reply = await cell.call("release", claims)
    return reply.log_id, reply.results


async def release_again(
    cell: Cell, epoch: int, claims: Sequence[ReleaseClaim]
) -> tuple[str, list[Result]]:
    """Give holds back once more while a cell is being opened; what it still knows stays."""
    reply = await cell.call("release", claims, argument="0", epoch=epoch)
    return reply.log_id, reply.results


async def tickets(cell: Cell, claims: Sequence[TicketClaim]) -> list[Turn | EngineError]:
    """Give buyers places in waiting rooms, or tickets; a place taken twice is two turns."""
    reply = await cell.call("ticket", claims)
    return [_turn(result) for result in reply.results]


async def expire(cell: Cell, count: int = limits.CLAIMS_PER_CALL_MAX) -> tuple[int, int]:
    """End what is due; return how many were (-1 while deadlines move) and the next deadline, ms."""
    done, following = (await cell.call("expire", [count])).results
    return done, following


async def prune(cell: Cell, count: int = limits.CLAIMS_PER_CALL_MAX) -> int:
    """Forget what was remembered long enough; return how many were looked at."""
    return cast("int", (await cell.call("prune", [count])).results[0])


async def holds(cell: Cell, order_ids: Sequence[OrderId]) -> list[HoldRecord | None]:
    """Return orders as the cell remembers them, None for one that it does not.

    Raises:
        OutcomeUnknown: the cell does not answer.
    """
    found = await cell.ask("HMGET", keys.of(cell.id, "holds"), *order_ids)
    return [None if one is None else decode_hold.decode(one) for one in found]


async def open_epoch(cell: Cell) -> int:
    """Return the epoch under which the cell is open, 0 while it is not.

    Raises:
        OutcomeUnknown: the cell does not answer.
    """
    epoch, phase = await cell.ask("HMGET", keys.of(cell.id, "cell"), "epoch", "phase")
    return int(epoch or 0) if phase == b"open" else 0


async def last_log_id(cell: Cell) -> str:
    """Return the log id of the last entry that a script wrote.

    Raises:
        OutcomeUnknown: the cell does not answer.
    """
    last: bytes | None = await cell.ask("HGET", keys.of(cell.id, "cell"), "last")
    return (last or b"0-0").decode()


async def remembered(cell: Cell) -> AsyncIterator[bytes]:
    """Yield the id of every order the cell remembers, some perhaps twice.

    Raises:
        OutcomeUnknown: the cell does not answer.
    """
    key, cursor = keys.of(cell.id, "holds"), 0
    while True:
        try:
            cursor, page = await cell.redis.hscan(key, cursor, count=_SCAN_COUNT)
        except (RedisError, OSError) as error:
            raise OutcomeUnknown("the cell does not answer") from error
        for order_id in cast("dict[bytes, bytes]", page):
            yield order_id
        if cursor == 0:
            return


class EmptyPools(SoldOut):
    """No pool of this line had a unit left when the cell decided; nothing was taken."""

    sku: str
    pools: frozenset[str]
    log_id: str


def _held(claim: Claim, result: Result, log_id: str) -> Held | EngineError:
    match result:
        case ["RESERVED", state, pay_by, total, dropped, *stages]:
            held = (state, pay_by, total, dropped, False, log_id)
            return Held(claim.order_id, *held, stages=_stages(stages))
        case ["REPEATED", state, pay_by, total, dropped, *stages]:
            again = (state, pay_by, total, dropped, True)
            bundled = len(stages) > 1  # the second says so
            return Held(claim.order_id, *again, stages=_stages(stages), bundled=bundled)
        case _:
            return _refusal(claim, result, log_id)


def _synced(result: Result, log_id: str) -> Synced | EngineError:
    match result:
        case [word, _, version, short, unmapped, below] if word in _SYNCED:
            return Synced(_SYNCED[word], version, short, unmapped, below, log_id)
        case ["WRONG_CALL"]:
            return WrongCall("orders of this channel are asked for by POST /v1/orders")
        case ["UNKNOWN_CHANNEL"]:
            return Overloaded("the cell has not been told of this channel yet")
        case ["CONFLICT"]:
            return InConflict("its snapshots have named too many different lines")
        case _:
            raise AssertionError(f"sync answered {result[0]!r}, which is not in its header")


def _turn(result: Result) -> Turn | EngineError:
    match result:
        case ["TICKET", until, ticket]:
            return Turn(until, ticket=ticket)
        case ["WAIT", at, place, ahead]:
            return Turn(at, place=place, ahead=ahead)
        case ["ENDED", at]:
            return Ended(ended_at=rfc3339(at))
        case ["NO_ROOM"]:
            return InConflict("this campaign has no waiting room: anybody may order in it")
        case ["INVALID"]:
            told = "was not given to this buyer for this campaign: leave it out to get another one"
            return ValidationFailed([Fault("/place", told)])
        case _:
            raise AssertionError(f"ticket answered {result[0]!r}, which is not in its header")


def _stages(told: Sequence[list[list[Any]]]) -> list[Due]:
    return [Due(*stage) for stage in told[0]] if told else []


def _refusal(  # noqa: C901, PLR0911, PLR0912 - one case a word
    claim: Claim, result: Result, log_id: str
) -> EngineError:
    match result:
        case ["CONFLICT"]:
            return IdempotencyConflict(order_id=claim.order_id)
        case ["SOLD_OUT", n, empty, pools]:
            return _sold_out(claim, n, pools if empty else [], log_id)
        case ["LIMIT_REACHED", n, _, -1]:
            detail = "required: a limit counts what one buyer takes"
            return ValidationFailed([Fault("/buyer_id", detail)], f"line {n} is limited per buyer")
        case ["LIMIT_REACHED", n, maximum, counted]:
            return LimitReached(line=n, maximum=maximum, counted=counted)
        case ["NOT_STARTED", at]:
            return NotStarted(starts_at=rfc3339(at))
        case ["ENDED", at]:
            return Ended(ended_at=rfc3339(at))
        case ["TICKET_NEEDED", why]:
            return TicketNeeded(_TICKETS[why], reason=why)
        case ["PAUSED", scope, *_]:
            return Paused(scope=scope)
        case ["UNKNOWN_SKU", n]:
            return UnknownSku("", **named(claim.lines, n))
        case ["WRONG_CALL"]:
            return WrongCall("its channel's orders come by POST /v1/orders:sync")
        case ["SHORT", 0]:
            return InConflict("the order it is split from is another buyer's sale, or partly paid")
        case ["SHORT", n]:
            return InConflict(f"the order it is split from has fewer units of line {n}", line=n)
        case ["UNKNOWN_ORDER"]:
            return InConflict("the order it is split from is not known")
        case [("ALREADY_CONFIRMED" | "ALREADY_RELEASED" | "EXPIRED") as state]:
            return InConflict(f"the order it is split from is {_ENDED_AS[state]}")
        case _:
            raise AssertionError(f"reserve answered {result[0]!r}, which is not in its header")


def _sold_out(claim: Claim, n: int, pools: Sequence[str], log_id: str) -> SoldOut:
    sku, where = claim.lines[n - 1][0], named(claim.lines, n)
    if not pools:
        return SoldOut("", **where)
    refusal = EmptyPools("a line has no sellable unit left; nothing was taken", **where)
    refusal.sku, refusal.pools, refusal.log_id = sku, frozenset(pools), log_id
    return refusal
