"""What review judged is put into the queue, or taken out of it.

This is what the reviewer is given: it stands before routing and knows nothing of a queue.
"""

from collections.abc import Sequence
from typing import Final

from engine.catalogue import service as catalogue
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.kernel import clock
from engine.kernel.types import Tenant
from engine.places.rules.regions import Regions
from engine.places.service import places
from engine.review.types.recorded import Judged
from engine.routing.rules import intake as rules
from engine.routing.rules.intake import World
from engine.routing.service import queue, rejecting
from engine.routing.store import hands, plans

_REGIONS_FRESH_S: Final = 300.0


class Desk:
    """Writes rows of one tenant; it keeps the table of regions for some minutes."""

    def __init__(self, runtime: Runtime, alarm_s: int) -> None:
        self._runtime, self._alarm_s = runtime, alarm_s
        self._regions: Regions | None = None
        self._regions_at = float("-inf")

    async def active(self, db: Connection, tenant: Tenant) -> bool:
        """Return whether any plan decides; without one nothing is put into the queue."""
        return await plans.any_active(db, tenant)

    async def enqueue(self, tx: Connection, tenant: Tenant, judged: Sequence[Judged]) -> None:
        """Write the rows of locked orders that are to be routed or held, delete those of others.

        Of some there is nothing to route, and a person has to look at them all the same.
        """
        none = {one.order.subject.order_id for one in judged if one.verdict.kind == "none"}
        look = await hands.to_look_at(tx, tenant, none) if none else {}
        if done := none - look.keys():
            await queue.withdraw(tx, done)
        wanted = [one for one in judged if one.order.subject.order_id not in done]
        if not wanted:
            return
        ids = [one.order.subject.order_id for one in wanted]
        skus = {need.sku for one in wanted for need in one.order.subject.demand}
        world = World(
            await catalogue.carried(tx, tenant, sorted(skus)), await self._places(tx, tenant),
            await rejecting.excluded(tx, ids),
            {name: hand.hops for name, hand in (await rejecting.in_hand(tx, ids)).items()},
        )  # fmt: skip
        now_ms = self._runtime.clock.now_ms()
        rows = [rules.row(one, world, str(tenant), now_ms, self._alarm_s) for one in wanted]
        late = clock.instant(now_ms + 1_000 * self._alarm_s)
        rows = [
            row._replace(queue="MANUAL", reason=why, due_at=None, alarm_at=late)
            if (why := look.get(row.order.order_id))
            else row
            for row in rows
        ]
        await queue.put(tx, tenant, rows)

    async def _places(self, db: Connection, tenant: Tenant) -> Regions:
        now = self._runtime.clock.monotonic()
        if self._regions is None or now - self._regions_at >= _REGIONS_FRESH_S:
            self._regions, self._regions_at = await places.all_regions(db, tenant), now
        return self._regions
