"""What the HTTP server refuses before any handler is asked, in the shape of every other refusal.

A request that cannot be parsed (a header too long, no HTTP at all) never becomes one of the
application's; an `Expect` that nobody knows is refused above its middleware. Nothing of a request
goes into the log from here: where it broke may be the middle of a key.
"""

import traceback
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import structlog
from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage

from engine.infra.http import problem
from engine.infra.http.fast import Ordinary
from engine.infra.http.server import request_ids, stamp
from engine.kernel.errors import EngineError, ValidationFailed
from engine.kernel.types import Fault

_log: Final = structlog.get_logger(__name__)


class Runner(web.AppRunner):
    """Runs an application on a server that answers everything as the application would."""

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        return _Server(plain.request_handler, request_factory=plain.request_factory, **self._kwargs)


class _Server(web.Server):
    """Serves with protocols of ours; aiohttp has no other way to choose what a bad request gets."""

    def __init__(self, ordinary: Ordinary, **named: Any) -> None:
        self.next_id = request_ids()
        super().__init__(_answering(ordinary, self.next_id), **named)

    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class _Protocol(web.RequestHandler):
    """One connection."""

    __slots__ = ("_body", "_next_id")

    def __init__(self, manager: _Server, **named: Any) -> None:
        super().__init__(manager, **named)
        self._next_id = manager.next_id
        self._body: StreamReader | None = None  # of the last request that began

    def data_received(self, data: bytes) -> None:
        """Tell whoever reads a body that it broke; aiohttp puts the error behind its request."""
        super().data_received(data)
        if not self._messages:
            return
        message, body = self._messages[-1]
        if isinstance(message, RawRequestMessage):
            self._body = body
        elif self._body is not None and not self._body.is_eof():
            self._messages.pop()  # the request gets its answer from its own handler
            self._body.set_exception(web.RequestPayloadError("the body is not HTTP"))

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
            _log.error("unexpected", request_id=request_id, **_without_words(exc))
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
        _log.error("unexpected", reason=reason, **_without_words(failure))

    def _refusal(self, status: int) -> EngineError:
        if status != HTTPStatus.BAD_REQUEST:
            return EngineError("an unexpected error; it was logged")
        # not aiohttp's own words: they repeat bytes of the request, and a header may be a key
        bounds = f"lines of at most {self.max_field_size} bytes, at most {self.max_headers} headers"
        return ValidationFailed([Fault("", f"is not HTTP as this server reads it: {bounds}")])


def _without_words(failure: BaseException | None) -> dict[str, str]:
    """Tell what failed and where, but not its message, which may repeat the request."""
    if failure is None:
        return {}
    where = "".join(traceback.format_tb(failure.__traceback__))
    return {"error": type(failure).__name__, "where": where}


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
