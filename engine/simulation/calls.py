"""Calls of a played operator: each is repeated until it has an answer, which it may be."""

from typing import Any, Final

from engine.client import Client, ClientError, Problem, RetryPolicy
from engine.client.types import Body
from engine.kernel.errors import EngineError

PATIENT: Final = RetryPolicy(deadline_s=20.0, pause_s=0.2)


class CallFailed(EngineError):
    """The API refused what a played operator asked; `answered` is its status, 0 for no answer."""

    code = "call_failed"

    def __init__(self, detail: str, answered: int = 0) -> None:
        """Take what the API said."""
        super().__init__(detail)
        self.answered = answered


class Calls:
    """What an operator asks of the API; all of it is named, so that asking twice is asking once."""

    def __init__(self, client: Client) -> None:
        """Take who sends."""
        self._client = client

    async def get(self, path: str) -> dict[str, Any]:
        """Read something."""
        return await self.call("GET", path)

    async def put(self, path: str, document: Body) -> dict[str, Any]:
        """Write a document."""
        return await self.call("PUT", path, document)

    async def post(self, path: str, document: Body | None = None) -> dict[str, Any]:
        """Ask for something to be done."""
        return await self.call("POST", path, document)

    async def pages(self, path: str, **wanted: object) -> list[dict[str, Any]]:
        """Return all items of a list.

        Raises:
            CallFailed: what the API said.
        """
        try:
            return [one async for one in self._client.items(path, **wanted)]
        except ClientError as failure:
            raise _failed("GET", path, failure) from failure

    async def call(self, method: str, path: str, document: Body | None = None) -> dict[str, Any]:
        """Return what was answered.

        Raises:
            CallFailed: what the API said.
        """
        try:
            shown: dict[str, Any] = (await self._client.request(method, path, document)).document
        except ClientError as failure:
            raise _failed(method, path, failure) from failure
        return shown


def _failed(method: str, path: str, failure: ClientError) -> CallFailed:
    answered = failure.status if isinstance(failure, Problem) else 0
    return CallFailed(f"{method} {path}: {failure}", answered)
