"""Metrics: what is counted, what is read and not read too often, and what they are called."""

import asyncio
import re
import socket
import time
from contextlib import suppress

import pytest
import structlog
from aiohttp import ClientConnectionError, ClientSession

from engine.app import watched
from engine.infra import metrics, tasks
from engine.infra.meters import lag
from engine.infra.meters.exposition import text
from engine.infra.meters.measured import Measured, seldom
from engine.infra.metrics import Counts, Measure, Times
from engine.settings import Settings
from tests.conftest import eventually

DEPTH = Measure("tidegate_depth", "How deep", ("lake",))


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


def shown(one):
    """Lines of a metric as they are shown, by their names and labels."""
    lines = text([one.family()]).decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_counts_and_times_by_label():
    counts, times = Counts("tidegate_n", "N", "kind"), Times("tidegate_s", "S", "stage")
    counts.add("a")
    counts.add("a", 2)
    times.add("x", 0.25)
    times.add("x", 0.5)
    assert shown(counts) == {'tidegate_n_total{kind="a"}': 3}
    several = Counts("tidegate_m", "M", "node", "outcome")
    several.add(("n1", "DONE"))
    several.of("n1", "DONE")[0] += 1
    assert shown(several) == {'tidegate_m_total{node="n1",outcome="DONE"}': 2}
    assert shown(times) == {'tidegate_s_count{stage="x"}': 2, 'tidegate_s_sum{stage="x"}': 0.75}
    alone = Counts("tidegate_k", "K")
    assert shown(alone) == {"tidegate_k_total": 0}
    alone.add()
    assert shown(alone) == {"tidegate_k_total": 1}


async def test_what_is_read_is_read_again_after_some_seconds_and_missing_while_nobody_answers():
    clock, depths = Clock(), [3, 4, OSError()]

    async def read(_pool):
        found = depths.pop(0)
        if isinstance(found, Exception):
            raise found
        return {DEPTH: {("como",): found}}

    measured = Measured(None, clock, [read])
    for now, line in ((0, "3.0"), (4, "3.0"), (6, "4.0"), (12, None)):
        clock.now = now
        await measured.refresh()
        told = text(measured.families()).decode()
        assert ("tidegate_depth" in told) == (line is not None)
        if line:
            assert f'tidegate_depth{{lake="como"}} {line}' in told


async def test_what_is_seldom_read_is_told_again_meanwhile():
    clock, depths = Clock(), [3, 4]

    async def read(_pool):
        return {DEPTH: {("como",): depths.pop(0)}}

    measured = Measured(None, clock, [seldom(read, 60, clock)])
    for now, depth in ((0, 3), (59, 3), (65, 4)):
        clock.now = now
        await measured.refresh()
        assert measured.families()[0].rows == [(("como",), [depth])]


async def test_two_readings_may_tell_of_one_metric():
    async def read(lake):
        return {DEPTH: {(lake,): 1}}

    measured = Measured(None, Clock(), [lambda _: read("como"), lambda _: read("garda")])
    await measured.refresh()
    (family,) = measured.families()
    assert [labels for labels, _ in family.rows] == [("como",), ("garda",)]


@pytest.mark.parametrize("name", metrics.names())
def test_names_say_whose_they_are(name):
    assert re.fullmatch(r"tidegate_[a-z_]+[a-z]", name)


LABELS = {
    "answer", "cell", "channel", "code", "kind", "lane", "method", "name", "node", "outcome",
    "plan", "python", "queue", "reason", "role", "route", "script", "service", "stage", "state",
    "status", "verb", "verdict", "version", "within",
}  # fmt: skip


@pytest.mark.parametrize("one", [*metrics.COUNTED, *metrics.READ, *metrics.MEASURED])
def test_what_is_declared_is_explained_and_has_labels_of_few_values(one):
    assert len(one.told) > 10
    assert set(one.labels) <= LABELS, (
        "never a SKU, a buyer or an order: add only what has few values"
    )


def test_every_counter_is_shown():
    told = text(metrics.own()).decode()
    for one in (*metrics.COUNTED, *metrics.READ):
        assert f"# HELP {one.name}" in told


async def test_a_worker_shows_them_at_its_port_and_works_on_where_that_is_taken():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = Settings(metrics_port=port)
    first = asyncio.create_task(watched(settings))
    async with ClientSession() as client:

        async def seen():
            with suppress(ClientConnectionError):
                return await (await client.get(f"http://127.0.0.1:{port}/metrics")).text()

        assert "tidegate_routed" in await eventually(seen)
        second = asyncio.create_task(watched(settings))
        with structlog.testing.capture_logs() as told:
            await eventually(lambda: told)
        assert told[0]["event"] == "metrics_missing"
        assert not second.done()
        for task in (first, second):
            task.cancel()
        await asyncio.gather(first, second, return_exceptions=True)


async def test_a_role_that_does_not_come_round_shows(monkeypatch):
    clock, go = Clock(), asyncio.Event()
    monkeypatch.setattr(tasks, "time", clock)

    async def loop():
        await tasks.sleep(0)
        await go.wait()
        await tasks.sleep(0)
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        running = group.create_task(tasks.beating("digger", loop))
        await asyncio.sleep(0.01)
        clock.now = 30.0
        assert tasks.beats()["digger"] == 30
        go.set()
        await eventually(lambda: tasks.beats()["digger"] == 0)
        running.cancel()
    del tasks._beats["digger"]  # noqa: SLF001 - no role


async def test_a_loop_that_is_kept_busy_shows():
    def late():
        return metrics.LOOP_LAG.family().rows[0][1][0]

    async with asyncio.TaskGroup() as group:
        running = group.create_task(lag.watch())
        await asyncio.sleep(0)
        assert late() == 0
        time.sleep(0.35)  # noqa: ASYNC251 - what is measured
        await eventually(lambda: late() > 0.05)
        running.cancel()
