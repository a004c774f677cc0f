"""What the bench sells: channels, SKUs and campaigns of one run, made over HTTP."""

import asyncio
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from engine.kernel import codec
from engine.kernel.clock import Clock, instant
from engine.simulation.bench.requests import SKU, path_of
from engine.simulation.bench.types import BenchFailed, Kind
from engine.simulation.http import LoadClient

GATE: Final = "bench"
EXTERNAL: Final = "bench-market"
SKUS: Final = 50
_MANY: Final = 100, 50  # SKUs and channels: each pair is a pool

_QUOTA: Final = 100_000_000
_PER_BUYER: Final = 5
_HOLD_SECONDS: Final = 86_400  # no hold may expire while we measure
_LASTS: Final = timedelta(hours=30)
_PUBLISHED_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.05


class Crowd(NamedTuple):
    """The campaigns and SKUs that an instance is filled with; none until it is."""

    prefix: str
    campaigns: int = 0
    skus: int = 0

    def names(self) -> list[str]:
        """Return the ids of its campaigns."""
        return [f"{self.prefix}-{n}" for n in range(self.campaigns)]

    def skus_of(self, campaign: int) -> range:
        """Return the numbers of the SKUs that one campaign sells, as `Job` spreads them."""
        first, last = (-(-n * self.skus // self.campaigns) for n in (campaign, campaign + 1))
        return range(first, last)


class Shelf:
    """The stock of one run; `plenty` never runs out, `last_unit` has one unit of one SKU."""

    def __init__(self, client: LoadClient, clock: Clock, mark: str) -> None:
        """Take where to; nothing is sent before `fill`."""
        self.plenty = f"bench-{mark}"
        self.last_unit = f"bench-{mark}-last"
        self.many = f"bench-{mark}-many"
        self.crowd = Crowd(f"bench-{mark}-of")
        self._client = client
        self._clock = clock

    async def fill(self) -> None:
        """Make everything and wait until the cell has it.

        Raises:
            BenchFailed: what the API said.
        """
        await self._put(f"/v1/channels/{GATE}", {"name": "bench"})
        market = {"name": "bench marketplace", "authority": "external"}
        await self._put(f"/v1/channels/{EXTERNAL}", market)
        for n in range(SKUS):
            await self._put(f"/v1/skus/{SKU.format(n)}", {"name": f"bench {n}"})
        quota = {GATE: _QUOTA, EXTERNAL: _QUOTA}
        plenty = [(SKU.format(n), quota) for n in range(SKUS)]
        for campaign, stock in (
            (self.plenty, plenty),
            (self.last_unit, [(SKU.format(0), {GATE: 1})]),
        ):
            await self._put(f"/v1/campaigns/{campaign}", self.plan(stock))
            await self.wait_published(campaign)

    async def fill_many(self) -> None:
        """Make a campaign with thousands of pools, and wait until the cell has it.

        Raises:
            BenchFailed: what the API said.
        """
        skus, channels = (range(number) for number in _MANY)
        for n in channels:
            await self._put(f"/v1/channels/{GATE}-{n}", {"name": "bench"})
        for n in skus:
            await self._put(f"/v1/skus/{SKU.format(n)}", {"name": f"bench {n}"})
        quota = {f"{GATE}-{n}": _PER_BUYER for n in channels}
        await self._put(
            f"/v1/campaigns/{self.many}", self.plan([(SKU.format(n), quota) for n in skus])
        )
        await self.wait_published(self.many)

    async def offers(self, kind: Kind) -> bool:
        """Whether this version has the call that a kind of load needs."""
        raw = self._client.compose("POST", path_of(kind), codec.encode({"orders": []}))
        told = (await self._client.request(raw)).status
        return told not in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}

    def plan(self, stock: list[tuple[str, dict[str, int]]]) -> dict[str, Any]:
        """Return a campaign that sells these SKUs while we measure."""
        now = instant(self._clock.now_ms())
        return {
            "name": "bench",
            "starts_at": (now - timedelta(minutes=1)).isoformat(),
            "ends_at": (now + _LASTS).isoformat(),
            "channels": sorted({channel for _, quota in stock for channel in quota}),
            "skus": [
                {"sku": sku, "quota": quota, "per_buyer_limit": _PER_BUYER} for sku, quota in stock
            ],
            "hold_seconds": _HOLD_SECONDS,
        }

    async def wait_published(self, campaign: str, within_s: float = _PUBLISHED_WITHIN_S) -> None:
        """Wait until the cell has a campaign.

        Raises:
            BenchFailed: it did not come to it.
        """
        until = self._clock.monotonic() + within_s
        while not (await self._call("GET", f"/v1/campaigns/{campaign}", b""))["published"]:
            if self._clock.monotonic() > until:
                raise BenchFailed(f"a campaign did not reach the cell in {within_s:.0f} s")
            await asyncio.sleep(_POLL_S)

    async def _put(self, path: str, document: dict[str, Any]) -> None:
        await self._call("PUT", path, codec.encode(document))

    async def _call(self, method: str, path: str, body: bytes) -> dict[str, Any]:
        answer = await self._client.request(self._client.compose(method, path, body))
        if answer.status not in {HTTPStatus.OK, HTTPStatus.CREATED}:
            said = answer.body.decode("utf-8", "replace")[:300] or "no answer"
            raise BenchFailed(f"{method} {path}: {answer.status or ''} {said}")
        shown: dict[str, Any] = codec.decode_json(answer.body)
        return shown
