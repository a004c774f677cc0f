"""Calls to warehouses' systems over HTTP, in their languages; each ends within its time.

A call that was not answered, was cut, or was answered by something that is no answer (5xx, a page
of a proxy) is UNKNOWN: it may have been done. Only its own words refuse.
"""

from typing import Final

import aiohttp

from engine.infra import outgoing
from engine.kernel.clock import Clock
from engine.kernel.errors import ValidationFailed
from engine.wms.rules import plain, qimen
from engine.wms.types import Access, Consignment, Reference, Reply, Seen, Warehouse

session: Final = outgoing.session


def warehouse(
    access: Access, http: aiohttp.ClientSession, clock: Clock, timeout_s: float
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
        self._timeout_s = timeout_s

    async def _post(
        self, body: bytes, headers: dict[str, str], query: list[tuple[str, str]] | None = None
    ) -> "bytes | Reply":
        told = await outgoing.post(
            self._http, self._access.url, body, headers, query=query, timeout_s=self._timeout_s
        )
        return (
            told if isinstance(told, bytes) else Reply(told.outcome, code=told.code, text=told.text)
        )


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


def _unsendable(unfit: ValidationFailed) -> Reply:
    """Return the refusal of what we cannot even write: where, and what is wanted; no values."""
    errors = unfit.extra["errors"]
    assert isinstance(errors, list)
    text = ", ".join(f"{error['pointer']} {error['detail']}" for error in errors)
    return Reply("REFUSED", code="invalid", text=text, permanent=True)
