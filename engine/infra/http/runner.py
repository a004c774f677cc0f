"""What the HTTP server refuses before any handler is asked, in the shape of every other refusal.

A request that cannot be parsed (a header too long, no HTTP at all) never becomes one of the
application's; an `Expect` that nobody knows is refused above its middleware.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from engine.infra.http import problem
from engine.infra.http.fast import Ordinary
from engine.infra.http.server import request_ids, stamp
from engine.kernel.errors import EngineError, ValidationFailed
from engine.kernel.types import Fault


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

    __slots__ = ("_next_id",)

    def __init__(self, manager: _Server, **named: Any) -> None:
        super().__init__(manager, **named)
        self._next_id = manager.next_id

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be parsed, or what a handler should have answered and did not."""
        super().handle_error(request, status, exc, message)  # logs; raises after a begun answer
        response = problem.problem_response(self._refusal(status))
        stamp(request, response, self._next_id())
        response.force_close()
        return response

    def _refusal(self, status: int) -> EngineError:
        if status != HTTPStatus.BAD_REQUEST:
            return EngineError("an unexpected error; it was logged")
        # not aiohttp's own words: they repeat bytes of the request, and a header may be a key
        bounds = f"lines of at most {self.max_field_size} bytes, at most {self.max_headers} headers"
        return ValidationFailed([Fault("", f"is not HTTP as this server reads it: {bounds}")])


def _answering(ordinary: Ordinary, next_id: Callable[[], str]) -> Ordinary:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await ordinary(request)
        except web.HTTPException as error:
            response = problem.from_http(error)
            stamp(request, response, next_id())
            return response

    return answer
