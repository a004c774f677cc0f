"""What a hot handler is given: aiohttp's own request, or one that came in one piece."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web
from aiohttp.http import RawRequestMessage


class Whole:
    """A request that came in one piece, as a hot handler sees it."""

    __slots__ = ("_body", "_message", "content_length", "headers", "told", "trace")

    transport: Final = None  # what is here already cannot break

    def __init__(self, message: RawRequestMessage, body: bytes) -> None:
        """Take a parsed head and the body behind it."""
        self._message = message
        self._body = body
        self.headers: Mapping[str, str] = message.headers
        self.content_length = len(body)
        self.told: Mapping[str, str] | None = None  # of its key's limit
        self.trace = ""  # of the span around it, once there is one

    @property
    def method(self) -> str:
        """As it stands in the head."""
        return self._message.method

    @property
    def path(self) -> str:
        """As it stands in the head; a hot route has nothing escaped in it, and no query."""
        return self._message.path

    async def read(self) -> bytes:
        """Return the body."""
        return self._body


Request = web.BaseRequest | Whole
TRACE: Final = web.RequestKey("trace", str)
