"""A marketplace's side of a test: snapshots, and the shops they come from."""

from collections.abc import Sequence
from typing import Any

import msgspec

from engine.infra import keys
from engine.kernel.ids import order_id as order_id_of
from tests.conftest import eventually
from tests.fault.engines import Answer, Api

TMALL = "tmall"
PRICE = {"amount": 100, "currency": "CNY"}


def line(sku: str = "A", quantity: int = 1, **more: Any) -> dict[str, Any]:
    """One line at 100 fen a unit."""
    return {"sku": sku, "quantity": quantity, "unit_price": PRICE} | more


def snapshot(
    number: str, version: int | str, status: str, *lines: dict[str, Any], **more: Any
) -> dict[str, Any]:
    """A whole order as its marketplace has it."""
    return {
        "channel": TMALL,
        "channel_order_id": number,
        "version": str(version),
        "source_status": status,
        "placed_at": "2026-11-10T12:00:00Z",
        "lines": list(lines) or [line()],
    } | more


def id_of(number: str, channel: str = TMALL) -> str:
    """The order_id of a marketplace's order."""
    return order_id_of("main", channel, number)


async def sync(api: Api, *orders: dict[str, Any]) -> list[dict[str, Any]]:
    """Send snapshots in one request and return the results."""
    answer: Answer = await api.call("POST", "/v1/orders:sync", {"orders": list(orders)})
    assert answer.status == 200, answer.document
    found: list[dict[str, Any]] = answer.document["results"]
    return found


async def synced(api: Api, *orders: dict[str, Any]) -> list[str]:
    """Send snapshots and return one word each; a refusal fails the test."""
    results = await sync(api, *orders)
    assert all(one["status"] == 200 for one in results), results
    return [one["result"] for one in results]


async def open_shops(
    api: Api, shops: Sequence[dict[str, Any]] = ({"channel": TMALL},), **units: int
) -> None:
    """Make marketplaces that sell these SKUs from a shared pool each, and wait for the cell."""
    for shop in shops:
        body = {"name": shop["channel"], "authority": "external"} | shop
        del body["channel"]
        await put(api, f"/v1/channels/{shop['channel']}", body)
    for sku, count in units.items():
        await put(api, f"/v1/skus/{sku}", {"name": sku})
        channels = [{"channel": shop["channel"], "quota": 0} for shop in shops]
        body = {"sku": sku, "shared": count, "channels": channels}
        await put(api, f"/v1/supply-policies/{sku}", body)

    async def told() -> bool:
        fields = await api.cell.redis.hlen(keys.of(api.cell.id, "rules"))
        have = await pools_of(api)
        return bool(
            fields >= len(shops) * (1 + len(units)) and len(have) >= len(units) * (1 + len(shops))
        )

    await eventually(told, within_s=20)
    for shop in shops:
        await eventually(lambda name=shop["channel"]: api.registry.authority("main", name))


async def put(api: Api, path: str, body: dict[str, Any]) -> None:
    """PUT a document that was not there."""
    answer = await api.call("PUT", path, body)
    assert answer.status == 201, answer.document


async def share(api: Api, sku: str, units: int) -> None:
    """Change how many units of a SKU the marketplaces share, and wait until the cell has them."""
    before = await api.call("GET", f"/v1/supply-policies/{sku}")
    body = {"sku": sku, "shared": units, "channels": before.document["channels"]}
    etag = before.headers["ETag"]
    answer = await api.call("PUT", f"/v1/supply-policies/{sku}", body, If_Match=etag)
    assert answer.status == 200, answer.document

    async def applied() -> bool:
        pool = api.process.pool
        return not await pool.fetchval("SELECT count(*) FROM grants WHERE applied IS NULL")

    await eventually(lambda: _published(api, sku), within_s=20)
    await eventually(applied, within_s=20)


async def _published(api: Api, sku: str) -> bool:
    return bool((await api.call("GET", f"/v1/supply-policies/{sku}")).document["published"])


async def pools_of(api: Api) -> dict[str, list[int]]:
    """Granted, owed, available, held, sold in the cell, by pool."""
    packed = await api.cell.redis.hgetall(keys.of(api.cell.id, "pools"))
    return {name.decode(): msgspec.msgpack.decode(one)[:5] for name, one in packed.items()}


async def recorded(api: Api) -> None:
    """Wait until Postgres has all that the cell's log says."""

    async def caught_up() -> bool:
        state = await api.cell.refresh()
        last_id = await api.process.pool.fetchval("SELECT last_id FROM cells")
        return state is not None and bool(last_id == state.last_id)

    await eventually(caught_up, within_s=20)
