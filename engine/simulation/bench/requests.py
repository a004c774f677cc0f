"""The requests of a job, composed before the clock starts."""

from collections.abc import Iterator
from typing import Any, Final

from engine.kernel import codec
from engine.kernel.ids import order_id
from engine.simulation.bench.types import Job, Kind

SKU: Final = "BENCH-{}"
PRICE: Final = {"amount": 9_900, "currency": "CNY"}
# How an accepted order looks in an answer that tells of many.
ACCEPTED_IN: Final[dict[Kind, bytes]] = {
    "batch": b'"status":202',
    "sync": b'"result":"created"',
}

_PATHS: Final[dict[Kind, str]] = {
    "single": "/v1/orders",
    "paid": "/v1/orders",
    "batch": "/v1/orders:batch",
    "sync": "/v1/orders:sync",
}
_STRIDE: Final = 7_919  # a prime: neighbours in time are of different campaigns, all get their turn
_SHIP_TO: Final = {
    "name": "李*",
    "phone": "138****0000",
    "country": "CN",
    "province": "广东省",
    "city": "深圳市",
    "district": "南山区",
    "address": "…",
}

Chain = tuple[bytes, ...]


def chains(job: Job) -> list[Chain]:
    """Return what is sent: each chain on one connection, a request once its last is answered."""
    if job.kind == "paid":
        return [(_post(job, _PATHS["paid"], one), _payment(job, n)) for n, one in _orders(job)]
    if job.kind == "single":
        return [(_post(job, _PATHS["single"], one),) for _, one in _orders(job)]
    each = [one for _, one in _orders(job)]
    return [
        (_post(job, _PATHS[job.kind], {"orders": each[n : n + job.per_request]}),)
        for n in range(0, len(each), job.per_request)
    ]


def an_order(channel: str, campaign: str, number: str) -> dict[str, Any]:
    """Return an order of one unit, of a buyer of its own."""
    return {
        "channel": channel,
        "channel_order_id": number,
        "campaign": campaign,
        "buyer_id": number,
        "lines": [{"sku": SKU.format(0), "quantity": 1, "unit_price": PRICE}],
        "ship_to": _SHIP_TO,
    }


def bodies(job: Job) -> list[bytes]:
    """Return the orders of a job alone, as they would be posted one by one."""
    return [codec.encode(order) for _, order in _orders(job)]


def path_of(kind: Kind) -> str:
    """Return where orders of a kind are posted."""
    return _PATHS[kind]


def _orders(job: Job) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield one-line orders, each of a buyer of its own, over the SKUs in turn or in strides."""
    for n in range(job.orders):
        campaign, sku = _place(job, n)
        order: dict[str, Any] = {
            "channel": job.channel,
            "channel_order_id": _channel_order_id(job, n),
            "campaign": campaign,
            "buyer_id": f"{job.mark}-{n}",
            "lines": [{"sku": SKU.format(sku), "quantity": 1, "unit_price": PRICE}],
            "ship_to": _SHIP_TO,
        }
        if job.kind == "sync":
            order |= {
                "version": "1",
                "placed_at": job.placed_at,
                "source_status": "paid",
                "payment": {"status": "paid", "method": "alipay"},
            }
        yield n, order


def _place(job: Job, n: int) -> tuple[str, int]:
    """Return the campaign of an order and which of its SKUs is bought."""
    if not job.campaigns:
        return job.campaign, n % job.skus
    sku = (job.first + n) * _STRIDE % job.skus
    return f"{job.campaign}-{sku * job.campaigns // job.skus}", sku


def _channel_order_id(job: Job, n: int) -> str:
    return f"{job.mark}-{n}"


def _payment(job: Job, n: int) -> bytes:
    order = order_id(job.tenant, job.channel, _channel_order_id(job, n))
    paid = {"payment_id": f"{job.mark}-{n}", "amount": PRICE, "method": "alipay"}
    return _post(job, f"/v1/orders/{order}/payments", paid)


def _post(job: Job, path: str, document: dict[str, Any]) -> bytes:
    body = codec.encode(document)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {job.host}:{job.port}\r\nAuthorization: Bearer {job.key}"
        f"\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body
