"""Each alert is fired by what it is for, and is gone when its runbook was followed."""

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager

import alerts
import pytest
from scaling import Scale

from tests.conftest import eventually
from tests.ops import causes
from tests.ops.instance import beside, instance
from tests.ops.watching import exporters, prometheus

DRILL = Scale(0.002, 1)
FIRES_WITHIN_S = 150
RESOLVES_WITHIN_S = 150
LOOK_S = 0.2
SHORT = {"UnitsOwed", "DeadLetters", "RecorderStopped"}


class Watch:
    """What fires, as Prometheus has it, and how long each took."""

    def __init__(self, found):
        self._found = found
        self.firing = set()
        self.took = {}

    async def run(self):
        while True:
            self.firing = await self._found.firing()
            await asyncio.sleep(LOOK_S)

    async def silent(self, names):
        await eventually(lambda: not self.firing & set(names), RESOLVES_WITHIN_S)

    async def see(self, on, cause):
        """Let a cause happen; note of each of its alerts when it fires, and when it is gone."""
        assert not self.firing & set(cause.alerts)
        began = time.monotonic()
        async with cause.make(on):
            fired = await self._each(cause, began, lambda name: name in self.firing)
            ended = time.monotonic()
        gone = await self._each(cause, ended, lambda name: name not in self.firing)
        self.took |= {name: (cause.told, fired[name], gone[name]) for name in cause.alerts}

    async def _each(self, cause, since, so):
        async def seconds(name):
            await eventually(lambda: so(name), FIRES_WITHIN_S)
            return time.monotonic() - since

        try:
            took = await asyncio.gather(*map(seconds, cause.alerts))
        except AssertionError:
            raise AssertionError(f"{cause.told}: {cause.alerts}, fires: {self.firing}") from None
        return dict(zip(cause.alerts, took, strict=True))

    def table(self):
        lines = [f"{'alert':<26} fires s  gone s  cause"]
        for name, (told, fired, gone) in sorted(self.took.items()):
            lines.append(f"{name:<26} {fired:7.1f} {gone:7.1f}  {told}")
        return "\n".join(lines)


@asynccontextmanager
async def watched(tool, folder):
    binary = tool("prometheus", "prometheus")
    async with (
        instance() as on,
        exporters(tool, on.settings) as exported,
        prometheus(binary, folder, on.targets() | exported, DRILL) as found,
    ):
        watch = Watch(found)
        async with beside(watch.run()):
            yield on, watch
        print(watch.table())  # noqa: T201 - what it is for


async def drilled(on, watch, turns):
    for turn in turns:
        await watch.silent(name for cause in turn for name in cause.alerts)
        async with asyncio.TaskGroup() as tasks:
            for cause in turn:
                tasks.create_task(watch.see(on, cause))


def chosen(names):
    """Return the turns with the causes of these alerts alone."""
    turns = ([cause for cause in turn if names & set(cause.alerts)] for turn in causes.TURNS)
    return [turn for turn in turns if turn]


def test_every_alert_has_one_cause():
    named = Counter(name for turn in causes.TURNS for cause in turn for name in cause.alerts)
    assert named == Counter(one.name for one in alerts.ALERTS)


async def test_some_alerts_fire_by_their_causes_and_end(tool, tmp_path):
    async with watched(tool, tmp_path) as (on, watch):
        await drilled(on, watch, chosen(SHORT))


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
async def test_every_alert_fires_by_its_cause_and_ends(tool, tmp_path):
    async with watched(tool, tmp_path) as (on, watch):
        await drilled(on, watch, causes.TURNS)
