"""What comes after a parcel left: its carrier tells where it is, its shop takes note of it.

A carrier's days pass at once: what it tells bears the instants of the days to come.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from random import Random
from typing import Any, Final

from engine.kernel.clock import rfc3339, to_ms
from engine.simulation.calls import CallFailed, Calls
from engine.simulation.carrier import Journeys, Rates, travel
from engine.simulation.fulfilment.types import MARKET

_ITEMS_MAX: Final = 100  # each call is one transaction
_LATE: Final = Rates(late=0.04)
_ACKS_MAX: Final = 500
_DAY_MS: Final = 86_400_000


class Carriers:
    """Both carriers: each parcel is told of once, its milestones in any order."""

    def __init__(self, calls: Calls, seed: int) -> None:
        """Take whom they tell."""
        self._calls, self._journeys = calls, Journeys(seed, _LATE)
        self._rng = Random(f"carriers {seed}")
        self._told: set[str] = set()

    async def tell(self, shipments: Iterable[Mapping[str, Any]]) -> None:
        """Tell of all parcels that are new among these.

        Raises:
            CallFailed: a milestone was not taken.
        """
        found: list[tuple[str, dict[str, str]]] = []
        for one in shipments:
            for parcel in one["parcels"]:
                if parcel["parcel_id"] not in self._told:
                    way = self._way(parcel, one["promised_deliver_by"])
                    found += [(parcel["parcel_id"], item) for item in way]
        self._rng.shuffle(found)
        items = [item for _, item in found]
        for first in range(0, len(items), _ITEMS_MAX):
            body = {"items": items[first : first + _ITEMS_MAX]}
            for told in (await self._calls.post("/v1/tracking", body))["results"]:
                if told["status"] != HTTPStatus.OK:
                    raise CallFailed(f"POST /v1/tracking: {told}")
        self._told |= {parcel_id for parcel_id, _ in found}

    def _way(self, parcel: Mapping[str, Any], promised: str | None) -> list[dict[str, str]]:
        left = _ms(parcel["shipped_at"])
        by = _ms(promised) if promised else left + _DAY_MS
        return [
            {
                "waybill": parcel["waybill"], "carrier": parcel["carrier"],
                "milestone": one.milestone, "at": rfc3339(one.at_ms), "source": "push",
            }
            for one in travel(self._journeys, parcel["waybill"], left, by)
        ]  # fmt: skip


class Channel:
    """The adapter of a marketplace: it takes what its shop is to be told, and says that it was."""

    def __init__(self, calls: Calls) -> None:
        """Take whom it asks."""
        self._calls = calls
        self.counts: Counter[str] = Counter()

    async def tell(self) -> None:
        """Tell the shop of all parcels that are due."""
        path = f"/v1/acks?channel={MARKET}&due=true&limit={_ACKS_MAX}"
        due: Sequence[Mapping[str, Any]] = (await self._calls.get(path))["items"]
        if not due:
            return
        items = [
            {"parcel_id": one["parcel_id"], "version": one["version"], "accepted": True}
            for one in due
        ]
        answer = await self._calls.post("/v1/acks:result", {"items": items, "channel": MARKET})
        self.counts.update(one["result"] for one in answer["results"])


def _ms(text: str) -> int:
    return to_ms(datetime.fromisoformat(text))
