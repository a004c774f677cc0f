"""The generator's process: a job in, `ready` out, `go` in, a tally out, until its input ends.

A process of its own, because a generator that shares its loop with anything else measures that.
"""

import asyncio
import gc
import sys

import msgspec
import uvloop

from engine.simulation.bench.load import Load
from engine.simulation.bench.requests import chains
from engine.simulation.bench.types import Job


async def main() -> None:
    """Do jobs, one after the other."""
    while line := await asyncio.to_thread(sys.stdin.buffer.readline):
        job = msgspec.json.decode(line, type=Job)
        load = Load(job, chains(job))
        await load.open()
        # nothing of a load is garbage before its end, so looking for some would only cost
        gc.collect()
        gc.disable()
        _tell(b"ready")
        await asyncio.to_thread(sys.stdin.buffer.readline)
        _tell(msgspec.json.encode(await load.run()))
        gc.enable()


def _tell(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(main())
