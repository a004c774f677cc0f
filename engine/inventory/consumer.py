"""The publisher: a loop that wakes when reference data changes and brings it to the cell."""

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from engine.infra import postgres
from engine.infra.publishing import CHANNEL
from engine.infra.runtime import Runtime
from engine.infra.tasks import raise_if_cancelled, sleep
from engine.inventory.service.publish import publish
from engine.inventory.store import intentions
from engine.kernel.errors import EngineError

_IDLE_SECONDS: Final = 0.5  # without a bell: campaigns end, and grants wait to be sent again
_BACKOFF_SECONDS: Final = 0.2

_log = structlog.get_logger(__name__)


async def publisher(runtime: Runtime) -> None:
    """Run until cancelled; servers that go away are waited for."""
    while True:
        try:
            await _connected(runtime)
        except postgres.UNAVAILABLE as failure:
            _log.warning("publisher_waits", reason=repr(failure))
        except Exception:  # noqa: BLE001 - a document that cannot be planned must not end the process
            _log.exception("publisher_failed")
        await sleep(_BACKOFF_SECONDS)


async def _connected(runtime: Runtime) -> None:
    connection = await postgres.connect(runtime.settings.database_url or "")
    try:
        bell = asyncio.Event()
        await connection.add_listener(CHANNEL, lambda *_: bell.set())
        await intentions.forget_sent(connection)
        while True:
            raise_if_cancelled()
            bell.clear()
            if not await _round(runtime, connection):
                with suppress(TimeoutError):
                    async with asyncio.timeout(_IDLE_SECONDS):
                        await bell.wait()
    finally:
        with suppress(*postgres.UNAVAILABLE):
            await connection.close(timeout=1)


async def _round(runtime: Runtime, connection: postgres.Connection) -> bool:
    try:
        return await publish(runtime, connection)
    except EngineError as refusal:
        _log.info("publisher_waits", reason=refusal.detail)
        await sleep(_BACKOFF_SECONDS)
        return True
