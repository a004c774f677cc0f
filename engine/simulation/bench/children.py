"""Processes beside the instance: told what to do on their input, and gone when it ends."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Final, Self

import msgspec

from engine.simulation.bench.types import BenchFailed, Job, Tally

_STARTS_WITHIN_S: Final = 20.0
_COMPOSED_WITHIN_S: Final = 60.0
_ENDS_WITHIN_S: Final = 5.0


class Child:
    """One Python module of ours, running."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        """Take a process whose input and output are pipes."""
        self._name = name
        self._process = process

    @classmethod
    async def start(cls, module: str, *arguments: str, environment: Mapping[str, str]) -> Self:
        """Start a module of the bench; Ctrl-C does not reach it, its input ends instead."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", f"engine.simulation.bench.{module}", *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd="/",
            env=dict(environment), start_new_session=True,
        )  # fmt: skip
        return cls(module, process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def tell(self, line: bytes) -> None:
        """Write one line to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        await self._process.stdin.drain()

    async def hear(self, within_s: float = _STARTS_WITHIN_S) -> bytes:
        """Return its next line.

        Raises:
            BenchFailed: it ended, or says nothing.
        """
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(within_s):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise BenchFailed(f"the {self._name} process said nothing in {within_s:g} s") from None
        if not line:
            raise BenchFailed(f"the {self._name} process ended; what it said is above")
        return line

    async def stop(self) -> None:
        """End its input and wait for it; kill it if it stays."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_ENDS_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


class Generator:
    """The generator, one job at a time."""

    def __init__(self, child: Child) -> None:
        """Take the process."""
        self._child = child

    async def prepare(self, job: Job) -> None:
        """Have a job composed and its connections opened."""
        await self._child.tell(msgspec.json.encode(job))
        await self._child.hear(_COMPOSED_WITHIN_S)

    async def go(self, within_s: float) -> Tally:
        """Start the clock and return what was seen."""
        await self._child.tell(b"go")
        return msgspec.json.decode(await self._child.hear(within_s), type=Tally)
