"""Calls to the outside that wait in Postgres: leased, in turn by key, tried again, or given up.

A job is put down in the transaction that decides it. A worker claims some in a transaction of its
own, does each outside of any, and ends it in the transaction that writes what came of it. All that
ends a job is fenced by the token of its lease: a worker that was stopped, and whose lease lapsed
meanwhile, changes nothing any more. What it has sent by then is another matter: so a call begins
only while its lease outlasts it (`Job.may_begin`), and what is called must be idempotent.

Jobs of one key are done one after the other, in the order in which they were put down. For that,
whoever puts them down holds a lock of what the key names: ids are taken in the order of inserts,
and of two transactions at once the later id may be there first. A dead one is in nobody's way.

A queue is somebody who is asked, with a breaker of its own: after `BREAKER_FAILURES` in a row only
a probe is claimed now and then, so nobody waits for a dead peer, and no job is used up by it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from engine.infra import queries
from engine.infra.postgres import Connection, Pool
from engine.kernel import codec
from engine.kernel.clock import Clock
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.infra")

LEASE_S: Final = 60.0
LEASE_SPARE_S: Final = 5.0  # what a lease has left, at least, when the call in it must have ended
TRIES_MAX: Final = 12
BACK_OFF_FIRST_S: Final = 1.0  # then twice as long each time, give or take a fifth
BACK_OFF_LONGEST_S: Final = 600.0
BREAKER_FAILURES: Final = 5
BREAKER_FIRST_S: Final = 30.0
BREAKER_LONGEST_S: Final = 600.0
ERROR_LENGTH_MAX: Final = 500

Turn = Literal["go", "probe", "shut"]


class New(NamedTuple):
    """A job to put down. The payload has ids, never an address or a name of a person."""

    queue: str
    kind: str
    key: str
    payload: dict[str, Any]
    due_at: datetime | None = None  # None: at once


class Job(NamedTuple):
    """A job that this process has leased; `attempts` counts this one, too."""

    job_id: int
    tenant: Tenant
    queue: str
    kind: str
    key: str
    payload: dict[str, Any]
    attempts: int
    token: int
    until: float  # by the monotonic clock of the process, never later than Postgres has it

    def may_begin(self, clock: Clock, lasts_s: float) -> bool:
        """Tell whether a call that may last so long ends within the lease; ask right before it."""
        return clock.monotonic() + lasts_s + LEASE_SPARE_S <= self.until


class Dead(NamedTuple):
    """A job that was given up, for a person to look at and to try again."""

    job_id: int
    queue: str
    kind: str
    key: str
    payload: dict[str, Any]
    attempts: int
    last_error: str
    created_at: datetime


async def put(tx: Connection, tenant: Tenant, jobs: Iterable[New]) -> None:
    """Write jobs, in turn; they are seen when the caller's transaction commits."""
    rows = list(jobs)
    if rows:
        await tx.execute(
            SQL["put_jobs"], tenant, [one.queue for one in rows], [one.kind for one in rows],
            [one.key for one in rows], [codec.encode(one.payload).decode() for one in rows],
            [one.due_at for one in rows],
        )  # fmt: skip


async def claim(  # noqa: PLR0913 - whose, which, how many, how long
    db: "Connection | Pool",
    tenant: Tenant,
    clock: Clock,
    prefix: str,
    limit: int,
    *,
    busy: Mapping[str, int] = {},
    per_queue: int = 1_000_000,
    lease_s: float = LEASE_S,
) -> list[Job]:
    """Lease due jobs of the queues that begin with `prefix`, at most `limit`, of all of them some.

    To be called outside of a transaction: nobody else sees the lease before it is committed.
    `busy` says how many of each queue the caller has already, of at most `per_queue`: so a slow
    queue leaves room for the others.
    """
    until = clock.monotonic() + lease_s  # before Postgres looks at its clock: never too late
    rows = await db.fetch(
        SQL["claim_jobs"], tenant, prefix, list(busy), limit, timedelta(seconds=lease_s),
        BREAKER_FAILURES, list(busy.values()), per_queue,
    )  # fmt: skip
    return [
        Job(
            row["job_id"], tenant, row["queue"], row["kind"], row["key"],
            codec.decode_json(row["payload"]), row["attempts"], row["token"], until,
        )
        for row in rows
    ]  # fmt: skip


async def hold(tx: Connection, job: Job) -> bool:
    """Lock a job until the transaction ends; False: its lease lapsed and it is not ours any more.

    For a transaction that writes something before it ends the job.
    """
    return await tx.fetchval(SQL["hold_job"], job.job_id, job.token) is not None


