"""A span around a request whose trace is sampled, above all that the request causes.

Only there when spans are told at all.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from engine.infra.http.fast import Answer
from engine.infra.http.request import TRACE, Request, Whole
from engine.infra.spans import Span, Spans
from engine.kernel import traces
from engine.kernel.errors import EngineError

Hot = Callable[[Request], Awaitable[Answer]]
R = TypeVar("R", Answer, web.StreamResponse)


def carried(request: Request) -> str:
    """Return the traceparent of what a request causes: its span's, else its own, "" without."""
    above = request.trace if isinstance(request, Whole) else request.get(TRACE, "")
    return above or traces.of(request.headers)


def traced(spans: Spans, name: str, handler: Hot) -> Hot:
    """Return a hot handler with that span around it."""

    async def around(request: Request) -> Answer:
        trace = traces.of(request.headers)
        if not traces.sampled(trace):
            return await handler(request)
        span = spans.begin(trace, name)
        if isinstance(request, Whole):
            request.trace = span.trace
        else:
            request[TRACE] = span.trace
        return await _ended(span, handler(request))

    return around


def middleware(spans: Spans) -> Middleware:
    """Return the same for every other route, named by its path with the names of its parts."""

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        trace = traces.of(request.headers)
        resource = request.match_info.route.resource
        if not traces.sampled(trace) or resource is None:
            return await handler(request)
        span = spans.begin(trace, f"{request.method} {resource.canonical}")
        request[TRACE] = span.trace
        return await _ended(span, handler(request))

    return around


async def _ended(span: Span, answering: Awaitable[R]) -> R:
    status = 500
    try:
        answer = await answering
        status = answer.status
    except (EngineError, web.HTTPException) as refusal:
        status = refusal.status
        raise
    finally:
        span.end(status=status)
    return answer
