"""A first measurement of the hot path: single orders, one at a time on each connection.

    tidegate up --ephemeral                      # in another terminal, with TIDEGATE_ADMIN_KEY set
    python loadtest/single_orders.py http://127.0.0.1:8080 KEY --orders 40000 --connections 192
    tidegate verify                              # all of them are recorded

Requests are put together before the clock starts and answers are read as far as their status, so
the generator costs about 15 us a request. It is a closed loop: it shows the rate that the engine
sustains, not how it behaves beyond it.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import orjson
import uvloop

SKUS = 50
PRICE = {"amount": 9_900, "currency": "CNY"}


def seed(base: str, key: str, campaign: str) -> None:
    """Make a channel, SKUs and a running campaign with more stock than will be asked for."""
    stock = [
        {"sku": f"LOAD-{n}", "quota": {"load": 1_000_000}, "per_buyer_limit": 5}
        for n in range(SKUS)
    ]
    window = {"starts_at": "2026-01-01T00:00:00Z", "ends_at": "2099-01-01T00:00:00Z"}
    documents = {
        "/v1/channels/load": {"name": "load"},
        **{f"/v1/skus/LOAD-{n}": {"name": f"load {n}"} for n in range(SKUS)},
        f"/v1/campaigns/{campaign}": {
            "name": campaign, **window, "channels": ["load"], "skus": stock
        },
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    for path, document in documents.items():
        request = Request(base + path, orjson.dumps(document), headers, method="PUT")  # noqa: S310
        urlopen(request).close()  # noqa: S310 - the address the operator gave


def requests(host: str, key: str, campaign: str, count: int) -> Iterator[bytes]:
    """Yield complete HTTP requests, each for an order of its own by a buyer of its own."""
    for n in range(count):
        order = {
            "channel": "load",
            "channel_order_id": f"{campaign}-{n}",
            "campaign": campaign,
            "buyer_id": f"buyer-{n}",
            "lines": [{"sku": f"LOAD-{n % SKUS}", "quantity": 1, "unit_price": PRICE}],
            "ship_to": {"country": "CN", "province": "广东省", "city": "深圳市", "address": "…"},
        }
        body = orjson.dumps(order)
        yield (
            f"POST /v1/orders HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body


class Buyer(asyncio.Protocol):
    """One connection: sends the next request when the last one is answered."""

    def __init__(self, todo: Iterator[bytes], told: Counter[str], seconds: list[float]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._todo, self._told, self._seconds = todo, told, seconds
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._seconds.append(time.perf_counter() - self._sent)
        self._told[head[9:12].decode()] += 1
        self._got = b""
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))

    def _next(self) -> None:
        request = next(self._todo, None)
        if request is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)


async def drive(host: str, todo: list[bytes], connections: int) -> None:
    """Send everything, then say how fast it was."""
    told: Counter[str] = Counter()
    seconds: list[float] = []
    name, _, port = host.partition(":")
    queue = iter(todo)
    started, cpu = time.perf_counter(), time.process_time()
    buyers = [Buyer(queue, told, seconds) for _ in range(connections)]
    for buyer in buyers:
        await asyncio.get_running_loop().create_connection(lambda one=buyer: one, name, int(port))
    for buyer in buyers:
        await buyer.done
    took = time.perf_counter() - started
    seconds.sort()
    p50, p99 = (seconds[int(len(seconds) * part)] * 1_000 for part in (0.5, 0.99))
    own = (time.process_time() - cpu) / len(todo) * 1e6
    print(f"{len(todo) / took:,.0f} orders/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms; {dict(told)};")
    print(f"the generator took {own:.0f} us of CPU an order")


def main() -> None:
    """Parse the command line, seed, and drive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", help="http://127.0.0.1:8080")
    parser.add_argument("key", help="an admin key")
    parser.add_argument("--orders", type=int, default=40_000)
    parser.add_argument("--connections", type=int, default=192)
    given = parser.parse_args()
    host = urlsplit(given.base).netloc
    campaign = f"load-{time.time_ns()}"
    seed(given.base, given.key, campaign)
    todo = list(requests(host, given.key, campaign, given.orders))
    uvloop.run(drive(host, todo, given.connections))


if __name__ == "__main__":
    main()
