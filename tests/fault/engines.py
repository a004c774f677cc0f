"""Whole processes of the engine inside a test: APIs and workers, each with clients of its own."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec
from aiohttp.test_utils import TestClient, TestServer

from engine import worker
from engine.app import build_api, runtime
from engine.assurance.verify import certify
from engine.channels.registry import Registry
from engine.infra import keys
from engine.infra.cell import Cell
from engine.infra.runtime import Runtime
from engine.kernel.ids import order_id as order_id_of
from engine.reservation.api import REGISTRY, RESERVATIONS
from engine.reservation.service import Reservations
from engine.settings import Settings
from engine.worker import Loop
from tests.conftest import eventually

ADMIN = "an-admin-key-of-the-tests"
CHANNEL = "mall"


@dataclass
class Answer:
    """What an HTTP call came back with."""

    status: int
    document: Any
    headers: Any

    @property
    def code(self) -> str:
        """A problem's code, "" for what is none."""
        return str(self.document.get("code", ""))


class Shop:
    """What a shop asks of an API process, however that is reached."""

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        raise NotImplementedError

    async def buy(self, number: str, *lines: tuple[str, int], **fields: Any) -> Answer:
        return await self.call("POST", "/v1/orders", an_order(number, *lines, **fields))

    async def pay(self, order_id: str, payment_id: str, amount: int) -> Answer:
        body = {"payment_id": payment_id, "amount": {"amount": amount, "currency": "CNY"}}
        return await self.call("POST", f"/v1/orders/{order_id}/payments", body)

    async def cancel(self, order_id: str, cancel_id: str) -> Answer:
        return await self.call("POST", f"/v1/orders/{order_id}/cancel", {"cancel_id": cancel_id})

    async def order(self, order_id: str) -> Answer:
        return await self.call("GET", f"/v1/orders/{order_id}")


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {ADMIN}"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }


@dataclass
class Api(Shop):
    """One API process: its client, and its insides."""

    client: TestClient[Any, Any]
    process: Runtime
    reservations: Reservations
    registry: Registry

    @property
    def cell(self) -> Cell:
        assert isinstance(self.process.cell, Cell)
        return self.process.cell

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        answer = await self.client.request(method, path, json=body, headers=_named(headers))
        return Answer(answer.status, msgspec.json.decode(await answer.read()), answer.headers)


@dataclass
class Remote(Shop):
    """One API process by its address alone."""

    session: aiohttp.ClientSession
    address: str

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Call it.

        Raises:
            OSError, aiohttp.ClientError: nobody answers, or not in time.
        """
        url, named = f"{self.address}{path}", _named(headers)
        async with self.session.request(method, url, json=body, headers=named) as answer:
            told = await answer.read()
            return Answer(answer.status, msgspec.json.decode(told or b"null"), answer.headers)


@dataclass
class House:
    """Everything that runs over one Valkey and one Postgres."""

    settings: Settings
    stack: AsyncExitStack
    tasks: dict[str, list[asyncio.Task[None]]] = field(default_factory=dict)
    apis: int = 0

    async def api(self, **changed: Any) -> Api:
        """Start an API process; `changed` are settings of its own, such as a proxy's address."""
        settings = replace(self.settings, admin_key=ADMIN, **changed)
        self.apis += 1
        name = f"api-{self.apis}"
        process = await self.stack.enter_async_context(runtime(settings, name))
        application, loops, restorer = await build_api(process)
        await restorer.start()
        client = TestClient(TestServer(application))
        await self.stack.enter_async_context(client)
        self._run(name, loops)
        one = Api(client, process, application[RESERVATIONS], application[REGISTRY])
        await eventually(one.cell.refresh, within_s=20)
        await eventually(lambda: one.cell.is_open, within_s=20)
        return one

    async def worker(self, *roles: str, name: str = "worker") -> Runtime:
        """Start a worker process; without roles it has all of them."""
        process = await self.stack.enter_async_context(runtime(self.settings, name))
        self._run(name, worker.loops(process, roles))
        return process

    def beside(self, name: str, loop: Loop) -> None:
        """Run somebody else's loop, a warehouse's say; it ends with the house."""
        self._run(name, [loop])

    async def stop(self, name: str) -> None:
        """Kill a process' loops as they stand."""
        tasks = self.tasks.pop(name)
        pending, late = set(tasks), []
        for _ in range(10):  # a cancel that meets a finished wait may be swallowed (Python 3.11)
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(tasks, timeout=1)
            if not pending:
                break
            late = [_where(one) for one in pending]
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        died = [end for end in ended if not isinstance(end, asyncio.CancelledError)]
        assert not died, f"{name}: a loop ended by itself: {died!r}"
        if late:
            warnings.warn(f"{name}: {late} did not end when cancelled", stacklevel=1)

    def _run(self, name: str, loops: Sequence[Loop]) -> None:
        assert name not in self.tasks
        self.tasks[name] = [asyncio.get_running_loop().create_task(_loop(one)) for one in loops]


