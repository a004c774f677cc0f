"""The hot routes, answered below the application: no router, no middleware, no header objects.

Everything the edge promises (request id, trace, security headers, problems) holds here too, as
bytes that were put together beforehand. What is unusual (HTTP/1.0, `Expect`) goes the ordinary way.
Both ways call the same handler, so they cannot answer differently.
"""

import time
from asyncio import BaseTransport, Transport
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from itertools import cycle
from typing import Final, NamedTuple, cast

from aiohttp import HttpVersion, web
from aiohttp.abc import AbstractStreamWriter

from engine.infra.http import problem
from engine.infra.http.admission import Admission
from engine.infra.http.rates import told
from engine.infra.http.request import Request, Whole
from engine.infra.http.sampling import SAMPLE
from engine.infra.http.server import (
    SAFE_HEADERS,
    request_ids,
    sane_request_id,
    unexpected,
)
from engine.infra.http.traffic import Traffic
from engine.kernel import traces
from engine.kernel.errors import EngineError, Overloaded, PayloadTooLarge
from engine.kernel.limits import IDENTIFIER_LENGTH_MAX

_JSON: Final = "application/json"
_HTTP_1_1: Final = (1, 1)
_TOO_MANY: Final = "more orders come than are served in time; nothing was taken"


class Answer(NamedTuple):
    """What a hot handler answers: status, its own headers, and JSON."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Handler = Callable[[Request], Awaitable[Answer]]
NamedHandler = Callable[[str, Request], Awaitable[Answer]]
Ordinary = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class RawResponse(web.StreamResponse):
    """A response that is written as it stands, in one piece."""

    def __init__(self, status: int, raw: bytes, *, keep_alive: bool) -> None:
        super().__init__(status=status)
        self._raw = raw
        self._transport: BaseTransport | None = None
        self._writer: AbstractStreamWriter | None = None
        self._keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Remember where to write; nothing is sent before the end."""
        self._transport, self._writer = request.transport, request.writer
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Send head and body; a client that left is nobody's error."""
        if self._transport is not None:
            # every stream of a server can write; uvloop's own class just does not say so
            cast("Transport", self._transport).write(self._raw + data)
            if self._writer is not None:
                await self._writer.drain()  # a client that sends and never reads waits here


def respond(answer: Answer) -> web.Response:
    """Return an answer as the ordinary way sends it."""
    headers = {"Content-Type": _JSON, **answer.headers}
    return web.Response(status=answer.status, body=answer.body, headers=headers)


