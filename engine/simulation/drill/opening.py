"""The sale of a drill: channels, SKUs and a campaign of its own, put over HTTP like anybody's."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from engine.kernel.clock import Clock, instant
from engine.simulation.calls import CallFailed, Calls
from engine.simulation.drill import plan as plans

_PUBLISHED_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.02
_LASTS: Final = timedelta(hours=12)
_HOLD_SECONDS: Final = 7_200  # nothing expires while it is counted


async def put(
    calls: Calls, mark: str, units: Mapping[str, int], markets: Sequence[str], clock: Clock
) -> None:
    """Put a campaign of so many units of each SKU for each channel; wait until they are for sale.

    Raises:
        CallFailed: what the API said, or that nothing came to the cell.
    """
    await calls.put(f"/v1/channels/{plans.CHANNEL}", {"name": "Drill"})
    for market in markets:
        fields = {"name": f"Drill, {market}", "authority": "external"}
        await calls.put(f"/v1/channels/{market}", fields)
    for sku in units:
        await calls.put(f"/v1/skus/{sku}", {"name": sku})
    now, path = instant(clock.now_ms()), f"/v1/campaigns/{plans.campaign(mark)}"
    channels = [plans.CHANNEL, *markets]
    skus: list[dict[str, Any]] = [
        {"sku": sku, "quota": dict.fromkeys(channels, quota)} for sku, quota in units.items()
    ]
    shown = await calls.put(
        path,
        {
            "name": "Drill",
            "starts_at": (now - timedelta(hours=1)).isoformat(),
            "ends_at": (now + _LASTS).isoformat(),
            "channels": channels,
            "skus": skus,
            "hold_seconds": _HOLD_SECONDS,
        },
    )
    until = clock.monotonic() + _PUBLISHED_WITHIN_S
    while not shown["published"]:
        if clock.monotonic() > until:
            raise CallFailed("the sale did not open: look into the worker's log")
        await asyncio.sleep(_POLL_S)
        shown = await calls.get(path)
