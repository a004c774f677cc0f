"""The campaigns and SKUs of a filled instance, made over HTTP, many at a time."""

import asyncio
from collections.abc import Iterator
from typing import Final

from engine.kernel import codec
from engine.simulation.bench.requests import SKU
from engine.simulation.bench.shelf import EXTERNAL, GATE, SKUS, Crowd, Shelf
from engine.simulation.bench.types import BenchFailed
from engine.simulation.http import LoadClient
from engine.simulation.progress import Progress

CAMPAIGNS_MAX: Final = 1_000
SKUS_PER_CAMPAIGN: Final = 10

_CAMPAIGNS_MIN: Final = 10
_ORDERS_PER_CAMPAIGN: Final = 500
_PER_CHANNEL: Final = 1_000_000  # units of a SKU: none runs out
AT_ONCE: Final = 16
_PUBLISHED_WITHIN_S: Final = 180.0


def sized(crowd: Crowd, orders: int) -> Crowd:
    """Return how many campaigns and SKUs fit so many orders: 1,000 and 10,000 from 500,000 on."""
    campaigns = min(CAMPAIGNS_MAX, max(_CAMPAIGNS_MIN, orders // _ORDERS_PER_CAMPAIGN))
    return crowd._replace(campaigns=campaigns, skus=campaigns * SKUS_PER_CAMPAIGN)


async def make(shelf: Shelf, client: LoadClient, progress: Progress) -> None:
    """Make everything that a shelf's crowd names and wait until the cell has it.

    Raises:
        BenchFailed: what the API said.
    """
    crowd = shelf.crowd
    await _all(client, _skus(client, crowd), f"{crowd.skus:,} SKUs", progress)
    await _all(client, _campaigns(client, shelf), f"{crowd.campaigns:,} campaigns", progress)
    for name in crowd.names():
        await shelf.wait_published(name, _PUBLISHED_WITHIN_S)


def _skus(client: LoadClient, crowd: Crowd) -> Iterator[bytes]:
    for n in range(SKUS, crowd.skus):  # the shelf has the first of them
        yield client.compose("PUT", f"/v1/skus/{SKU.format(n)}", codec.encode({"name": f"{n}"}))


def _campaigns(client: LoadClient, shelf: Shelf) -> Iterator[bytes]:
    quota = {GATE: _PER_CHANNEL, EXTERNAL: _PER_CHANNEL}
    for n, name in enumerate(shelf.crowd.names()):
        stock = [(SKU.format(sku), quota) for sku in shelf.crowd.skus_of(n)]
        raw = client.compose("PUT", f"/v1/campaigns/{name}", codec.encode(shelf.plan(stock)))
        # else each is answered only when the cell has it
        yield raw.replace(b"\r\nHost:", b"\r\nPrefer: respond-async\r\nHost:", 1)


async def _all(client: LoadClient, requests: Iterator[bytes], what: str, show: Progress) -> None:
    show.say(f"making {what}")
    done = 0

    async def work() -> None:
        nonlocal done
        for raw in requests:  # one iterator for all of them
            answer = await client.request(raw)
            if answer.status not in {200, 201}:
                said = answer.body.decode("utf-8", "replace")[:300] or "no answer"
                raise BenchFailed(f"{what}: {answer.status or ''} {said}")
            done += 1
            show.counts({what: f"{done:,}"})

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
    except* BenchFailed as failures:
        raise failures.exceptions[0] from None
