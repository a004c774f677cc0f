"""Routers and shippers that are processes of their own, and die or stand still at any moment."""

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager

from engine import settings as settings_of

# A lease is as long as a standstill here is outlasted, and a call as short as that allows.
LEASE_S, SPARE_S, TIMEOUT_S = 4.0, 0.5, 1
STANDS_S = LEASE_S + 1.0
CHILD = f"""
import asyncio, sys
import uvloop
from engine import settings as settings_of, worker
from engine.app import runtime
from engine.infra import jobs
from engine.routing.service import queue

jobs.LEASE_SPARE_S = {SPARE_S}
jobs.claim.__kwdefaults__["lease_s"] = {LEASE_S}
queue.claim.__defaults__ = ({LEASE_S},)

def telling(claim):
    async def told(*args, **more):
        found = await claim(*args, **more)
        rows = found[0] if isinstance(found, tuple) else found
        if rows:
            print("leased", *(row.token for row in rows), flush=True)
        return found
    return told

jobs.claim, queue.claim = telling(jobs.claim), telling(queue.claim)

async def main():
    async with runtime(settings_of.load(), "mortal") as process:
        async with asyncio.TaskGroup() as tasks:
            for loop in worker.loops(process, sys.argv[1:]):
                tasks.create_task(loop())
            print("ready", flush=True)

uvloop.run(main())
"""


class Mortal:
    """A process with one role; another one takes its place when it dies."""

    def __init__(self, settings, role):
        self._settings, self._role, self._child, self._drain = settings, role, None, None

    async def start(self):
        self._child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, self._role, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, **settings_of.environment(self._settings),
                 "TIDEGATE_WMS_TIMEOUT_SECONDS": str(TIMEOUT_S),
                 "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        while line := await asyncio.wait_for(self._child.stdout.readline(), 120):
            if line == b"ready\n":
                # what it logs later must not fill the pipe
                self._drain = asyncio.create_task(self._child.stdout.read())
                return
        raise AssertionError(f"the {self._role} did not start")

    @property
    def dead(self):
        """Whether it was killed and not started again."""
        return self._child is None or self._child.returncode is not None

    async def kill(self):
        """Kill it; return the tokens of all that it leased in its life."""
        self._child.send_signal(signal.SIGKILL)
        await self._child.wait()
        told = [line.split() for line in (await self._drain).splitlines()] if self._drain else []
        return {
            int(token) for name, *rest in filter(None, told) if name == b"leased" for token in rest
        }

    async def kill_and_start(self):
        await self.kill()
        await self.start()

    async def stand(self, seconds=STANDS_S):
        """Stop it for longer than what it leased is its own, and let it go on as if nothing was."""
        self._child.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._child.send_signal(signal.SIGCONT)


@asynccontextmanager
async def mortals(settings, **roles):
    """Run so many of each role; yields them by role."""
    found = {role: [Mortal(settings, role) for _ in range(n)] for role, n in roles.items()}
    everybody = [one for of in found.values() for one in of]
    try:
        await asyncio.gather(*(one.start() for one in everybody))
        yield found
    finally:
        for one in everybody:
            await one.kill()
