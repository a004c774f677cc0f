"""A router in a process of its own: each line of its input has it route all that is due.

It is the router of production, with the plan that is active in the database of its settings.
"""

import asyncio
import gc
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

import msgspec
import uvloop

from engine import settings as settings_of
from engine.infra import postgres
from engine.kernel.clock import SystemClock
from engine.kernel.types import Tenant
from engine.routing.service import binding, router
from engine.routing.service.current import CurrentPlans
from engine.routing.service.router import Router
from engine.simulation.bench.types import Routed

_COLLECT_AFTER: Final = 50_000  # as in any process of the engine
_spent: Final = defaultdict[str, float](float)


async def main() -> None:
    """Route whenever told to, until the input ends."""
    settings = settings_of.load()
    _watch(router, "decide")
    _watch(binding, "bind")
    async with await postgres.open_pool(settings.database_url or "") as pool:
        one = Router(
            pool, Tenant(settings.tenant), SystemClock(), CurrentPlans().active,
            batch=settings.router_batch,
        )  # fmt: skip
        gc.collect()
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER, 20, 50)
        _tell(b"ready")
        while await asyncio.to_thread(sys.stdin.buffer.readline):
            _tell(msgspec.json.encode(await _route(one)))


async def _route(one: Router) -> Routed:
    _spent.clear()
    began, orders, rebinds = time.process_time(), 0, 0
    ended = 0.0
    while (turn := await one.turn()).any:
        orders += turn.bound + turn.parked
        rebinds += turn.rebinds
        ended = time.monotonic()
    spent = time.process_time() - began
    return Routed(
        orders=orders, rebinds=rebinds, ended=ended, cpu_s=spent, decide_s=_spent["decide"],
        bind_s=_spent["bind"],
    )  # fmt: skip


def _watch(module: Any, name: str) -> None:
    """Count the CPU that one function of a module takes, what it waits for left out.

    Nothing else runs in this process, so all of its CPU meanwhile is that function's.
    """
    real: Callable[..., Any] = getattr(module, name)

    def plain(*given: Any) -> Any:
        began = time.process_time()
        try:
            return real(*given)
        finally:
            _spent[name] += time.process_time() - began

    async def awaited(*given: Any) -> Any:
        began = time.process_time()
        try:
            return await real(*given)
        finally:
            _spent[name] += time.process_time() - began

    setattr(module, name, awaited if asyncio.iscoroutinefunction(real) else plain)


def _tell(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(main())
