"""Far more orders than can be taken, and nonsense in the header fields about it, at a real process.

What is held here is cheap and robust: parts of what the same process did a moment before. The
figures of a quiet machine are those of `tidegate bench --only overload`.
"""

import asyncio
import os
from itertools import pairwise

from engine.infra.servers import ports
from engine.kernel import codec
from engine.kernel.clock import SystemClock
from engine.simulation.bench.overload import storm
from tests.fault.engines import ADMIN, an_order, id_of
from tests.hostile.wire import is_problem, is_safe, order, talk

GROWS_MAX_MB = 64
OF_PEAK_MIN = 0.35


def body(number):
    return codec.encode(an_order(number))


async def counted(engine, name):
    text = await ports_get(engine, "/metrics")
    found = [line for line in text.splitlines() if line.startswith(name)]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


async def ports_get(engine, path):
    return (await asyncio.to_thread(ports.get, engine.url, path))[1]


async def test_of_three_times_the_peak_most_of_the_peak_is_served_quickly(engine):
    pids = {name: one.pid for name, one in engine.processes.items()}
    for name in ("api", "worker"):
        os.sched_setaffinity(pids[name], {0})  # the generator has the other one
    async with storm(engine.settings, SystemClock(), lambda: pids, connections=1_024) as one:
        await one.phase(1)
        peak = await one.phase(3)
        flooded = await one.phase(5, 3.0)
        calm = await one.phase(3, 0.2)
        again = await one.phase(2, 0.2)
    assert flooded.refused + flooded.dropped > flooded.accepted, "this was no overload"
    assert flooded.goodput > OF_PEAK_MIN * peak.goodput
    assert flooded.lost == calm.lost == again.lost == 0, "nobody is left without an answer"
    assert again.refused == 0, "it is over, without hands"
    assert again.accepted >= 0.95 * again.offered
    sizes = [step.memory_mb["api"] for step in one.steps]
    grown = [after - before for before, after in pairwise(sizes)]
    assert max(grown) < GROWS_MAX_MB, grown
    assert await counted(engine, 'tidegate_shed_total{reason="queue_wait"}') > 0
    assert await counted(engine, "tidegate_admission_limit") == 512


async def test_nonsense_for_a_deadline_is_refused_and_nothing_is_taken(engine):
    for said in ("", "0", "-1", "1.5", "soon", "9" * 4_000, "\xff", "1, 2", "0x10", "+5"):
        (one,) = await talk(engine.port, order(body("late"), f"Tidegate-Deadline-Ms: {said}"))
        is_safe(one)
        is_problem(one)
        assert (one.status, one.code) == (400, "validation_failed"), said
    status, _ = await engine.call("GET", f"/v1/orders/{id_of('late')}")
    assert status == 404
    (one,) = await talk(engine.port, order(body("late"), "Tidegate-Deadline-Ms: 60000"))
    assert one.status == 202


async def test_a_limited_key_is_held_to_it_on_the_lane_of_orders(engine):
    status, made = await engine.call(
        "POST", "/v1/keys", {"name": "l", "scopes": ["orders:write"], "rate_per_s": 1, "burst": 2}
    )
    assert status == 201, made
    seen = []
    for n in range(3):
        raw = order(body(f"limited-{n}")).replace(ADMIN.encode(), made["key"].encode())
        seen += await talk(engine.port, raw)
    assert [one.status for one in seen] == [202, 202, 429]
    assert seen[0].headers["ratelimit"].startswith('"default";r=1;t=')
    assert seen[2].headers["ratelimit-policy"] == '"default";q=2;w=2'
    is_problem(seen[2])
    assert seen[2].headers["retry-after"] == "1"
