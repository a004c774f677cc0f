"""Calls to warehouses' systems over HTTP, in their languages; each ends within its time.

A call that was not answered, was cut, or was answered by something that is no answer (5xx, a page
of a proxy) is UNKNOWN: it may have been done. Only its own words refuse.
"""

import asyncio
from typing import Final

import aiohttp

from engine.kernel.clock import Clock
from engine.kernel.errors import ValidationFailed
from engine.kernel.limits import BODY_BYTES_MAX
from engine.wms.rules import plain, qimen
from engine.wms.types import Access, Consignment, Reference, Reply, Seen, Warehouse

TIMEOUT_S: Final = 10.0
_SERVER_ERROR: Final = 500
_OK: Final = 200
# Some answer of these may have come from something in between, after the call had passed it.
_PERHAPS: Final = frozenset({408, 425})
_BUSY: Final = 429


def session() -> aiohttp.ClientSession:
    """Return what all calls of a process share; to be closed by its owner.

    It keeps no cookies and unpacks nothing: a small answer cannot become a large one.
    """
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "tidegate"},
    )  # fmt: skip


def warehouse(
    access: Access, http: aiohttp.ClientSession, clock: Clock, timeout_s: float = TIMEOUT_S
) -> Warehouse:
    """Return the port to a node's system."""
    kind = Qimen if access.language == "qimen" else Plain
    return kind(access, http, clock, timeout_s)


class _Calling:
    """What both languages share: a POST that is answered, or is not."""

    def __init__(
        self, access: Access, http: aiohttp.ClientSession, clock: Clock, timeout_s: float
    ) -> None:
        self._access, self._http, self._clock = access, http, clock
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def _post(
        self, body: bytes, headers: dict[str, str], query: list[tuple[str, str]] | None = None
    ) -> "bytes | Reply":
        """Send once; a redirect is not followed: what is signed is for this address."""
        try:
            async with self._http.post(
                self._access.url, data=body, headers=headers, params=query,
                timeout=self._timeout, allow_redirects=False,
            ) as response:  # fmt: skip
                answer = await _bounded(response)
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as cut:
            return Reply("UNKNOWN", text=type(cut).__name__)
        if status == _OK:
            return answer
        if status >= _SERVER_ERROR or status in _PERHAPS:
            return Reply("UNKNOWN", text=f"HTTP {status}")
        return Reply("REFUSED", code="busy" if status == _BUSY else f"http_{status}")


class Qimen(_Calling):
    """A system that speaks Qimen."""

    async def create(self, one: Consignment) -> Reply:
        """Ask for a consignment: `deliveryorder.create`."""
        try:
            body = qimen.create(one, self._access)
        except ValidationFailed as unfit:
            return _unsendable(unfit)
        answer = await self._call("deliveryorder.create", body)
        return answer if isinstance(answer, Reply) else qimen.reply(answer, self._access)

    async def cancel(self, one: Reference, reason: str) -> Reply:
        """Ask not to send it: `order.cancel`."""
        answer = await self._call("order.cancel", qimen.cancel(one, reason, self._access))
        if isinstance(answer, Reply):
            return answer
        return qimen.reply(answer, self._access, cancels=True)

    async def query(self, one: Reference) -> Seen:
        """Ask what became of it: `orderprocess.query`."""
        if not self._access.can_query:
            raise NotImplementedError
        answer = await self._call("orderprocess.query", qimen.query(one, self._access))
        return Seen(answer) if isinstance(answer, Reply) else qimen.seen(answer, self._access)

    async def _call(self, method: str, body: bytes) -> "bytes | Reply":
        query = qimen.signed(self._access, method, body, self._clock.now_ms())
        return await self._post(body, {"Content-Type": "text/xml; charset=utf-8"}, query)


class Plain(_Calling):
    """A system that speaks our own JSON."""

    async def create(self, one: Consignment) -> Reply:
        """Ask for a consignment."""
        answer = await self._call(plain.create(one))
        return answer if isinstance(answer, Reply) else plain.reply(answer, self._access)

    async def cancel(self, one: Reference, reason: str) -> Reply:
        """Ask not to send it."""
        answer = await self._call(plain.cancel(one, reason))
        if isinstance(answer, Reply):
            return answer
        return plain.reply(answer, self._access, cancels=True)

    async def query(self, one: Reference) -> Seen:
        """Ask what became of it."""
        if not self._access.can_query:
            raise NotImplementedError
        answer = await self._call(plain.query(one))
        return Seen(answer) if isinstance(answer, Reply) else plain.seen(answer, self._access)

    async def _call(self, body: bytes) -> "bytes | Reply":
        at_s = self._clock.now_ms() // 1_000
        signature = plain.sign(self._access.secrets[0], body, at_s)
        headers = {"Content-Type": "application/json", plain.SIGNATURE: signature}
        return await self._post(body, headers)


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """Return an answer's body; of one that is too large only so much that nobody can read it."""
    parts, size = list[bytes](), 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > BODY_BYTES_MAX:
            return b""
    return b"".join(parts)


def _unsendable(unfit: ValidationFailed) -> Reply:
    """Return the refusal of what we cannot even write: where, and what is wanted; no values."""
    errors = unfit.extra["errors"]
    assert isinstance(errors, list)
    text = ", ".join(f"{error['pointer']} {error['detail']}" for error in errors)
    return Reply("REFUSED", code="invalid", text=text, permanent=True)
