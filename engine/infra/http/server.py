"""The aiohttp application: one middleware around every handler, JSON in and out, bounded bodies."""

import itertools
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final, TypeVar

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from engine.infra.http import health, problem
from engine.infra.http.auth import DIRECTORY, Directory
from engine.infra.http.query import refuse_query
from engine.infra.http.rates import BUYERS, Buckets, told
from engine.infra.http.request import Request, Whole
from engine.infra.http.sampling import SAMPLE
from engine.infra.http.traffic import OTHER, Traffic
from engine.infra.logs import without_words
from engine.infra.meters.measured import Measured
from engine.infra.postgres import UNAVAILABLE
from engine.infra.runtime import RUNTIME, Runtime
from engine.kernel import codec, traces
from engine.kernel.errors import (
    EngineError,
    Overloaded,
    PayloadTooLarge,
    UnsupportedMediaType,
    ValidationFailed,
)
from engine.kernel.ids import token
from engine.kernel.limits import BODY_BYTES_MAX
from engine.kernel.types import Fault

T = TypeVar("T")

REQUEST_ID: Final = web.RequestKey("request_id", str)

_SANE_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_JSON: Final = re.compile(r'application/json(\s*;\s*charset="?utf-?8"?)?\s*', re.IGNORECASE)
SAFE_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Server": "tidegate",
}

_log = structlog.get_logger(__name__)


def build(
    runtime: Runtime,
    directory: Directory,
    routes: Iterable[web.AbstractRouteDef],
    checks: Mapping[str, health.Check],
    notes: Mapping[str, health.Check] | None = None,
    measured: Measured | None = None,
) -> web.Application:
    """Put an application together; its runner must be made with `access_log=None`."""
    app = web.Application(middlewares=[edge()], client_max_size=BODY_BYTES_MAX)
    app[RUNTIME] = runtime
    app[DIRECTORY] = directory
    app[BUYERS] = Buckets()
    app.add_routes([*health.routes(checks, notes, measured), *routes])
    return app


def edge() -> Middleware:
    """Return the one middleware: request id, trace, headers, and every error as a problem."""
    next_id = request_ids()
    routes: dict[str, Traffic] = {}

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        given = request.headers.get("X-Request-Id")
        request_id = given if given and sane_request_id(given) else next_id()
        request[REQUEST_ID] = request_id
        try:
            response = await handler(request)
        except EngineError as error:
            response = problem.problem_response(error)
        except web.HTTPException as error:
            response = problem.from_http(error)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises has to become an answer
            refusal = unexpected(error, request, request_id)
            response = problem.problem_response(refusal)
        stamp(request, response, request_id)
        resource = request.match_info.route.resource
        route = OTHER if resource is None else resource.canonical
        if route not in routes:
            routes[route] = Traffic(route)
        seconds = time.perf_counter() - began
        routes[route].add(response.status, seconds)
        if SAMPLE.hit():
            told = {"route": route, "status": response.status, "ms": round(seconds * 1e3, 2)}
            SAMPLE.tell(request, told, request_id, request.match_info.get("order_id", ""))
        return response

    return around


def stamp(request: web.BaseRequest, response: web.StreamResponse, request_id: str) -> None:
    """Put the headers of every answer on one; a handler's own Cache-Control stays."""
    headers = response.headers
    headers["X-Request-Id"] = request_id
    if limit := told(request):
        headers.update(limit)
    for name, value in SAFE_HEADERS.items():
        if name not in headers:
            headers[name] = value
    if trace := traces.of(request.headers):
        headers["traceparent"] = trace


def sane_request_id(given: str) -> bool:
    """Tell whether a caller's request id may be taken over and written back."""
    return _SANE_ID.fullmatch(given) is not None


def request_ids() -> Callable[[], str]:
    """Return a maker of ids that differ in one process and between processes; no system call."""
    prefix, count = token(6), itertools.count(1)
    return lambda: f"{prefix}-{next(count):x}"


def json_response(
    document: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer with JSON."""
    return web.Response(
        body=codec.encode(document),
        status=status,
        headers=headers,
        content_type="application/json",
    )


async def body_of(
    request: web.Request, decoder: codec.Decoder[T], bytes_max: int = BODY_BYTES_MAX
) -> T:
    """Read and decode a JSON body.

    Raises:
        UnsupportedMediaType: it does not say that it is JSON in UTF-8.
        PayloadTooLarge: longer than the bound; nothing beyond it is read.
        ValidationFailed: not what the decoder takes.
    """
    return decoder(await raw_body(request, bytes_max))


async def raw_body(request: Request, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """Read a JSON body without decoding it.

    Raises:
        RequestPayloadError: it broke, or the client left in the middle of it.
    """
    kind = request.headers.get("Content-Type", "")
    if kind != "application/json" and not _JSON.fullmatch(kind):
        raise UnsupportedMediaType
    if (request.content_length or 0) > bytes_max:
        raise PayloadTooLarge(f"a body here has at most {bytes_max} bytes")
    try:
        return await _read(request, min(bytes_max, BODY_BYTES_MAX))
    except (OSError, RuntimeError) as failure:
        if request.transport is not None:
            raise
        # a client that is gone is no server that is away
        raise web.RequestPayloadError("the client left") from failure


async def _read(request: Request, bytes_max: int) -> bytes:
    """Read a body up to a little more than a bound: one in chunks, or packed, says no length."""
    if isinstance(request, Whole):
        return await request.read()
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > bytes_max:
            raise PayloadTooLarge(f"a body here has at most {bytes_max} bytes")
    return bytes(body)


def path_id(request: web.Request, name: str) -> str:
    """Return an identifier of the path, checked like one of a body."""
    return _named(request.match_info[name], f"{name} in the path")


def query_id(request: web.Request, name: str) -> str:
    """Return an optional identifier of the query, `""` when it is not given."""
    text = request.query.get(name, "")
    return _named(text, f"query parameter {name}") if text else ""


def query_instant(request: web.Request, name: str) -> datetime | None:
    """Return an optional instant of the query, None when it is not given."""
    text = request.query.get(name, "")
    if not text:
        return None
    with suppress(ValueError, ValidationFailed):
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return codec.instant(moment, "")
    return refuse_query(name, "must be an instant of 2000 to 2199 with a zone, as in RFC 3339")


def _named(text: str, place: str) -> str:
    """A place outside the body has no pointer, so the detail says where it is."""
    try:
        return codec.identifier(text, "")
    except ValidationFailed as refusal:
        detail = "must be 1 to 128 characters without control characters"
        raise ValidationFailed([Fault("", f"{place}: {detail}")]) from refusal


def unexpected(error: Exception, request: Request, request_id: str) -> EngineError:
    """Return the answer to what no handler expected: nothing about it goes out, all is logged."""
    fields = {"request_id": request_id, "method": request.method, "path": request.path}
    # what the driver cannot send is a ValueError of its "interface": no server is away for that
    if isinstance(error, UNAVAILABLE) and not isinstance(error, ValueError):
        _log.warning("server_away", reason=repr(error), **fields)
        return Overloaded("a server this call needs is away")
    if isinstance(error, web.RequestPayloadError):
        return ValidationFailed([Fault("", "the body could not be read to its end")])
    _log.error("unexpected", **without_words(error), **fields)
    return EngineError("an unexpected error; it was logged")
