"""Dead letters: what the engine gave up, to be looked at and, where that may help, tried again.

They are of two kinds. A call to a node's system that was refused each time it was made, or that
nobody would answer otherwise: `job-<n>`; it is tried again once its cause is gone. An entry of the
cell's log that Postgres refused: `cell-<n>`; it would be refused again, and the order it is about
shows in `needs_attention`, so a person settles it and says that it is. Nothing here has an address
or a name of a person.
"""

from datetime import datetime
from typing import Final

import asyncpg

from engine.assurance.store import SQL
from engine.infra import jobs
from engine.infra.jobs import Dead
from engine.infra.postgres import Connection, Pool
from engine.kernel import codec
from engine.kernel.clock import instant, rfc3339, to_ms
from engine.kernel.errors import InConflict, NotFound
from engine.kernel.types import Tenant

RETRIED_PER_CALL_MAX: Final = 1_000
_JOB: Final = "job"
_CELL: Final = "cell"
_RETRIED: Final = "dead_letters.retried"
_SETTLED: Final = "dead_letters.settled"
_UNKNOWN: Final = "there is no dead letter of that id"
_ID_MAX: Final = 2**63 - 1


class LetterView(codec.Answer, frozen=True):
    """Something that was given up; `subject` is the consignment or the order that it is about.

    `queue` is who was asked (`wms:` and the node), or the cell. `retryable`: it may be tried again.
    """

    id: str
    queue: str
    kind: str
    subject: str
    node: str
    attempts: int
    last_error: str
    since: str
    age_seconds: int
    retryable: bool


class LetterPage(codec.Answer, frozen=True):
    """Dead letters: those of the cell first, then calls, the oldest of each first."""

    items: list[LetterView]
    next_cursor: str | None


class LettersRetried(codec.Answer, frozen=True):
    """How many are tried again now."""

    retried: int


class LetterSettled(codec.Answer, frozen=True):
    """One that is in no list any more."""

    id: str
    reason: str


async def listed(  # noqa: PLR0913 - whose, which, from where, how many
    db: "Connection | Pool",
    tenant: Tenant,
    cell: str,
    now_ms: int,
    *,
    queue: str = "",
    after: tuple[str, int] = (_CELL, 0),
    limit: int,
) -> list[LetterView]:
    """Return dead letters behind one of them, which is named by its kind and number."""
    found: list[LetterView] = []
    kind, number = after
    if kind == _CELL and queue in {"", f"{_CELL}:{cell}"}:
        rows = await db.fetch(SQL["dead_letters"], cell, number, limit)
        found = [_of_cell(row, now_ms) for row in rows]
    if len(found) < limit:
        from_ = number if kind == _JOB else 0
        rest = await jobs.dead(db, tenant, queue=queue, after=from_, limit=limit - len(found))
        found += [_of_job(one, now_ms) for one in rest]
    return found


async def retry(db: Pool, tenant: Tenant, letter_id: str, actor: str) -> int:
    """Try one again, in its old turn; returns 1.

    Raises:
        NotFound: there is none of that id, or it is tried again already.
        InConflict: it is one of the cell.
    """
    kind, number = _place(letter_id)
    if kind == _CELL:
        raise InConflict("Postgres would refuse it again: settle its order by hand, then this")
    async with db.acquire() as tx, tx.transaction():
        if not await jobs.revive(tx, tenant, number):
            raise NotFound(_UNKNOWN)
        await _tell(tx, _RETRIED, actor, {"id": letter_id, "retried": 1})
    return 1


async def settle(db: Pool, cell: str, letter_id: str, reason: str, actor: str) -> LetterSettled:
    """Note that a person has settled what an entry of the cell's log was about.

    Raises:
        NotFound: there is none of that id, or it is settled already.
        InConflict: it is a call.
    """
    kind, number = _place(letter_id)
    if kind == _JOB:
        raise InConflict("a call ends by itself: try it again, or cancel what it is for")
    async with db.acquire() as tx, tx.transaction():
        if not await tx.fetchval(SQL["settle_letter"], cell, number):
            raise NotFound(_UNKNOWN)
        await _tell(tx, _SETTLED, actor, {"id": letter_id, "reason": reason})
    return LetterSettled(letter_id, reason)


async def retry_queue(db: Pool, tenant: Tenant, queue: str, actor: str) -> int:
    """Try the oldest of a queue again, at most `RETRIED_PER_CALL_MAX`; return how many."""
    async with db.acquire() as tx, tx.transaction():
        done = await jobs.revive_queue(tx, tenant, queue, RETRIED_PER_CALL_MAX)
        if done:
            await _tell(tx, _RETRIED, actor, {"queue": queue, "retried": done})
    return done


def place_of(view: LetterView) -> tuple[str, int]:
    """Return the kind and number of a letter."""
    return _place(view.id)


def lines(found: list[LetterView]) -> list[str]:
    """Return letters as a person reads them in a terminal."""
    return [
        f"{one.id}  {one.queue}  {one.kind}  {one.subject}  {one.attempts} tries"
        f"  {one.age_seconds} s  {one.last_error}"
        for one in found
    ]


def _of_job(one: Dead, now_ms: int) -> LetterView:
    return LetterView(
        f"{_JOB}-{one.job_id}", one.queue, one.kind, one.key, str(one.payload.get("node", "")),
        one.attempts, one.last_error, *_since(one.created_at, now_ms), retryable=True,
    )  # fmt: skip


def _of_cell(row: asyncpg.Record, now_ms: int) -> LetterView:
    reason = row["reason"].partition("\n")[0]  # what follows may quote the row
    return LetterView(
        f"{_CELL}-{row['id']}", f"{_CELL}:{row['cell']}", row["kind"], row["order_id"], "", 1,
        reason, *_since(row["at"], now_ms), retryable=False,
    )  # fmt: skip


def _since(at: datetime, now_ms: int) -> tuple[str, int]:
    return rfc3339(to_ms(at)), max(0, int((instant(now_ms) - at).total_seconds()))


def _place(letter_id: str) -> tuple[str, int]:
    kind, _, number = letter_id.partition("-")
    known = kind in {_CELL, _JOB} and number.isascii() and number.isdecimal()
    if not known or int(number) > _ID_MAX:
        raise NotFound(_UNKNOWN)
    return kind, int(number)


async def _tell(tx: Connection, kind: str, actor: str, told: dict[str, object]) -> None:
    await tx.execute(SQL["tell"], kind, actor, codec.encode(told).decode())
