"""The operator of a played sale: sets it up over HTTP and opens it."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from engine.client import Client
from engine.kernel import codec
from engine.kernel.clock import Clock, instant
from engine.simulation.calls import CallFailed, Calls
from engine.simulation.marketplace import Spec
from engine.simulation.types import Demand, Order

CHANNEL: Final = "demo"

_OPENS_AFTER: Final = timedelta(seconds=1)
_LASTS: Final = timedelta(hours=1)
_PUBLISHED_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.05
_SETTERS: Final = 16
_LAG_S: Final = 1.0  # from a number to the last order that was sold before it was shown


def campaign_of(mark: str) -> str:
    """Return the campaign of the run with this mark."""
    return f"demo-{mark}"


class Shop:
    """One campaign of the own mall and of shops on marketplaces, each with its own quota.

    Orders carry the run's mark, so that runs do not meet.
    """

    def __init__(
        self,
        client: Client,
        demand: Demand,
        mark: str,
        clock: Clock,
        markets: Sequence[Spec] = (),
    ) -> None:
        """Take what to sell; nothing is sent before `open`."""
        self.campaign = campaign_of(mark)
        self.markets = markets
        self._calls = Calls(client)
        self._demand = demand
        self._mark = mark
        self._clock = clock

    def order_id(self, order: Order) -> str:
        """Return the channel_order_id of an order."""
        return f"{self._mark}-{order.order_no}"

    def document(self, order: Order, *, more: int = 0) -> bytes:
        """Return an order as posted; `more` units on its first line make it another order."""
        lines: list[dict[str, Any]] = []
        for n, line in enumerate(order.lines):
            posted: dict[str, Any] = {
                "sku": line.sku,
                "quantity": line.quantity + (more if n == 0 else 0),
                "unit_price": self.money(line.price),
            }
            if line.gift:
                posted["kind"] = "gift"
            if line.droppable:
                posted["on_short"] = "drop"
            lines.append(posted)
        posted = {
            "channel": CHANNEL,
            "channel_order_id": self.order_id(order),
            "campaign": self.campaign,
            "buyer_id": order.buyer,
            "lines": lines,
        }
        if order.placed_at:
            posted["placed_at"] = order.placed_at
        if order.country:
            posted["ship_to"] = {"country": order.country}
        return codec.encode(posted)

    def money(self, amount: int) -> dict[str, Any]:
        """Return an amount in the demand's currency."""
        return {"amount": amount, "currency": self._demand.currency}

    async def open(self) -> None:
        """Make the channels, the SKUs and the campaign, and wait until the sale is open.

        Raises:
            CallFailed: what the API said.
        """
        await self._calls.put(f"/v1/channels/{CHANNEL}", {"name": "The demo's own shop"})
        names = list(self._demand.names.items())
        async with asyncio.TaskGroup() as tasks:
            setters = [tasks.create_task(self._name(names[n::_SETTERS])) for n in range(_SETTERS)]
        for failure in filter(None, [setter.result() for setter in setters]):
            raise failure
        for market in self.markets:
            await self._open_market(market)
        starts_at = instant(self._clock.now_ms()) + _OPENS_AFTER
        path = f"/v1/campaigns/{self.campaign}"
        shown = await self._calls.put(path, self._plan(starts_at.isoformat(), starts_at + _LASTS))
        await self._wait_published(path, published=bool(shown["published"]))
        early = starts_at - instant(self._clock.now_ms())
        await asyncio.sleep(max(0.0, early.total_seconds()) + _POLL_S)

    def _plan(self, starts_at: str, ends_at: Any) -> dict[str, Any]:
        demand = self._demand
        skus: list[dict[str, Any]] = []
        for sku, units in demand.stock.items():
            quota = {one.channel: one.have[sku] for one in self.markets if sku in one.have}
            one: dict[str, Any] = {"sku": sku, "quota": {CHANNEL: units, **quota}}
            if sku in demand.limits:
                one["per_buyer_limit"] = demand.limits[sku]
            skus.append(one)
        return {
            "name": demand.title,
            "starts_at": starts_at,
            "ends_at": ends_at.isoformat(),
            "channels": [CHANNEL, *(market.channel for market in self.markets)],
            "skus": skus,
            "hold_seconds": demand.hold_seconds,
            "grace_seconds": demand.grace_seconds,
        }

    async def _open_market(self, market: Spec) -> None:
        """Make the channel of a shop that sells by itself, and say what its listings stand for."""
        fields = {"name": f"The demo's shop {market.channel}", "authority": "external"}
        await self._calls.put(f"/v1/channels/{market.channel}", fields)
        listings = [{"channel": market.channel, **one._asdict()} for one in market.mapped]
        await self._calls.post("/v1/listings", {"listings": listings, "replace": True})
        if market.pushed:
            links = [{"item_id": one.item_id, "sku_id": one.sku_id} for one in market.mapped]
            items = [{**link, "lag_seconds": _LAG_S} for link in links]
            settings = {"channel": market.channel, "items": items}
            await self._calls.put("/v1/publications:settings", settings)

    async def _name(self, names: list[tuple[str, str]]) -> CallFailed | None:
        """Make SKUs; a failure is returned, because a task group would wrap it."""
        try:
            for sku, name in names:
                await self._calls.put(f"/v1/skus/{quote(sku, safe='')}", {"name": name})
        except CallFailed as failure:
            return failure
        return None

    async def _wait_published(self, path: str, *, published: bool) -> None:
        until = self._clock.monotonic() + _PUBLISHED_WITHIN_S
        while not published:
            if self._clock.monotonic() > until:
                raise CallFailed(
                    f"the campaign did not reach the cell within {_PUBLISHED_WITHIN_S:.0f} s:"
                    " look into the worker's log"
                )
            await asyncio.sleep(_POLL_S)
            published = bool((await self._calls.get(path))["published"])
