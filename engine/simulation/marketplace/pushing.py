"""An adapter of a shop that takes our numbers: orders one way, numbers the other.

Orders go first: a number that is taken while some are on their way does not know of them.
"""

import asyncio
import heapq
from collections.abc import Iterable
from http import HTTPStatus
from itertools import count
from random import Random
from time import monotonic
from typing import Any, Final

from engine.kernel import codec
from engine.kernel.clock import SystemClock, rfc3339
from engine.simulation.http import LoadClient
from engine.simulation.marketplace.live import Live
from engine.simulation.marketplace.syncing import Syncing

_TICK_S: Final = 0.02
_PULL_EVERY_S: Final = 0.2
_LOOK_EVERY_S: Final = 1.0
_PUSH_S: Final = (0.05, 0.3)  # until the shop shows a number and says so
_BODY_MAX: Final = 500


class Pushing(Syncing):
    """A live shop and its adapter; of `counts`, `numbers` were taken and `sights` told."""

    def __init__(self, client: LoadClient, market: Live) -> None:
        """Take whose orders and numbers."""
        super().__init__(client, market)
        self._live = market
        self._rng = Random(f"push {market.spec.seed} {market.spec.channel}")
        self._arriving: list[tuple[float, int, int]] = []
        self._pushes: list[tuple[float, int, dict[str, Any]]] = []
        self._order = count()
        self._known: dict[tuple[str, str], int] = {}  # the newest number on its way or taken

    async def run(self) -> None:
        """Sell and adapt until every order reached us."""
        began, pull_at, look_at = monotonic(), 0.0, _LOOK_EVERY_S
        buyers = self._live.coming[::-1]
        while buyers or self._arriving:
            now = monotonic() - began
            while buyers and buyers[-1] <= now:
                for arrival in self._live.sell(buyers.pop()):
                    heapq.heappush(self._arriving, arrival)
            if not await self._deliver(now):
                return
            if buyers and now >= pull_at:
                pull_at = now + _PULL_EVERY_S
                await self._pull(now)
            await self._take(now)
            if buyers and now >= look_at:
                look_at = now + _LOOK_EVERY_S
                await self._look()
            await asyncio.sleep(_TICK_S)

    async def _deliver(self, now: float) -> bool:
        documents: list[dict[str, Any]] = []
        while self._arriving and self._arriving[0][0] <= now and len(documents) < _BODY_MAX:
            _, n, place = heapq.heappop(self._arriving)
            documents.append(self._live.document(n, place))
        self.counts["snapshots"] += len(documents)
        return not documents or await self._bring(documents)

    async def _pull(self, now: float) -> None:
        """Fetch numbers that the shop has to be told; each takes a while to be shown."""
        path = f"/v1/publications?channel={self._live.spec.channel}&pending=true&limit=500"
        answer = await self._client.request(self._client.compose("GET", path, b""))
        if answer.status != HTTPStatus.OK:
            return
        for one in codec.decode_json(answer.body)["items"]:
            link = one["item_id"], one["sku_id"]
            if self._known.get(link, 0) < one["number"]:
                self._known[link] = one["number"]
                at = now + self._rng.uniform(*_PUSH_S)
                heapq.heappush(self._pushes, (at, next(self._order), one))

    async def _take(self, now: float) -> None:
        """Show the numbers that have arrived by now, and confirm them."""
        acks = []
        while self._pushes and self._pushes[0][0] <= now:
            one = heapq.heappop(self._pushes)[2]
            if one["number"] == self._known[one["item_id"], one["sku_id"]]:
                self._live.show(one["item_id"], one["sku_id"], one["published"])
                named = {name: one[name] for name in ("item_id", "sku_id", "number")}
                acks.append({**named, "accepted": True})
        self.counts["numbers"] += len(acks)
        await self._tell("ack", acks)

    async def _look(self) -> None:
        """Tell what the shop shows, as an adapter that reads its listings does."""
        at = rfc3339(SystemClock().now_ms())
        sights = [
            {"item_id": item_id, "sku_id": sku_id, "quantity": pieces, "seen_at": at}
            for item_id, sku_id, pieces in self._live.shows()
        ]
        self.counts["sights"] += len(sights)
        await self._tell("seen", sights)

    async def _tell(self, verb: str, items: Iterable[dict[str, Any]]) -> None:
        told = list(items)
        if not told:
            return
        body = codec.encode({"channel": self._live.spec.channel, "items": told})
        answer = await self._client.request(
            self._client.compose("POST", f"/v1/publications:{verb}", body)
        )
        if answer.status == HTTPStatus.BAD_REQUEST:
            self._fault(f"publications:{verb} got {answer.body[:200]!r}")
