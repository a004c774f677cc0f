"""An adapter at work: brings a marketplace's feed to us, every body until it was answered.

A body without an answer, or an item told to come back, is sent again as it was: it may have been
booked, and then the repeat says `unchanged` or `stale`.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from time import monotonic  # as in the sale
from typing import Any, Final

from engine.kernel import codec
from engine.simulation.http import NO_ANSWER, LoadClient
from engine.simulation.marketplace.feed import Marketplace

_COME_BACK: Final = {NO_ANSWER, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
_PATIENCE_S: Final = 45.0
_PAUSE_S: Final = 0.2
_FAULTS_KEPT_MAX: Final = 20


class Syncing:
    """One marketplace's feed on its way; `counts` may be read while it runs.

    Of `counts`, the results are those of snapshots: created, updated, unchanged, stale.
    """

    def __init__(self, client: LoadClient, market: Marketplace) -> None:
        """Take whose feed goes where."""
        self.market = market
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._client = client

    async def run(self) -> None:
        """Bring every body at its time, one after the other, and return after the last."""
        began = monotonic()
        for delivery in self.market.feed():
            early_s = began + delivery.at_s - monotonic()
            if early_s > 0:
                await asyncio.sleep(early_s)
            self.counts["snapshots"] += len(delivery.documents)
            if not await self._bring(delivery.documents):
                return  # nobody answers: the other bodies would only wait as long

    async def _bring(self, documents: Sequence[dict[str, Any]]) -> bool:
        """Send a body until every snapshot in it was answered; False when patience ends."""
        until = monotonic() + _PATIENCE_S
        while True:
            body = codec.encode({"orders": documents})
            raw = self._client.compose("POST", "/v1/orders:sync", body)
            answer = await self._client.request(raw)
            if answer.status == HTTPStatus.OK:
                documents = self._told(documents, codec.decode_json(answer.body)["results"])
            elif answer.status not in _COME_BACK:
                self._fault(f"a body got {answer.status} {answer.body[:200]!r}")
                return True
            if not documents:
                return True
            if monotonic() > until:
                self._fault(f"{len(documents)} snapshots were never answered")
                return False
            self.counts["no answer" if answer.status == NO_ANSWER else "come back"] += 1
            await asyncio.sleep(max(_PAUSE_S, answer.retry_after_s))

    def _told(
        self, documents: Sequence[dict[str, Any]], results: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Note what was said to each snapshot; return those that are to come again."""
        if len(results) != len(documents):
            self._fault(f"{len(documents)} snapshots got {len(results)} results")
            return []
        again = []
        for document, told in zip(documents, results, strict=True):
            if told["status"] == HTTPStatus.OK:
                self.counts[told["result"]] += 1
            elif told["status"] in _COME_BACK:
                again.append(document)
            else:
                self._fault(f"{document['channel_order_id']} {document['version']} got {told}")
        return again

    def _fault(self, sentence: str) -> None:
        if len(self.faults) < _FAULTS_KEPT_MAX:
            self.faults.append(f"{self.market.spec.channel}: {sentence}")
