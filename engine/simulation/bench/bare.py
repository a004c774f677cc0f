"""The floor: an aiohttp handler that reads a body, decodes it and answers 202 with a constant.

It runs in a process of its own and ends when its input does.
"""

import asyncio
import sys
from typing import Final

import orjson
import uvloop
from aiohttp import web

from engine.infra.servers.ports import LOOPBACK
from engine.kernel.limits import LISTEN_BACKLOG

_CONSTANT: Final = b'{"ok":true}'


async def handle(request: web.Request) -> web.Response:
    """Do the least that an order could cost."""
    orjson.loads(await request.read())
    return web.Response(body=_CONSTANT, status=202, content_type="application/json")


async def serve(app: web.Application) -> None:
    """Serve on a free port, tell it, and go on until standard input ends."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0, backlog=LISTEN_BACKLOG)
    await site.start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.buffer.read)
    await runner.cleanup()


def main() -> None:
    """Serve the bare handler."""
    app = web.Application()
    app.router.add_post("/v1/orders", handle)
    uvloop.run(serve(app))


if __name__ == "__main__":
    main()
