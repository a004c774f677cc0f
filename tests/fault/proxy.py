"""A TCP proxy that loses what it is told to: a request before it arrives, or its reply after."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self
from urllib.parse import urlsplit

CHUNK_BYTES = 1 << 16

Matches = Callable[[bytes], bool]


class Proxy:
    """Forwards bytes between clients and one server.

    `lose_reply` and `lose_request` are asked about every chunk a client sends. A reply is lost only
    after the server has begun to send it, so whatever was asked has been executed by then.
    """

    def __init__(self, host: str, port: int) -> None:
        self.lose_reply: Matches = nothing
        self.lose_request: Matches = nothing
        self.lost_replies = 0
        self.lost_requests = 0
        self.port = 0
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, url: str) -> str:
        """The address of a server as a client reaches it through here."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}{at}127.0.0.1:{self.port}").geturl()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = [writer]
        try:
            there, back = await asyncio.open_connection(*self._target)
            writers.append(back)
            replies = _Replies(there, writer)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._forward(reader, back, replies))
                tasks.create_task(replies.run())
        except* (OSError, _Cut):
            pass
        finally:
            for one in writers:
                one.transport.abort()
            self._tasks.discard(task)

    async def _forward(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, replies: "_Replies"
    ) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if self.lose_request(chunk):
                self.lost_requests += 1
                raise _Cut
            if self.lose_reply(chunk):
                self.lost_replies += 1
                replies.losing = True
            back.write(chunk)
            await back.drain()
        raise _Cut


class _Cut(Exception):
    """This connection is over."""


class _Replies:
    """The way back of one connection."""

    def __init__(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._there, self._writer = there, writer
        self.losing = False

    async def run(self) -> None:
        while chunk := await self._there.read(CHUNK_BYTES):
            if self.losing:
                raise _Cut
            self._writer.write(chunk)
            await self._writer.drain()
        raise _Cut


def nothing(_chunk: bytes) -> bool:
    return False


def once(matches: Matches) -> Matches:
    """Say yes to the first chunk that matches, and never again."""
    done = False

    def first(chunk: bytes) -> bool:
        nonlocal done
        if done or not matches(chunk):
            return False
        done = True
        return True

    return first


def holding(*parts: str) -> Matches:
    """Match a chunk that holds all these texts."""
    return lambda chunk: all(part.encode() in chunk for part in parts)


@asynccontextmanager
async def in_front_of(url: str) -> AsyncIterator[Proxy]:
    """Stand before a server given by its URL."""
    parts = urlsplit(url)
    async with Proxy(parts.hostname or "", parts.port or 0) as proxy:
        yield proxy
