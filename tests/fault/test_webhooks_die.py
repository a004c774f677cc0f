"""`kill -9` of who tells webhooks: each event at least once, of a key in order, its id the same.

The long form is also what the speed is measured by; see ops/adr/0037.
"""

import asyncio
import random
import time

import pytest

from engine.simulation.bench import cpu
from tests.conftest import eventually
from tests.flow.telling import PATH, mortal, world

CI, LONG = 3_000, 200_000
KEYS = 500


def in_order(found):
    """Whether of each key the first sights came in order; what came twice may come again."""
    firsts = {}
    for _, key, n, _ in found:
        firsts.setdefault(key, []).append(n)
    for key, numbers in firsts.items():
        kept = list(dict.fromkeys(numbers))
        assert kept == sorted(kept), key


def judge(found, delivered, count):
    """Each event was taken, by one id; return how many came again."""
    ids = {}
    for message_id, key, n, _ in found:
        assert ids.setdefault((key, n), message_id) == message_id, (key, n)
    taken = {(key, n) for _, key, n in delivered}
    assert len(taken) == count
    assert len(set(ids.values())) == count
    in_order(found)
    return len(found) - count


async def fill(here, count, at_once=5_000):
    for first in range(0, count, at_once):
        numbers = range(first, min(first + at_once, count))
        await here.happen(*[(f"o{n % KEYS}", n) for n in numbers])


async def taken(here, name, count, within_s):
    async def is_so():
        await asyncio.sleep(0.1)  # to be asked takes the receiver's time
        return await here.receiver.seen(name, "?count") >= count

    await eventually(is_so, within_s)


async def deaths(here, count, kills, nth):
    """Kill who delivers now and then, until all was taken; return what came and what was taken."""
    await here.add("bulk")
    await here.receiver.behave("bulk", nth=nth)
    dice = random.Random(6)
    async with mortal(here.settings) as one:
        await fill(here, count)
        for number in range(1, kills + 1):
            await taken(here, "bulk", count * number // (kills + 1), 120)
            await asyncio.sleep(dice.random() / 10)
            await one.kill()
            await one.start()

        await taken(here, "bulk", count, 300)
        (shown,) = (await here.call("GET", PATH))["items"]
        await here.waits(shown, 0)
    return await here.receiver.seen("bulk"), await here.receiver.delivered("bulk")


async def test_after_every_kill_each_event_is_told_in_order_with_its_id(settings, pg):
    async with world(settings, pg) as here:
        again = judge(*await deaths(here, CI, 1, 211), CI)
        assert again > 0, "what was cut came again"


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
async def test_the_long_form_with_many_deaths(settings, pg):
    async with world(settings, pg) as here:
        again = judge(*await deaths(here, LONG, 12, 997), LONG)
        print(f"came again: {again}")  # noqa: T201 - what the long form is for


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
async def test_how_many_a_second_one_core_delivers(settings, pg):
    """200,000 events to one endpoint beside one that is dead, and what each cost."""
    async with world(settings, pg) as here:
        await here.add("bulk")
        await here.add("dead")
        await here.receiver.behave("dead", delay_s=60)
        async with mortal(here.settings) as one:
            await fill(here, 1_000)
            await taken(here, "bulk", 1_000, 60)
            before, began, theirs = await one.cpu_s(), time.monotonic(), await postgres_s(pg)
            await fill(here, LONG)
            await taken(here, "bulk", LONG + 1_000, 600)
            took_s, cpu_s = time.monotonic() - began, await one.cpu_s() - before
            theirs = await postgres_s(pg) - theirs
        print(  # noqa: T201 - what the long form is for
            f"{LONG / took_s:.0f} deliveries/s with their events being written; CPU of a delivery:"
            f" notifier {cpu_s / LONG * 1e6:.0f} us ({LONG / cpu_s:.0f}/s of a core),"
            f" Postgres {theirs / LONG * 1e6:.0f} us, writing the events included"
        )
        assert LONG / cpu_s > 2_000


async def postgres_s(pg):
    """CPU of all of Postgres so far."""
    pid = int((await pg.fetchval("SELECT pg_read_file('postmaster.pid')")).split()[0])
    return sum(cpu.read({"postgres": cpu.tree(pid)}).values())