async def finish(tx: Connection, job: Job) -> bool:
    """Remove a job that is done; False, as of everything below: it is not ours any more.

    Where it is False, the caller must undo what it wrote in this transaction.
    """
    return await tx.fetchval(SQL["finish_job"], job.job_id, job.token) is not None


async def retry(
    tx: "Connection | Pool", job: Job, error: str, *, tries_max: int = TRIES_MAX
) -> str:
    """Let a job wait before it is tried again; returns `waiting`, `dead`, or "" if it is not ours.

    With `tries_max` 0 it is never given up: for what must be known before anything else is done.
    """
    state: str | None = await tx.fetchval(
        SQL["retry_job"], job.job_id, job.token, error[:ERROR_LENGTH_MAX], tries_max,
        BACK_OFF_FIRST_S, BACK_OFF_LONGEST_S,
    )  # fmt: skip
    return state or ""


async def bury(tx: "Connection | Pool", job: Job, error: str) -> bool:
    """Give a job up at once: asking again would be answered the same."""
    text = error[:ERROR_LENGTH_MAX]
    return await tx.fetchval(SQL["bury_job"], job.job_id, job.token, text) is not None


async def release(tx: "Connection | Pool", job: Job, due_at: datetime | None = None) -> bool:
    """Give a job back that was not begun; it does not count as a try."""
    return await tx.fetchval(SQL["release_job"], job.job_id, job.token, due_at) is not None


async def withdraw(tx: Connection, tenant: Tenant, key: str) -> int:
    """Remove all jobs of a key, leased and dead ones too; return how many."""
    return len(await tx.fetch(SQL["withdraw_jobs"], tenant, key))


async def failed(db: "Connection | Pool", tenant: Tenant, queue: str, *, probe: bool) -> bool:
    """Count a call that nobody answered against its queue; True while its breaker is open.

    To be called outside of a transaction. `probe` says that the breaker was open when the call was
    claimed: only then it stays open longer, so that calls that were already out do not add up.
    """
    failures: int = await db.fetchval(
        SQL["breaker_failed"], tenant, queue, BREAKER_FAILURES, BREAKER_FIRST_S, BREAKER_LONGEST_S,
        probe,
    )  # fmt: skip
    return failures >= BREAKER_FAILURES


async def answered(db: "Connection | Pool", tenant: Tenant, queue: str) -> None:
    """Close the breaker of a queue: it answered, be it with a refusal."""
    await db.execute(SQL["breaker_succeeded"], tenant, queue)


async def turn(db: "Connection | Pool", tenant: Tenant, queue: str) -> Turn:
    """Tell whether somebody may be asked now who is no queue of jobs, but has a breaker, too.

    To be called outside of a transaction, right before the call; `failed` or `answered` follow.
    """
    row = await db.fetchrow(
        SQL["breaker_open"], tenant, queue, BREAKER_FAILURES, timedelta(seconds=BREAKER_FIRST_S)
    )
    if row is None or not row["open"]:
        return "go"
    return "probe" if row["probe"] else "shut"


async def open_breakers(db: "Connection | Pool", tenant: Tenant) -> set[str]:
    """Return the queues of which only probes are claimed."""
    rows = await db.fetch(SQL["open_breakers"], tenant, BREAKER_FAILURES)
    return {row["queue"] for row in rows}


async def dead(
    db: "Connection | Pool", tenant: Tenant, *, queue: str = "", after: int = 0, limit: int = 100
) -> list[Dead]:
    """Return jobs that were given up, the oldest first, behind the job `after`."""
    rows = await db.fetch(SQL["dead_jobs"], tenant, after, limit, queue)
    return [
        Dead(
            row["job_id"], row["queue"], row["kind"], row["key"],
            codec.decode_json(row["payload"]), row["attempts"], row["last_error"],
            row["created_at"],
        )
        for row in rows
    ]  # fmt: skip


async def revive(tx: Connection, tenant: Tenant, job_id: int) -> bool:
    """Try a dead job again, in its old turn; False if there is none of that id.

    Later jobs of its key may have been done meanwhile: whoever does it looks at the state of what
    it is about, as always.
    """
    return await tx.fetchval(SQL["revive_job"], tenant, job_id) is not None


async def revive_queue(tx: Connection, tenant: Tenant, queue: str, limit: int) -> int:
    """Try the oldest dead jobs of a queue again; return how many."""
    return len(await tx.fetch(SQL["revive_queue"], tenant, queue, limit))


async def counts(db: "Connection | Pool", tenant: Tenant) -> dict[tuple[str, str], int]:
    """Return how many jobs there are by (queue, state)."""
    rows = await db.fetch(SQL["count_jobs"], tenant)
    return {(row["queue"], row["state"]): row["jobs"] for row in rows}