def _where(task: asyncio.Task[None]) -> str:
    """The chain of coroutines a task waits in."""
    chain, inner = [], task.get_coro()
    while inner is not None and (frame := getattr(inner, "cr_frame", None)) is not None:
        chain.append(f"{frame.f_code.co_name}:{frame.f_lineno}")
        inner = inner.cr_await  # type: ignore[union-attr]
    return " > ".join(chain)


async def _loop(one: Loop) -> None:
    await one()


@asynccontextmanager
async def house(settings: Settings) -> AsyncIterator[House]:
    """Run processes until the block ends; a loop of theirs that died fails the test."""
    async with AsyncExitStack() as stack:
        one = House(settings, stack)
        try:
            yield one
        finally:
            async with AsyncExitStack() as ends:  # one that fails must not leave the others running
                for name in list(one.tasks):
                    ends.push_async_callback(one.stop, name)


def an_order(number: str, *lines: tuple[str, int], **fields: Any) -> dict[str, Any]:
    """An order as posted: 100 fen a unit, of the campaign `sale`."""
    price = {"amount": 100, "currency": "CNY"}
    return {
        "channel": CHANNEL,
        "channel_order_id": number,
        "campaign": "sale",
        "buyer_id": f"b-{number}",
        "lines": [
            {"sku": sku, "quantity": units, "unit_price": price}
            for sku, units in lines or [("A", 1)]
        ],
    } | fields


def id_of(number: str) -> str:
    """The order_id of a channel's order."""
    return order_id_of("main", CHANNEL, number)


def campaign_of(
    stock: Mapping[str, int],
    *,
    lasts: timedelta = timedelta(hours=1),
    hold_s: int = 600,
    grace_s: int = 60,
) -> list[tuple[str, dict[str, Any]]]:
    """What to PUT, in order, for a sale that has begun."""
    now = datetime.now(UTC)
    campaign = {
        "name": "Sale",
        "starts_at": (now - timedelta(hours=1)).isoformat(),
        "ends_at": (now + lasts).isoformat(),
        "channels": [CHANNEL],
        "skus": [{"sku": sku, "quota": {CHANNEL: units}} for sku, units in stock.items()],
        "hold_seconds": hold_s,
        "grace_seconds": grace_s,
    }
    return [
        (f"/v1/channels/{CHANNEL}", {"name": "Mall"}),
        *((f"/v1/skus/{sku}", {"name": sku}) for sku in stock),
        ("/v1/campaigns/sale", campaign),
    ]


async def open_sale(
    api: Api,
    *,
    lasts: timedelta = timedelta(hours=1),
    hold_s: int = 600,
    grace_s: int = 60,
    **stock: int,
) -> None:
    """Put a campaign and wait until the cell has its units."""
    for path, body in campaign_of(stock, lasts=lasts, hold_s=hold_s, grace_s=grace_s):
        answer = await api.call("PUT", path, body)
        assert answer.status == 201, answer.document

    async def granted() -> bool:
        packed = await api.cell.redis.hvals(keys.of(api.cell.id, "pools"))
        pools = [msgspec.msgpack.decode(one) for one in packed]
        return sum(pool[0] for pool in pools) == sum(stock.values()) and bool(
            await api.cell.redis.hlen(keys.of(api.cell.id, "rules")) >= len(stock) + 2
        )

    await eventually(granted, within_s=20)
    await eventually(lambda: api.registry.authority("main", CHANNEL))


async def certificate(api: Api) -> None:
    """Fail unless the whole instance can be certified, once its cell is open."""
    async with asyncio.timeout(15):
        await api.cell.wait_open()
    found = await certify(api.cell, api.process.pool, api.process.clock, within_s=30)
    assert found.holds, found.faults
