"""Calls of a played operator: each is repeated until it has an answer, which it may be."""

import asyncio
from http import HTTPStatus
from time import monotonic  # as in http
from typing import Any, Final

from engine.kernel import codec
from engine.kernel.errors import EngineError
from engine.simulation.http import NO_ANSWER, Answer, LoadClient

_COME_BACK: Final = {NO_ANSWER, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
_GOOD: Final = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED})
_PATIENCE_S: Final = 20.0
_PAUSE_S: Final = 0.2


class CallFailed(EngineError):
    """The API refused what a played operator asked."""

    code = "call_failed"


class Calls:
    """What an operator asks of the API; all of it is named, so that asking twice is asking once."""

    def __init__(self, client: LoadClient) -> None:
        """Take who sends."""
        self._client = client

    async def get(self, path: str) -> dict[str, Any]:
        """Read something."""
        return await self.call("GET", path)

    async def put(self, path: str, document: object) -> dict[str, Any]:
        """Write a document."""
        return await self.call("PUT", path, document)

    async def post(self, path: str, document: object = None) -> dict[str, Any]:
        """Ask for something to be done."""
        return await self.call("POST", path, document)

    async def call(self, method: str, path: str, document: object = None) -> dict[str, Any]:
        """Return what was answered.

        Raises:
            CallFailed: what the API said.
        """
        answer = await self.ask(method, path, document)
        if answer.status not in _GOOD:
            said = answer.body.decode("utf-8", "replace")[:300] or "no answer"
            raise CallFailed(f"{method} {path}: {answer.status or ''} {said}")
        shown: dict[str, Any] = codec.decode_json(answer.body)
        return shown

    async def ask(self, method: str, path: str, document: object = None) -> Answer:
        """Return the answer, whatever it says."""
        body = b"" if document is None else codec.encode(document)
        raw = self._client.compose(method, path, body)
        until = monotonic() + _PATIENCE_S
        while True:
            answer = await self._client.request(raw)
            if answer.status not in _COME_BACK or monotonic() > until:
                return answer
            await asyncio.sleep(max(_PAUSE_S, answer.retry_after_s))
