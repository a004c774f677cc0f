"""A raw HTTP/1.1 client for load: about 15 µs a request, where an aiohttp client costs 100.

It knows just enough of HTTP for our own API: one request at a time on each keep-alive connection,
answers with Content-Length. It never sends anything twice: no answer is an answer, and the caller
decides.
"""

import asyncio
import re
from collections import deque
from time import monotonic  # uvloop's own clock counts whole milliseconds
from typing import Final, NamedTuple, Self, cast
from urllib.parse import urlsplit

NO_ANSWER: Final = 0

_TICK_S: Final = 0.05
_CONNECT_S: Final = 2.0
_HANG_UP_S: Final = 0.001
_CLOSING_TURNS_MAX: Final = 100
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RETRY_AFTER: Final = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)
_CLOSES: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class Answer(NamedTuple):
    """One answer: `seconds` from sending, after `queued_s` of waiting for a free connection.

    `status` is NO_ANSWER when none came: what was asked may have been done.
    """

    status: int
    body: bytes
    seconds: float
    retry_after_s: int = 0
    queued_s: float = 0.0


class LoadClient:
    """A bounded number of connections to one address; more requests wait for a free one."""

    def __init__(
        self, base_url: str, key: str, *, connections: int = 128, deadline_s: float = 10.0
    ) -> None:
        """Take where to and as whom; nothing is opened before the first request."""
        where = urlsplit(base_url)
        self._address = (where.hostname or "", where.port or 80)
        self._connections_max = connections
        self._deadline_s = deadline_s
        self._headers = (
            f"Host: {where.netloc}\r\nAuthorization: Bearer {key}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )
        self._links: set[_Link] = set()
        self._opening = 0
        self._idle: list[_Link] = []
        self._waiting: deque[asyncio.Future[_Link | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def compose(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Return the bytes of a request; a repeat sends the same object again."""
        head = f"{method} {path} HTTP/1.1\r\n{self._headers}{len(body)}\r\n\r\n"
        return head.encode("ascii") + body

    async def request(self, raw: bytes, *, hang_up: bool = False) -> Answer:
        """Send a request once and return its answer.

        `hang_up` closes the connection a millisecond after sending, as an impatient buyer does.
        """
        began = monotonic()
        link = self._idle.pop() if self._idle else await self._next_link()
        if link is None:
            return Answer(NO_ANSWER, b"", 0.0, queued_s=monotonic() - began)
        return await link.exchange(raw, began, self._deadline_s, hang_up=hang_up)

    async def __aenter__(self) -> Self:
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._sweep)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._timer is not None
        self._timer.cancel()
        for link in list(self._links):
            link.drop()
        for _turn in range(_CLOSING_TURNS_MAX):
            if not self._links:
                return
            await asyncio.sleep(0)

    # What links tell their client.

    def free(self, link: "_Link") -> None:
        """Give a link whose answer is complete to who waits longest."""
        if not self._wake(link):
            self._idle.append(link)

    def gone(self, link: "_Link") -> None:
        """Forget a link that was closed."""
        self._links.discard(link)
        if link in self._idle:
            self._idle.remove(link)
        self._wake(None)

    async def _next_link(self) -> "_Link | None":
        """Return a link nobody uses, a new one if there may be more; None: nobody answers there."""
        if len(self._links) + self._opening < self._connections_max:
            return await self._open()
        waiter: asyncio.Future[_Link | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            link = await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._pass_on(waiter.result())
            raise
        return await self._open() if link is None else link

    async def _open(self) -> "_Link | None":
        loop = asyncio.get_running_loop()
        self._opening += 1
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, link = await loop.create_connection(lambda: _Link(self), *self._address)
        except OSError:  # TimeoutError is one of them
            self._wake(None)
            return None
        finally:
            self._opening -= 1
        self._links.add(link)
        return link

    def _pass_on(self, link: "_Link | None") -> None:
        if link is None:
            self._wake(None)
        else:
            self.free(link)

    def _wake(self, link: "_Link | None") -> bool:
        """Give a link, or with None leave to open one, to the first who waits."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(link)
                return True
        return False

    def _sweep(self) -> None:
        """Drop links whose answer is overdue: one look at all costs less than a timer for each."""
        loop = asyncio.get_running_loop()
        now = monotonic()
        for link in [one for one in self._links if one.overdue(now)]:
            link.drop()
        self._timer = loop.call_later(_TICK_S, self._sweep)


class _Link(asyncio.Protocol):
    """One connection and the request that is on it."""

    def __init__(self, client: LoadClient) -> None:
        self._client = client
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._sent = 0.0
        self._queued_s = 0.0
        self._until = 0.0
        self._rest = b""

    async def exchange(
        self, raw: bytes, began: float, deadline_s: float, *, hang_up: bool
    ) -> Answer:
        """Send one request and wait for its answer, or until the connection is gone."""
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Answer] = loop.create_future()
        self._waiter, self._sent = waiter, monotonic()
        self._queued_s, self._until = self._sent - began, self._sent + deadline_s
        self._transport.write(raw)
        if hang_up:
            loop.call_later(_HANG_UP_S, self.drop)
        try:
            return await waiter
        except asyncio.CancelledError:
            self.drop()  # the answer would meet the next request
            raise

    def overdue(self, now: float) -> bool:
        """Whether an answer should have come by now."""
        return self._waiter is not None and now > self._until

    def drop(self) -> None:
        """Close at once; whoever waits gets no answer."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Tell whoever waits that no answer comes."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(
                Answer(NO_ANSWER, b"", monotonic() - self._sent, queued_s=self._queued_s)
            )
        self._client.gone(self)

    def data_received(self, data: bytes) -> None:
        """Complete the answer: nearly always this is all of it."""
        if self._rest:
            data = self._rest + data
        end = data.find(_HEAD_END)
        head = data[: max(end, 0)]
        length = _LENGTH.search(head)
        if end < 0 or (length and len(data) < end + 4 + int(length[1])):
            self._rest = data
            return
        waiter, self._waiter, self._rest = self._waiter, None, b""
        if waiter is None or length is None:
            self._waiter = waiter
            self.drop()  # an answer nobody asked for, or one without a length
            return
        if not waiter.done():
            waiter.set_result(self._answer(head, data[end + 4 :]))
        if _CLOSES.search(head):
            self.drop()
        else:
            self._client.free(self)

    def _answer(self, head: bytes, body: bytes) -> Answer:
        status = int(head[9:12])
        later = _RETRY_AFTER.search(head) if status in {429, 503} else None
        retry_after_s = int(later[1]) if later else 0
        return Answer(status, body, monotonic() - self._sent, retry_after_s, self._queued_s)
