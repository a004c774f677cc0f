"""Processes of the reservation slice over one real cell, without HTTP and without Postgres."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from engine import worker
from engine.infra.cell import Cell, client
from engine.kernel import codec
from engine.kernel.clock import SystemClock
from engine.reservation import rules
from engine.reservation.service import Reservations
from engine.reservation.types import Claim, decode_order
from tests.lua.builders import CELL, World, campaign, channel, offer, world_on


def body(number: str, *lines: tuple[str, int], **more: Any) -> bytes:
    """An order as posted, for the campaign `d11` of the builders."""
    price = {"amount": 100, "currency": "CNY"}
    wanted = [
        {"sku": sku, "quantity": units, "unit_price": price} for sku, units in lines or [("A", 1)]
    ]
    fields = {"channel": "mall", "channel_order_id": number, "campaign": "d11", "lines": wanted}
    return codec.encode(fields | more)


def claim_of(number: str, *lines: tuple[str, int], **more: Any) -> Claim:
    order = decode_order(body(number, *lines, **more))
    return rules.claim_of(order, tenant="main", actor="key-1", now_ms=0)


async def take(one: Reservations, number: str, *lines: tuple[str, int], **more: Any) -> Any:
    return await one.reserve(claim_of(number, *lines, **more), body(number, *lines, **more))


class House:
    """One cell and the processes that were started on it."""

    def __init__(self, url: str, stack: AsyncExitStack, world: World) -> None:
        self.url, self.stack, self.world = url, stack, world
        self.tasks: dict[int, list[asyncio.Task[None]]] = {}

    async def cell(self) -> Cell:
        redis = await self.stack.enter_async_context(client(self.url))
        cell = Cell(redis, CELL, SystemClock())
        await cell.refresh()
        return cell

    async def start(self, *, reading: bool = True) -> Reservations:
        """Start a process; without `reading` it sends, but does not follow the log."""
        one = Reservations(await self.cell())
        self.run(one, one.send(), worker.follow(one.cell))
        if reading:
            self.run(one, one.flags.run())
        return one

    def run(self, one: Reservations, *loops: Any) -> None:
        loop = asyncio.get_running_loop()
        self.tasks.setdefault(id(one), []).extend(loop.create_task(each) for each in loops)

    async def stop(self) -> None:
        every = [task for tasks in self.tasks.values() for task in tasks]
        while pending := [task for task in every if not task.done()]:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=0.5)
        ended = await asyncio.gather(*every, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended


@asynccontextmanager
async def house(url: str) -> AsyncIterator[House]:
    """An open cell with pool `a` for SKU A and pool `b` for SKU B, both still empty."""
    async with AsyncExitStack() as stack:
        world = world_on(await stack.enter_async_context(client(url)))
        await world.open()
        await world.call("rule", channel(), campaign(), offer("A", "a"), offer("B", "b"))
        one = House(url, stack, world)
        try:
            yield one
        finally:
            await one.stop()
