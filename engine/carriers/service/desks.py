"""Carriers' desks: where they are, what we sign with, and calls to them.

A desk that does not answer is left alone for a while (engine/infra/jobs.py): whoever would ask it
hears at once that nobody knows, so nobody waits for it while others could be asked.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import aiohttp

from engine.carriers.rules import asking
from engine.carriers.service import services
from engine.carriers.store import desks as store
from engine.carriers.types.desks import Desk, DeskAccess, Tracked
from engine.carriers.types.waybills import Reply, Wanted
from engine.infra import jobs, outgoing
from engine.infra.outgoing import NoAnswer
from engine.infra.runtime import Runtime
from engine.kernel import signing
from engine.kernel.clock import Clock
from engine.kernel.errors import NotFound
from engine.kernel.types import Tenant

TIMEOUT_S: Final = 8.0  # so that a warehouse can still be called within the same lease
SHUT: Final = "not_asked"  # the code of an answer that nobody gave
_QUEUE: Final = "desk:"

_Answer = TypeVar("_Answer", Reply, Tracked)


async def put_secret(
    runtime: Runtime, tenant: Tenant, service: str, secret: str, actor: str
) -> None:
    """Set what we sign with when a service's carrier is asked.

    Raises:
        NotFound: there is no such service.
    """
    await services.get(runtime, tenant, service)
    await store.put_secret(runtime.pool, tenant, service, secret, actor)


async def reach(runtime: Runtime, tenant: Tenant, service: str) -> DeskAccess | None:
    """Return how a service's carrier is asked; None where it has no desk, or no secret is set."""
    try:
        kept = (await services.get(runtime, tenant, service)).value
    except NotFound:
        return None
    secret = await store.secret(runtime.pool, tenant, service)
    if not kept.desk_url or not secret:
        return None
    return DeskAccess(service, kept.carrier, kept.desk_url, secret)


def desk(
    access: DeskAccess, http: aiohttp.ClientSession, clock: Clock, timeout_s: float = TIMEOUT_S
) -> Desk:
    """Return the port to a desk."""
    return OverHttp(access, http, clock, timeout_s)


def guarded(runtime: Runtime, tenant: Tenant, access: DeskAccess, port: Desk) -> Desk:
    """Return a port that asks its desk only while that one answers."""
    return Guarded(runtime, tenant, f"{_QUEUE}{access.service}", port)


class Guarded:
    """A desk behind its breaker; to be asked outside of a transaction, as any desk."""

    def __init__(self, runtime: Runtime, tenant: Tenant, queue: str, port: Desk) -> None:
        self._pool, self._tenant, self._queue, self._port = runtime.pool, tenant, queue, port

    async def get(self, one: Wanted) -> Reply:
        """Ask for a number."""
        return await self._asked(lambda: self._port.get(one), Reply("UNKNOWN", code=SHUT))

    async def cancel(self, waybill: str, reason: str) -> Reply:
        """Give a number back."""
        unsaid = Reply("UNKNOWN", code=SHUT)
        return await self._asked(lambda: self._port.cancel(waybill, reason), unsaid)

    async def intercept(self, waybill: str, reason: str) -> Reply:
        """Ask for a parcel to be turned round."""
        unsaid = Reply("UNKNOWN", code=SHUT)
        return await self._asked(lambda: self._port.intercept(waybill, reason), unsaid)

    async def print_data(self, waybill: str) -> Reply:
        """Ask for what is printed."""
        return await self._asked(
            lambda: self._port.print_data(waybill), Reply("UNKNOWN", code=SHUT)
        )

    async def track(self, waybills: list[str]) -> Tracked:
        """Ask where parcels are."""
        return await self._asked(lambda: self._port.track(waybills), Tracked("UNKNOWN", code=SHUT))

    async def _asked(self, call: Callable[[], Awaitable[_Answer]], unsaid: _Answer) -> _Answer:
        turn = await jobs.turn(self._pool, self._tenant, self._queue)
        if turn == "shut":
            return unsaid
        answer = await call()
        if answer.outcome == "UNKNOWN":
            await jobs.failed(self._pool, self._tenant, self._queue, probe=turn == "probe")
        else:
            await jobs.answered(self._pool, self._tenant, self._queue)
        return answer


class OverHttp:
    """A desk that speaks our JSON."""

    def __init__(
        self, access: DeskAccess, http: aiohttp.ClientSession, clock: Clock, timeout_s: float
    ) -> None:
        self._access, self._http, self._clock = access, http, clock
        self._timeout_s = timeout_s

    async def get(self, one: Wanted) -> Reply:
        """Ask for a number."""
        return await self._reply(asking.get(one))

    async def cancel(self, waybill: str, reason: str) -> Reply:
        """Give a number back."""
        return await self._reply(asking.cancel(waybill, reason))

    async def intercept(self, waybill: str, reason: str) -> Reply:
        """Ask for a parcel to be turned round."""
        return await self._reply(asking.intercept(waybill, reason))

    async def print_data(self, waybill: str) -> Reply:
        """Ask for what is printed."""
        return await self._reply(asking.print_data(waybill))

    async def track(self, waybills: list[str]) -> Tracked:
        """Ask where parcels are."""
        told = await self._post(asking.track(waybills))
        if isinstance(told, NoAnswer):
            return Tracked(told.outcome, code=told.code)
        return asking.tracked(told)

    async def _reply(self, body: bytes) -> Reply:
        told = await self._post(body)
        if isinstance(told, NoAnswer):
            return Reply(told.outcome, code=told.code, text=told.text)
        return asking.reply(told)

    async def _post(self, body: bytes) -> bytes | NoAnswer:
        at_s = self._clock.now_ms() // 1_000
        headers = {
            "Content-Type": "application/json",
            signing.SIGNATURE: signing.sign(self._access.secret, body, at_s),
        }
        url, timeout_s = self._access.url, self._timeout_s
        return await outgoing.post(self._http, url, body, headers, timeout_s=timeout_s)
