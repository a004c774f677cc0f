"""Leased jobs: in turn by key, done once, tried again, given up; nobody waits for a dead peer."""

import asyncio
import os
import random
import signal
import sys
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from engine.infra import jobs
from engine.kernel.clock import SystemClock
from engine.kernel.types import MAIN
from tests.conftest import eventually

CLOCK = SystemClock()
DUE_NOW = "UPDATE jobs SET due_at = now() WHERE leased_until IS NULL"
# Claims one job, says so, and is killed before it can end it.
VICTIM = """
import asyncio, sys
import asyncpg
from engine.infra import jobs
from engine.kernel.clock import SystemClock

async def main():
    connection = await asyncpg.connect(sys.argv[1])
    [job] = await jobs.claim(connection, "main", SystemClock(), "wms:", 1, lease_s=0.5)
    print(job.job_id, job.token, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
async def pool(database_url):
    async with asyncpg.create_pool(database_url, min_size=0, max_size=10) as opened:
        yield opened


async def put(pg, *new, tenant=MAIN):
    async with pg.transaction():
        await jobs.put(pg, tenant, [jobs.New(*one) for one in new])


async def claim(db, limit=16, prefix="wms:", **more):
    return await jobs.claim(db, MAIN, CLOCK, prefix, limit, **more)


async def due_now(pg):
    """As if the time of waiting were over, and no lease."""
    await pg.execute(DUE_NOW)


async def work(pool, log, rng, left):
    """Do jobs until none is left, giving some back or up to the back-off on the way."""
    running = log["running"]
    while left():
        for job in await claim(pool, rng.randint(1, 4)):
            if job.key in running:
                log["together"].append(job.key)
            running.add(job.key)
            await asyncio.sleep(rng.random() / 500)
            running.discard(job.key)
            fate = rng.random()
            if fate < 0.15:
                await jobs.release(pool, job)
            elif fate < 0.3:
                await jobs.retry(pool, job, "again")
                await pool.execute(f"{DUE_NOW} AND job_id = $1", job.job_id)
            elif await jobs.finish(pool, job):
                log[job.key].append(job.payload["n"])
        await asyncio.sleep(0)


async def many_workers(pg, pool, seed):
    rng = random.Random(seed)
    keys = [f"o{n}" for n in range(30)]
    new = [(f"wms:N{rng.randint(1, 3)}", "create", key, {"n": n}) for n in range(4) for key in keys]
    await put(pg, *new)
    log = defaultdict(list)
    log["running"] = set()
    end = asyncio.get_running_loop().time() + 20

    def left():
        done = sum(len(log[key]) for key in keys)
        return done < len(new) and asyncio.get_running_loop().time() < end

    async with asyncio.TaskGroup() as tasks:
        for n in range(8):
            tasks.create_task(work(pool, log, random.Random(f"{seed} {n}"), left))
    return log, keys


@pytest.mark.parametrize("seed", range(3))
async def test_many_workers_do_each_job_once_and_those_of_a_key_in_turn(pg, pool, seed):
    log, keys = await many_workers(pg, pool, seed)
    assert {key: log[key] for key in keys} == {key: [0, 1, 2, 3] for key in keys}
    assert log["together"] == []
    assert await jobs.counts(pg, MAIN) == {}


async def test_control_without_looking_at_earlier_ones_the_turn_is_lost(pg, pool, monkeypatch):
    """If this keeps the turn, too, the test above proves nothing."""
    sql = jobs.SQL["claim_jobs"]
    careless = sql.replace("e.job_id < j.job_id", "false")
    assert careless != sql
    monkeypatch.setitem(jobs.SQL, "claim_jobs", careless)
    log, keys = await many_workers(pg, pool, 0)
    assert log["together"] or any(log[key] != sorted(log[key]) for key in keys)


async def killed_between_lease_and_finish(pg, database_url):
    """Return what a worker had leased that was killed with it, and who took it over."""
    await put(pg, ("wms:N1", "create", "o1", {"n": 1}), ("wms:N1", "cancel", "o1", {"n": 2}))
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", VICTIM, database_url, stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    job_id, token = map(int, (await asyncio.wait_for(victim.stdout.readline(), 20)).split())
    victim.send_signal(signal.SIGKILL)
    await victim.wait()
    lost = jobs.Job(job_id, MAIN, "wms:N1", "create", "o1", {"n": 1}, 1, token, 0)
    return lost, await eventually(lambda: claim(pg))


async def test_a_killed_workers_job_comes_again_before_the_next_of_its_key(pg, database_url):
    lost, [again] = await killed_between_lease_and_finish(pg, database_url)
    assert (again.job_id, again.kind, again.attempts) == (lost.job_id, "create", 2)
    assert again.token > lost.token
    assert await claim(pg) == []  # its successor waits for it


async def test_a_worker_that_lost_its_lease_changes_nothing(pg, database_url):
    lost, [again] = await killed_between_lease_and_finish(pg, database_url)
    async with pg.transaction():
        assert not await jobs.hold(pg, lost)
        assert not await jobs.finish(pg, lost)
    assert await jobs.retry(pg, lost, "late") == ""
    assert not await jobs.bury(pg, lost, "late")
    assert not await jobs.release(pg, lost)
    async with pg.transaction():
        assert await jobs.hold(pg, again)
        assert await jobs.finish(pg, again)
    assert [job.kind for job in await claim(pg)] == ["cancel"]


async def test_control_without_the_token_it_takes_a_job_from_under_another(
    pg, database_url, monkeypatch
):
    """If this is refused, too, the test above proves nothing."""
    lost, [again] = await killed_between_lease_and_finish(pg, database_url)
    careless = jobs.SQL["finish_job"].replace("token = $2", "$2::bigint IS NOT NULL")
    monkeypatch.setitem(jobs.SQL, "finish_job", careless)
    assert await jobs.finish(pg, lost)
    assert not await jobs.hold(pg, again)


async def test_a_call_begins_only_while_the_lease_outlasts_it(pg):
    await put(pg, ("wms:N1", "create", "o1", {}))
    [job] = await claim(pg)
    assert job.may_begin(CLOCK, 10)
    assert not job.may_begin(CLOCK, jobs.LEASE_S - jobs.LEASE_SPARE_S + 0.1)
    assert not job._replace(until=CLOCK.monotonic() + 14).may_begin(CLOCK, 10)
    # Postgres lets nobody else have it before we think that it lapsed
    left = await pg.fetchval("SELECT extract(epoch FROM leased_until - now())::float8 FROM jobs")
    assert CLOCK.monotonic() + left >= job.until - 0.01


async def test_jobs_are_seen_with_the_transaction_that_decided_them(pg, pool):
    transaction = pg.transaction()
    await transaction.start()
    await jobs.put(pg, MAIN, [jobs.New("wms:N1", "create", "o1", {})])
    assert await claim(pool) == []
    await transaction.rollback()
    assert await claim(pool) == []
    later = datetime.now(UTC) + timedelta(hours=1)
    await put(pg, ("wms:N1", "create", "o1", {}, later), ("other:N1", "create", "o2", {}))
    await put(pg, ("wms:N1", "create", "o3", {}), tenant="another")
    assert await claim(pool) == []
    await due_now(pg)
    assert [job.key for job in await claim(pool)] == ["o1"]


async def test_it_waits_twice_as_long_each_time_and_is_given_up_in_the_end(pg):
    await put(pg, ("wms:N1", "create", "o1", {}), ("wms:N1", "cancel", "o1", {}))
    for attempt in range(1, jobs.TRIES_MAX + 1):
        [job] = await claim(pg)
        assert (job.kind, job.attempts) == ("create", attempt)
        state = await jobs.retry(pg, job, "x" * 900)
        assert state == ("dead" if attempt == jobs.TRIES_MAX else "waiting")
        waits = await pg.fetchval(
            "SELECT extract(epoch FROM due_at - now())::float8 FROM jobs WHERE job_id = $1",
            job.job_id,
        )
        expected = min(2.0 ** (attempt - 1), 600.0)
        assert 0.79 * expected - 0.1 < waits <= 1.21 * expected
        await due_now(pg)
    [letter] = await jobs.dead(pg, MAIN)
    assert (letter.key, letter.attempts, letter.last_error) == ("o1", 12, "x" * 500)
    assert await jobs.dead(pg, MAIN, after=letter.job_id) == []
    [after] = await claim(pg)  # a dead one is in nobody's way
    assert after.kind == "cancel"
    await jobs.release(pg, after)

    assert not await jobs.revive(pg, "another", letter.job_id)
    assert await jobs.revive(pg, MAIN, letter.job_id)
    assert not await jobs.revive(pg, MAIN, letter.job_id)
    [again] = await claim(pg)
    assert (again.kind, again.attempts) == ("create", 1)
    assert await jobs.bury(pg, again, "refused")
    assert await jobs.counts(pg, MAIN) == {("wms:N1", "dead"): 1, ("wms:N1", "waiting"): 1}


async def test_waits_are_spread(pg):
    await put(pg, *[("wms:N1", "create", f"o{n}", {}) for n in range(50)])
    for job in await claim(pg, 50):
        await jobs.retry(pg, job, "")
    spread = await pg.fetchval("SELECT extract(epoch FROM max(due_at) - min(due_at)) FROM jobs")
    assert spread > 0.2


async def test_what_must_be_known_is_never_given_up(pg):
    await put(pg, ("wms:N1", "create", "o1", {}))
    await pg.execute("UPDATE jobs SET attempts = 500")
    [job] = await claim(pg)
    assert await jobs.retry(pg, job, "no answer", tries_max=0) == "waiting"


async def test_a_job_that_was_not_begun_is_no_try(pg):
    await put(pg, ("wms:N1", "create", "o1", {}))
    [job] = await claim(pg)
    assert await jobs.release(pg, job)
    [job] = await claim(pg)
    assert job.attempts == 1
    await jobs.release(pg, job, datetime.now(UTC) + timedelta(minutes=1))
    assert await claim(pg) == []


async def test_withdrawn_jobs_are_gone_whoever_has_them(pg):
    await put(pg, ("wms:N1", "create", "o1", {}), ("wms:N1", "cancel", "o1", {}))
    [job] = await claim(pg)
    async with pg.transaction():
        assert await jobs.withdraw(pg, MAIN, "o1") == 2
    assert not await jobs.finish(pg, job)


async def test_every_queue_gets_its_turn(pg):
    await put(pg, *[("wms:N1", "create", f"a{n}", {}) for n in range(20)])
    await put(pg, *[("wms:N2", "create", f"b{n}", {}) for n in range(2)])
    await put(pg, ("wms:N3", "create", "c", {}))
    taken = sorted(job.queue for job in await claim(pg, 6))
    assert taken == ["wms:N1"] * 3 + ["wms:N2"] * 2 + ["wms:N3"]
    assert await claim(pg, 6, busy={"wms:N1": 2}, per_queue=2) == []
    assert len(await claim(pg, 6, busy={"wms:N1": 2}, per_queue=5)) == 3
    assert len(await claim(pg, 20, per_queue=4)) == 4


async def fail(pg, queue="wms:N1", times=1, *, probe=False):
    for _ in range(times):
        is_open = await jobs.failed(pg, MAIN, queue, probe=probe)
    return is_open


async def probe_in(pg):
    return await pg.fetchval(
        "SELECT round(extract(epoch FROM probe_at - now()))::int FROM job_breakers"
    )


async def test_after_five_failures_a_queue_gets_one_probe_and_the_others_go_on(pg, pool):
    await put(pg, *[("wms:N1", "create", f"a{n}", {}) for n in range(9)])
    await put(pg, ("wms:N2", "create", "b", {}))
    assert not await fail(pg, times=4)
    assert await jobs.open_breakers(pg, MAIN) == set()
    assert await fail(pg)
    assert await jobs.open_breakers(pg, MAIN) == {"wms:N1"}
    assert await probe_in(pg) == 30
    assert [job.key for job in await claim(pool)] == ["b"]

    await pg.execute("UPDATE job_breakers SET probe_at = now()")
    # several workers at once, and one probe
    found = await asyncio.gather(*(claim(pool) for _ in range(6)))
    [probe] = [job for some in found for job in some]
    assert probe.queue == "wms:N1"
    assert await claim(pool) == []
    await fail(pg, probe=True)
    assert await probe_in(pg) == 60
    await jobs.retry(pg, probe, "no answer")

    await pg.execute("UPDATE job_breakers SET probe_at = now()")
    [other] = await claim(pool)
    assert other.key != probe.key  # so no job is used up by a long outage
    await jobs.answered(pg, MAIN, "wms:N1")
    assert len(await claim(pool)) == 7


async def test_calls_that_were_out_when_it_opened_do_not_open_it_for_longer(pg):
    await fail(pg, times=16)
    assert await probe_in(pg) == 30
    await fail(pg, times=9, probe=True)
    assert await probe_in(pg) == 600
    await fail(pg, times=30, probe=True)
    assert await probe_in(pg) == 600


async def test_a_success_in_between_begins_to_count_anew(pg):
    await fail(pg, times=4)
    await jobs.answered(pg, MAIN, "wms:N1")
    assert not await fail(pg, times=4)
    assert await jobs.open_breakers(pg, MAIN) == set()


async def test_of_all_who_would_ask_somebody_shut_one_probes(pg, pool):
    async def turns(times):
        found = await asyncio.gather(*(jobs.turn(pool, MAIN, "desk:S") for _ in range(times)))
        return sorted(found)

    assert await turns(2) == ["go", "go"], "nobody knows anything of it"
    await fail(pg, "desk:S", jobs.BREAKER_FAILURES - 1)
    assert await turns(2) == ["go", "go"]
    await fail(pg, "desk:S")
    assert await turns(2) == ["shut", "shut"]
    await pg.execute("UPDATE job_breakers SET probe_at = now()")
    assert await turns(6) == ["probe", *["shut"] * 5]
    await fail(pg, "desk:S", probe=True)
    assert await turns(2) == ["shut", "shut"]
    await jobs.answered(pg, MAIN, "desk:S")
    assert await turns(2) == ["go", "go"]
