"""Does the process live, may it take orders, and what does it count."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from engine.infra.meters.exposition import CONTENT_TYPE, text
from engine.infra.meters.measured import Measured
from engine.infra.metrics import own
from engine.kernel import codec

# A check returns "" when all is well, else a sentence that says what is missing.
Check = Callable[[], Awaitable[str]]

_CHECK_TIMEOUT_S: Final = 2.0


def routes(
    checks: Mapping[str, Check],
    notes: Mapping[str, Check] | None = None,
    measured: Measured | None = None,
) -> list[web.RouteDef]:
    """Return /healthz, /readyz and /metrics; none of them asks for a key.

    What `notes` tell is shown beside what is missing; a process is ready all the same. `measured`
    is read when metrics are asked for.
    """

    async def readyz(_request: web.Request) -> web.Response:
        missing = await missing_of(checks)
        body: dict[str, object] = {"ready": not missing, "missing": missing}
        if noted := await missing_of(notes or {}):
            body["noted"] = noted
        status = 503 if missing else 200
        return web.Response(status=status, body=codec.encode(body), content_type="application/json")

    async def metrics(_request: web.Request) -> web.Response:
        facts = []
        if measured is not None:
            await measured.refresh()
            facts = measured.families()
        return web.Response(body=text([*own(), *facts]), headers={"Content-Type": CONTENT_TYPE})

    return [
        web.get("/healthz", _healthz),
        web.get("/readyz", readyz),
        web.get("/metrics", metrics),
    ]


async def missing_of(checks: Mapping[str, Check]) -> dict[str, str]:
    """Run all checks at once and return the sentences of those that failed, by name."""
    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(_ask(check)) for name, check in checks.items()}
    return {name: task.result() for name, task in tasks.items() if task.result()}


async def _ask(check: Check) -> str:
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT_S):
            return await check()
    except Exception as failure:  # noqa: BLE001 - whatever goes wrong in a check is its answer
        return f"{type(failure).__name__}: {failure}".rstrip(": ")


async def _healthz(_request: web.Request) -> web.Response:
    return web.Response(body=b'{"alive":true}', content_type="application/json")
