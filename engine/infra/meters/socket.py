"""What a process tells of itself to the supervisor that started it, at a socket of its own.

One word is asked, one document answered: `own` is what the process counts, `facts` what it reads of
the servers. Whoever may enter the directory may ask; nothing here is a secret.
"""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from engine.infra.meters.families import Document, encode
from engine.infra.meters.measured import Measured
from engine.infra.metrics import own

OWN: Final = b"own\n"
FACTS: Final = b"facts\n"
_log: Final = structlog.get_logger(__name__)


async def tell(path: Path, life: str, measured: Measured | None = None) -> None:
    """Answer until cancelled; where the socket cannot be made, go on without."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            asked = await reader.readline()
            families = own() if asked == OWN else []
            if asked == FACTS and measured is not None:
                await measured.refresh()
                families = measured.families()
            writer.write(encode(Document(life, families)))
            await writer.drain()
            writer.close()

    try:
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - of the life before, which was killed
        server = await asyncio.start_unix_server(answer, path)
    except OSError as away:
        _log.warning("metrics_missing", path=str(path), reason=type(away).__name__)
        await asyncio.Event().wait()
        return
    async with server:
        await server.serve_forever()