class Front:
    """Answers a route itself, and some below it, and leaves the rest to the application."""

    def __init__(
        self,
        method: str,
        path: str,
        handler: Handler,
        ordinary: Ordinary,
        below: Mapping[str, NamedHandler] | None = None,
        admission: Admission | None = None,
    ) -> None:
        """Bind; `ordinary` is the handler that the server would have called.

        `below` answer `path/NAME/KEY`, by key, for names of letters and digits; they are counted
        as `path/{order_id}/KEY`. `admission` limits what `handler` is asked at once, nothing else.
        """
        self._method = method
        self._path = path
        self.handler = handler
        self.admission = admission or Admission()
        self._ordinary = ordinary
        self._below = below or {}
        self._traffic = Traffic(path)
        self._traffic_below = {
            named: Traffic(f"{path}/{{order_id}}/{key}") for key, named in self._below.items()
        }
        self._next_id = request_ids()
        self._date = _Date()
        self._heads: dict[tuple[int, str], bytes] = {}
        self._refusals = cycle(_refusals())

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request that aiohttp made; the server calls this for each."""
        path = request.rel_url.raw_path
        handler = self.handler_of(request.method, request.version, path, request.headers)
        if handler is None:
            response = await self._ordinary(request)
            if self.admission.draining:
                response.force_close()
            return response
        stays, gate = request.keep_alive, self.admission
        if handler is not self.handler:
            status, raw = await self.answer(handler, request, keep_alive=stays)
        elif gate.in_flight >= gate.limit:
            gate.may_refuse(time.monotonic())  # it is read already: to answer is the least
            status, raw = await self.answer(_turn_away, request, keep_alive=stays)
        else:
            gate.in_flight += 1
            try:
                status, raw = await self.answer(handler, request, keep_alive=stays)
            finally:
                gate.in_flight -= 1
        return RawResponse(status, raw, keep_alive=stays and not gate.draining)

    def handler_of(
        self, method: str, version: HttpVersion, path: str, headers: Mapping[str, str]
    ) -> Handler | None:
        """Return who answers such a request here, None when the application does."""
        if method != self._method or version != _HTTP_1_1 or "Expect" in headers:
            return None
        if path == self._path:
            return self.handler
        return self._below_of(path) if path.startswith(self._path + "/") else None

    async def answer(
        self, handler: Handler, request: Request, *, keep_alive: bool = True
    ) -> tuple[int, bytes]:
        """Return status and all bytes of the answer; whatever a handler raises becomes one.

        Raises:
            HTTPException: aiohttp's own, for its own requests only.
        """
        began = time.perf_counter()
        given = request.headers.get("X-Request-Id")
        request_id = given if given and sane_request_id(given) else self._next_id()
        try:
            answer = await handler(request)
        except EngineError as refusal:
            answer = Answer(*problem.problem_bytes(refusal))
        except web.HTTPRequestEntityTooLarge:  # in chunks: how long it is was not known before
            answer = Answer(*problem.problem_bytes(PayloadTooLarge()))
        except web.HTTPException as error:
            if not isinstance(request, Whole):
                raise
            answer = Answer(*problem.http_bytes(error))
        except Exception as error:  # noqa: BLE001 - as at the edge: it has to become an answer
            answer = Answer(*problem.problem_bytes(unexpected(error, request, request_id)))
        answer = _with_limit(answer, told(request))
        stays = keep_alive and not self.admission.draining
        raw = self._raw(request.headers, request_id, answer, keep_alive=stays)
        traffic = self._traffic
        if isinstance(handler, partial):
            traffic = self._traffic_below[handler.func]
        seconds = time.perf_counter() - began
        traffic.add(answer.status, seconds)
        if SAMPLE.hit():
            order = handler.args[0] if isinstance(handler, partial) else _order_of(answer)
            shown = {"route": traffic.route, "status": answer.status, "ms": round(seconds * 1e3, 2)}
            SAMPLE.tell(request, shown, request_id, order)
        return answer.status, raw

    def refusal(self, headers: Mapping[str, str]) -> bytes:
        """Return all bytes of the answer to an order that is not even looked at."""
        given = headers.get("X-Request-Id")
        request_id = given if given and sane_request_id(given) else self._next_id()
        answer, tail = next(self._refusals)
        self._traffic.add(answer.status, 0.0)
        if "traceparent" in headers:
            return self._raw(headers, request_id, answer, keep_alive=True)
        head = self._head(answer.status, problem.PROBLEM_JSON)
        return b"".join((head, self._date(), b"X-Request-Id: ", request_id.encode(), tail))

    def _below_of(self, path: str) -> Handler | None:
        name, _, key = path[len(self._path) + 1 :].partition("/")
        named = self._below.get(key)
        # whatever else a name may be, the ordinary way knows
        plain = name.isascii() and name.isalnum() and len(name) <= IDENTIFIER_LENGTH_MAX
        return partial(named, name) if named is not None and plain else None

    def _raw(
        self, headers: Mapping[str, str], request_id: str, answer: Answer, *, keep_alive: bool
    ) -> bytes:
        status, own, body = answer
        tail = f"X-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n"
        kind = own.get("Content-Type", _JSON)
        for name, value in own.items():
            if name != "Content-Type":
                tail += f"{name}: {value}\r\n"
        if trace := traces.of(headers):
            tail += f"traceparent: {trace}\r\n"
        if not keep_alive:
            tail += "Connection: close\r\n"
        return b"".join((self._head(status, kind), self._date(), tail.encode(), b"\r\n", body))

    def _head(self, status: int, kind: str) -> bytes:
        made = self._heads.get((status, kind))
        if made is None:
            fixed = {"Content-Type": kind, **SAFE_HEADERS}
            lines = "".join(f"{name}: {value}\r\n" for name, value in fixed.items())
            made = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}".encode()
            self._heads[status, kind] = made
        return made


async def _turn_away(_request: Request) -> Answer:
    raise Overloaded(_TOO_MANY)


def _refusals() -> list[tuple[Answer, bytes]]:
    """Return the refusals there are, with all that follows their request id."""
    status, headers, body = problem.problem_bytes(Overloaded(_TOO_MANY))
    found = []
    for seconds in problem.RETRY_AFTER_S:
        own = headers | {"Retry-After": str(seconds)}
        tail = f"\r\nContent-Length: {len(body)}\r\nRetry-After: {seconds}\r\n\r\n"
        found.append((Answer(status, own, body), tail.encode() + body))
    return found


def _with_limit(answer: Answer, limit: Mapping[str, str] | None) -> Answer:
    return answer._replace(headers={**answer.headers, **limit}) if limit else answer


def _order_of(answer: Answer) -> str:
    return answer.headers.get("Location", "").rpartition("/")[2]


class _Date:
    """The Date header, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def __call__(self) -> bytes:
        second = int(time.time())  # noqa: TID251 - what this header tells is the wall clock
        if second != self._second:
            self._second = second
            text = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second))
            self._line = f"Date: {text}\r\n".encode()
        return self._line
