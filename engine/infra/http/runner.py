"""What the HTTP server refuses before any handler is asked, in the shape of every other refusal.

A request that cannot be parsed (a header too long, no HTTP at all) never becomes one of the
application's; an `Expect` that nobody knows is refused above its middleware. Nothing of a request
goes into the log from here: where it broke may be the middle of a key.

Connections are watched from outside, all of them once a second: who is slow pays with deadlines,
and a request that comes whole costs nothing for it.
"""

import asyncio
import os
import resource
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final, NamedTuple, cast

import structlog
from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage

from engine.infra import metrics
from engine.infra.http import problem
from engine.infra.http.direct import Direct
from engine.infra.http.fast import Ordinary
from engine.infra.http.server import SAFE_HEADERS, request_ids, stamp
from engine.infra.logs import without_words
from engine.kernel import limits
from engine.kernel.errors import EngineError, Overloaded, ValidationFailed
from engine.kernel.types import Fault

_LOOKED_AT_ONCE: Final = 1_000  # connections; between two such looks the loop does other work
_DRAIN_LOOK_S: Final = 0.01
_MOST_ANSWERS_S: Final = 0.05
_OTHER_DESCRIPTORS: Final = 256  # the servers, files, and what the libraries keep open

_log: Final = structlog.get_logger(__name__)


class Patience(NamedTuple):
    """How long, in seconds, a client may keep a connection busy with nothing, and how many may."""

    headers: float = limits.HEADERS_WITHIN_S
    body: float = limits.BODY_WITHIN_S
    reading: float = limits.ANSWER_READ_WITHIN_S
    look_every: float = 1.0
    connections: int = limits.CONNECTIONS_MAX


class Runner(web.AppRunner):
    """Runs an application on a server that answers everything as the application would."""

    def __init__(
        self, app: web.Application, *, patience: Patience | None = None, **named: Any
    ) -> None:
        super().__init__(app, **named)
        self._patience = patience or Patience()

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        files = _descriptors()
        room = max(files - _OTHER_DESCRIPTORS, files // 2)
        patience = self._patience._replace(connections=min(self._patience.connections, room))
        return _Server(
            plain.request_handler,
            patience,
            request_factory=plain.request_factory,
            **self._kwargs,
        )

    async def drain(self, idle_s: float = limits.DRAIN_IDLE_S) -> None:
        """Accept nobody any longer; let those who are here send what they were about to send.

        Their next answer tells them to go. What the kernel had accepted for a listener would be
        reset with it, so it is taken over first.
        """
        server = self.server
        assert isinstance(server, _Server), "it was set up"
        listening = [socket.socket(fileno=os.dup(one)) for one in self._listeners()]
        for site in list(self.sites):
            await site.stop()
        for one in listening:
            await _take_over(one, server)
        for _ in range(round(idle_s / _DRAIN_LOOK_S)):
            if not server.connections:
                break
            await asyncio.sleep(_DRAIN_LOOK_S)

    def _listeners(self) -> list[int]:
        servers = [getattr(site, "_server", None) for site in self.sites]
        return [one.fileno() for server in servers if server is not None for one in server.sockets]


async def _take_over(listening: socket.socket, server: "_Server") -> None:
    loop = asyncio.get_running_loop()
    listening.settimeout(0)
    taken = []
    with listening, suppress(OSError):  # there is no more, or no descriptor for one
        while True:
            taken.append(listening.accept()[0])
    for one in taken:
        one.settimeout(0)
        with suppress(OSError):
            await loop.connect_accepted_socket(server, one)


class _Server(web.Server):
    """Serves with protocols of ours; aiohttp has no other way to choose what a bad request gets."""

    def __init__(self, ordinary: Ordinary, patience: Patience, **named: Any) -> None:
        self.next_id = request_ids()
        self.patience = patience
        super().__init__(_answering(ordinary, self.next_id), **named)
        self.count()
        self._timer: asyncio.Handle = self._loop.call_later(patience.look_every, self._look)

    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)

    def in_flight(self) -> int:
        """Return how many connections have a request under way."""
        return sum(one.is_busy() for one in cast("list[_Protocol]", self.connections))

    def is_full(self) -> bool:
        """Tell whether one connection more would be one too many."""
        return len(self._connections) >= self.patience.connections

    def count(self) -> None:
        """Show what is under way here as this process' own."""
        metrics.HTTP_CONNECTIONS.reads(lambda: {(): len(self._connections)})
        metrics.HTTP_IN_FLIGHT.reads(lambda: {(): self.in_flight()})

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as aiohttp has it
        """End every connection, and the watch over them."""
        self._timer.cancel()
        await super().shutdown(timeout)

    def _look(self) -> None:
        self._look_at(cast("list[_Protocol]", self.connections))

    def _look_at(self, left: Sequence["_Protocol"]) -> None:
        if rest := left[_LOOKED_AT_ONCE:]:
            self._timer = self._loop.call_soon(self._look_at, rest)
        else:
            self._timer = self._loop.call_later(self.patience.look_every, self._look)
        now = self._loop.time()
        for one in left[:_LOOKED_AT_ONCE]:
            one.look(now)


