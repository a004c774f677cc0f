"""Refunds that come when a warehouse has the order: one in time, one too late.

They come by how far an order is, not by the clock. Who was slower than the warehouse is answered
so, and one more buys; that is why they come first, when nobody else keeps the warehouses busy.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from time import monotonic  # as in http
from typing import Any, Final

from engine.simulation.calls import Calls
from engine.simulation.fulfilment.types import Stopped, Wish

_WITHIN_S: Final = 20.0
_POLL_S: Final = 0.03
_PICKING: Final = ("accepted",)
_PACKED: Final = ("packed",)
_BEYOND: Final = ("shipped", "delivered", "rejected", "cancelled")

Buy = Callable[[Wish], Awaitable[str]]


class Refunds:
    """Buyers who want their money back; `answers` is what they were told."""

    def __init__(self, calls: Calls, buy: Buy) -> None:
        """Take whom they ask, and how they buy."""
        self._calls, self._buy = calls, buy
        self.answers: list[Stopped] = []
        self.spare: list[Wish] = []

    async def in_time(self, wishes: Sequence[Wish]) -> None:
        """Buy until one was stopped while it was picked; the others are to spare."""
        await self._until("stopped", wishes, _PICKING)

    async def too_late(self, wishes: Sequence[Wish]) -> None:
        """Buy until one was refused because it was packed; the others are to spare."""
        await self._until("not_stopped", wishes, _PACKED)

    async def _until(self, answer: str, wishes: Sequence[Wish], states: Collection[str]) -> None:
        for n, wish in enumerate(wishes, 1):
            order_id = await self._buy(wish)
            shipment = await self._shipment(order_id, states)
            if shipment is not None:
                self.answers.append(await self._refund(shipment))
                if self.answers[-1].answer == answer:
                    self.spare += wishes[n:]
                    return

    async def _shipment(self, order_id: str, states: Collection[str]) -> dict[str, Any] | None:
        """Return an order's shipment when it is in one of these states, or beyond."""
        until = monotonic() + _WITHIN_S
        while monotonic() < until:
            for one in (await self._calls.get(f"/v1/orders/{order_id}"))["fulfilments"]:
                if one["state"] in {*states, *_BEYOND}:
                    found: dict[str, Any] = one
                    return found
            await asyncio.sleep(_POLL_S)
        return None

    async def _refund(self, one: dict[str, Any]) -> Stopped:
        order_id = one["order_id"]
        path, began = f"/v1/orders/{order_id}", monotonic()
        order = await self._calls.get(path)
        refund = {
            "refund_id": "r1", "kind": "cancel", "amount": order["payable"],
            "lines": [
                {"line_id": line["line_id"], "quantity": line["open_quantity"]}
                for line in order["lines"]
            ],
        }  # fmt: skip
        await self._calls.post(f"{path}/refunds", refund | {"state": "requested"})
        answer = ""
        while not answer and monotonic() < began + _WITHIN_S:
            stops = (await self._calls.get(path))["stops"]
            answer = str(stops[-1]["answer"]) if stops else ""
            await asyncio.sleep(0 if answer else _POLL_S)
        seconds = round(monotonic() - began, 3)
        # what was stopped is paid back; who was too late gets the parcel
        last = "done" if answer == "stopped" else "rejected"
        await self._calls.post(f"{path}/refunds", refund | {"state": last})
        return Stopped(order_id, one["shipment_id"], one["node"], one["state"], answer, seconds)
