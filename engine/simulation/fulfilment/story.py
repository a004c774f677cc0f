"""The play: buy, hold, let go, route, send, stop, bring, tell; until nothing is on its way."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final

from engine.client import Client
from engine.kernel.clock import Clock
from engine.kernel.errors import EngineError
from engine.kernel.ids import token
from engine.simulation.calls import Calls
from engine.simulation.fulfilment import opening, reading, wishes, world
from engine.simulation.fulfilment.carrying import Carriers, Channel
from engine.simulation.fulfilment.reading import Played
from engine.simulation.fulfilment.refunding import Refunds
from engine.simulation.fulfilment.types import MALL, Fulfilled, Wish
from engine.simulation.progress import Progress
from engine.simulation.warehouse import Books, Server

_BUYERS: Final = 16
_ROUND_S: Final = 0.25
_COUNT_S: Final = 1.5  # to list all shipments costs too much to do it all the time
_WAITING_MAX: Final = 10  # orders of which it is asked why they have no shipment
_AT_ONCE: Final = 8  # callbacks of one warehouse
_WITHIN_S: Final = 120.0
_HELD_WITHIN_S: Final = 10.0
_OVER: Final = frozenset({"delivered", "cancelled", "rejected", "refused", "returned", "lost"})
_SECRET_LENGTH: Final = 16
_PREFIXES: Final = {world.EAST.node: "HZ", world.NORTH.node: "BJ"}


async def play(
    client: Client, address: str, mark: str, seed: int, progress: Progress, clock: Clock
) -> Fulfilled | str:  # fmt: skip
    """Play it on an instance that is nobody's; return what was found, or why it was not played.

    Raises:
        CallFailed: what the API said.
    """
    calls = Calls(client)
    if why := await opening.taken(calls):
        return why
    secret, began = token(_SECRET_LENGTH), clock.monotonic()
    async with AsyncExitStack() as stack:
        servers = {}
        for site in world.SITES:
            knobs = world.KNOBS[site.node]._replace(seed=seed, prefix=_PREFIXES[site.node])
            where = partial(str, f"{address}/v1/wms/{site.node}/callbacks")
            server = Server(Books(knobs), clock, secret, site.node, where)
            servers[site.node] = await stack.enter_async_context(server)
        story = _Story(calls, servers, mark, seed, progress, clock)
        story.notes += await opening.furnish(calls, servers, mark, secret)
        ends = [server.tell(_language(node), _AT_ONCE) for node, server in servers.items()]
        await together(story.run(), beside=ends)
        await opening.close(calls, mark)
        played = story.played()
    return await reading.read(calls, played, clock.monotonic() - began)


class _Story:
    """One run of it."""

    def __init__(
        self, calls: Calls, servers: Mapping[str, Server], mark: str, seed: int,
        progress: Progress, clock: Clock,
    ) -> None:  # fmt: skip
        self._calls, self._servers, self._mark = calls, servers, mark
        self._progress, self._clock = progress, clock
        self._wishes = wishes.seeded(seed)
        self._carriers, self._channel = Carriers(calls, seed), Channel(calls)
        self._refunds = Refunds(calls, self._buy)
        self._ids: dict[str, str] = {}  # order_id by number
        self._followed = ""
        self.notes: list[str] = []
        self._faults: list[str] = []

    async def run(self) -> None:
        wanted = {one.number: one for one in self._wishes if one.channel == MALL}
        in_time = [wanted.pop(number) for number in wishes.IN_TIME]
        too_late = [wanted.pop(number) for number in wishes.TOO_LATE]
        self._progress.say(
            f"an everyday shop, before the sale: {len(self._wishes)} orders, {len(world.SITES)}"
            f" warehouses, {len(world.SERVICES)} carriers, one plan"
        )
        self._followed = await self._buy(wanted.pop(wishes.FOLLOWED))
        refunds = self._refunds
        await together(
            self._let_go(), refunds.in_time(in_time), refunds.too_late(too_late)
        )  # fmt: skip
        rest = [*wanted.values(), *refunds.spare]
        await together(*(self._buy_all(rest[n::_BUYERS]) for n in range(_BUYERS)), self._sync())
        await self._carry()

    def played(self) -> Played:
        return Played(
            tuple(self._ids.values()), self._followed, tuple(self._refunds.answers),
            {node: server.books.held for node, server in self._servers.items()},
            self.notes, self._faults,
        )  # fmt: skip

    # Buyers and operator.

    async def _buy_all(self, wanted: list[Wish]) -> None:
        for one in wanted:
            await self._buy(one)

    async def _buy(self, one: Wish) -> str:
        order_id = await opening.buy(self._calls, one, self._mark)
        self._ids[one.number] = order_id
        return order_id

    async def _sync(self) -> None:
        told = [one for one in self._wishes if one.channel != MALL]
        ids = await opening.sync(self._calls, told, self._mark, self._clock.now_ms())
        self._ids.update(zip((one.number for one in told), ids, strict=True))

    async def _let_go(self) -> None:
        """Look at the order that review holds, and lift its block."""
        if self.notes:
            return  # nothing holds it
        path = f"/v1/orders/{self._followed}/blocks"
        until = self._clock.monotonic() + _HELD_WITHIN_S
        while not (await self._calls.get(path))["items"]:
            if self._clock.monotonic() > until:
                self._faults.append("review did not hold the order that it was to hold")
                return
            await asyncio.sleep(_ROUND_S)
        await self._calls.call("DELETE", f"{path}/review?reason=called%20the%20buyer")

    # Until nothing is on its way.

    async def _carry(self) -> None:
        counted, until = -_COUNT_S, self._clock.monotonic() + _WITHIN_S
        while True:
            gone = await reading.shipments(self._calls, "shipped")
            await self._carriers.tell(one for one in gone if one["order_id"] in self._ours)
            await self._channel.tell()
            now = self._clock.monotonic()
            if now - counted >= _COUNT_S:
                counted, left = now, await self._left()
                if not left:
                    break
                if now > until:
                    self._faults.append(f"{len(left)} orders neither arrived nor wait: {left[:3]}")
                    break
            await asyncio.sleep(_ROUND_S)

    @property
    def _ours(self) -> set[str]:
        return set(self._ids.values())

    async def _left(self) -> list[str]:
        """Return the orders that are still on their way; those without a shipment may wait."""
        ours = self._ours
        rows = await reading.shipments(self._calls)
        shipments = [one for one in rows if one["order_id"] in ours]
        self._tell(shipments)
        over: dict[str, bool] = {}
        for one in shipments:
            before = over.get(one["order_id"], True)
            over[one["order_id"]] = before and one["state"] in _OVER
        left = [order_id for order_id in self._ids.values() if not over.get(order_id)]
        if len(left) > _WAITING_MAX or any(order_id in over for order_id in left):
            return left
        found = [await self._calls.get(f"/v1/orders/{order_id}") for order_id in left]
        return [str(one["order_id"]) for one in found if one["queue"] is None]

    def _tell(self, shipments: list[dict[str, Any]]) -> None:
        states = Counter(str(one["state"]) for one in shipments)
        parcels = sum(len(one["parcels"]) for one in shipments)
        self._progress.counts(
            {
                "orders": f"{len(self._ids)}",
                "routed": f"{len({one['order_id'] for one in shipments})}",
                "at a warehouse": f"{sum(states.values()) - states['planned']}",
                "parcels": f"{parcels}",
                "delivered": f"{states['delivered']}",
                "told to their shop": f"{self._channel.counts['acked']}",
            }
        )


def _language(node: str) -> Any:
    return next(site.language for site in world.SITES if site.node == node)


async def together(
    *work: Coroutine[Any, Any, None], beside: Sequence[Coroutine[Any, Any, None]] = ()
) -> None:
    """Run all of it until all of `work` is done; what runs `beside` is ended then.

    Raises:
        EngineError: the first that failed, by itself and not in a group.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            others = [tasks.create_task(one) for one in beside]
            await asyncio.wait([tasks.create_task(one) for one in work])
            for other in others:
                other.cancel()
    except ExceptionGroup as failed:
        known, unknown = failed.split(EngineError)
        if known is None or unknown is not None:
            raise
        raise known.exceptions[0] from None