class _Protocol(Direct):
    """One connection."""

    __slots__ = ("_begun", "_body", "_half_closed", "_next_id", "_patience", "_since", "_stuck")

    def __init__(self, manager: _Server, **named: Any) -> None:
        super().__init__(manager, **named)
        self._next_id = manager.next_id
        self._patience = manager.patience
        self._body: StreamReader | None = None  # of the last request that began
        self._begun = -1  # how many requests were there when the head of one came in pieces
        self._half_closed = False
        self._stuck = ("", 0)
        self._since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, or say at once that there are too many."""
        self._link = cast("asyncio.Transport", transport)
        if cast("_Server", self._manager).is_full():
            self._force_close = True  # whatever it sends is not read
            refusal = Overloaded("this process has as many connections as it can serve")
            self._link.write(_last_words(*problem.problem_bytes(refusal), self._next_id()))
            self._link.close()
        else:
            super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take what came: requests, a part of one, or what is none."""
        self._receive(data)
        self._note_body(data)
        self._serve()

    def _note_body(self, data: bytes) -> None:
        """Tell whoever reads a body that it broke; aiohttp puts the error behind its request."""
        if not self._messages:
            if self._body is not None:
                if self._body.is_eof():
                    self._body = None  # what came was its end; what comes next is a head
            elif data:  # aiohttp looks for more with nothing
                self._begun = self._request_count
            return
        message, body = self._messages[-1]
        if isinstance(message, RawRequestMessage):
            self._body = body
        elif self._body is not None and not self._body.is_eof():
            self._messages.pop()  # the request gets its answer from its own handler
            self._body.set_exception(web.RequestPayloadError("the body is not HTTP"))

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio: true keeps it open
        """Let a client that only stopped sending have its answers; what it began is void."""
        whole = self._body is None or self._body.is_eof()
        self._half_closed = whole and not self._is_idle()
        if self._half_closed:
            self._loop.call_later(_MOST_ANSWERS_S, self._part)  # else at the next look
        return self._half_closed

    def is_busy(self) -> bool:
        """Tell whether a request is under way."""
        return not self._is_idle()

    def look(self, now: float) -> None:
        """End this connection if it has been stuck in one place for too long."""
        stuck = self._where()
        if stuck != self._stuck:
            self._stuck, self._since = stuck, now
        if stuck[0] and now - self._since >= getattr(self._patience, stuck[0]):
            self._end(stuck[0])
        else:
            self._part()

    def _where(self) -> tuple[str, int]:
        """Tell what of its client this connection waits for, and at which of its requests."""
        if self._link is not None and self._link.get_write_buffer_size():
            return "reading", 0
        if self._is_idle():
            at_head = self._begun == self._request_count
            return ("headers", self._begun) if at_head else ("", 0)
        # a body whose turn has not come waits for us, not for its client
        if self._body is not None and not self._body.is_eof() and not self._messages:
            return "body", self._request_count
        return "", 0

    def _end(self, waited_for: str) -> None:
        if waited_for == "body":
            assert self._body is not None, "only a body that is there is waited for"
            self._body.set_exception(web.RequestPayloadError("the body took too long"))
        elif waited_for == "reading":
            assert self._link is not None, "somebody was sent something"
            self._link.abort()
        else:
            late = problem.from_http(web.HTTPRequestTimeout())
            head = {"Content-Type": late.headers["Content-Type"]}
            body = cast("bytes", late.body)
            if self.transport is not None:
                self.transport.write(_last_words(late.status, head, body, self._next_id()))
            self.force_close()

    def _part(self) -> None:
        if self._half_closed and self._is_idle():
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - what aiohttp would say repeats the request
    ) -> web.StreamResponse:
        """Answer what could not be parsed, or what a handler should have answered and did not."""
        request_id = self._next_id()
        if status == HTTPStatus.BAD_REQUEST:
            _log.info("not_http", request_id=request_id, error=type(exc).__name__)
        else:
            _log.error("unexpected", request_id=request_id, **without_words(exc))
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun, another one cannot follow")
        response = problem.problem_response(self._refusal(status))
        stamp(request, response, request_id)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log a failure outside every handler; a broken body, a client that left are none."""
        failure = kw.get("exc_info")
        if isinstance(failure, web.RequestPayloadError) or self.transport is None:
            return
        reason = str(args[0]).partition(",")[0]  # what follows shows what a handler returned
        _log.error("unexpected", reason=reason, **without_words(failure))

    def _refusal(self, status: int) -> EngineError:
        if status != HTTPStatus.BAD_REQUEST:
            return EngineError("an unexpected error; it was logged")
        # not aiohttp's own words: they repeat bytes of the request, and a header may be a key
        bounds = f"lines of at most {self.max_field_size} bytes, at most {self.max_headers} headers"
        return ValidationFailed([Fault("", f"is not HTTP as this server reads it: {bounds}")])


def _last_words(status: int, own: dict[str, str], body: bytes, request_id: str) -> bytes:
    """Return an answer to what never became a request; the connection ends after it."""
    headers = own | SAFE_HEADERS | {"X-Request-Id": request_id, "Connection": "close"}
    headers["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}\r\n".encode() + body


def _descriptors() -> int:
    """Return how many descriptors this process may have open, after asking for what it needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.CONNECTIONS_MAX + _OTHER_DESCRIPTORS
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def _answering(ordinary: Ordinary, next_id: Callable[[], str]) -> Ordinary:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await ordinary(request)
        except web.HTTPException as error:
            response = problem.from_http(error)
        except UnicodeEncodeError:
            # aiohttp repeats an `Expect` that it does not know, and fails when it is no text
            response = problem.from_http(web.HTTPExpectationFailed())
        stamp(request, response, next_id())
        return response

    return answer
