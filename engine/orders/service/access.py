"""Whether a key may see an order, and what Postgres has yet to learn of it."""

import asyncio
from typing import Final, NamedTuple

import asyncpg

from engine.infra.http.auth import Principal
from engine.infra.log import position
from engine.infra.postgres import Pool
from engine.kernel.clock import Clock
from engine.kernel.errors import Closed, NotFound, OutcomeUnknown
from engine.kernel.types import OrderId
from engine.orders import store
from engine.orders.store import SQL
from engine.reservation.service import Reservations
from engine.reservation.types import HoldRecord

FOLD_WAIT_S: Final = 3.0
FOLD_POLL_S: Final = 0.02


class Seen(NamedTuple):
    """An order as far as everybody who may see it must know: whose, and in which money.

    `version` is the snapshot it stands at, "" for an order that was asked for here.
    """

    tenant: str
    channel: str
    currency: str
    version: str


class Access:
    """Looks an order up in the cell, then in Postgres, so that no moment shows neither."""

    def __init__(self, reservations: Reservations, pool: Pool, clock: Clock, cell: str) -> None:
        """Bind to the process' reservations and pool."""
        self._reservations = reservations
        self._pool = pool
        self._clock = clock
        self._cell = cell

    async def require_visible(self, principal: Principal, order_id: OrderId) -> Seen:
        """Return what is known of an order.

        Raises:
            NotFound: there is none, or it is another tenant's or channel's.
            Closed: the cell is closed and Postgres does not have it (yet).
        """
        hold, away = await self.hold(order_id)
        if hold is not None:
            found = Seen(hold.tenant, hold.channel, hold.currency, hold.version)
        else:
            row = await self.row(order_id)
            if row is None:
                if away or not self._reservations.cell.is_open:
                    raise Closed("the cell is closed and this order is not recorded yet")
                raise NotFound("no such order")
            found = Seen(row["tenant"], row["channel"], row["currency"], row["version"])
        if found.tenant != principal.tenant or principal.channel not in {"", found.channel}:
            raise NotFound("no such order")
        return found

    async def hold(self, order_id: OrderId) -> tuple[HoldRecord | None, bool]:
        """Return what the cell remembers, and whether it did not answer."""
        try:
            return await self._reservations.hold(order_id), False
        except OutcomeUnknown:
            return None, True

    async def row(self, order_id: OrderId) -> asyncpg.Record | None:
        """Return the order as it is recorded, None when it is not."""
        row: asyncpg.Record | None = await self._pool.fetchrow(SQL["order"], order_id)
        return row

    async def require_recorded(self, order_id: OrderId) -> None:
        """Wait a moment until an accepted order is a row.

        Raises:
            OutcomeUnknown: it is still none; nothing was done.
        """
        deadline = self._clock.monotonic() + FOLD_WAIT_S
        while await self.row(order_id) is None:
            if self._clock.monotonic() > deadline:
                raise OutcomeUnknown("the order is not recorded yet; nothing was done")
            await asyncio.sleep(FOLD_POLL_S)

    async def require_caught_up(self) -> None:
        """Wait a moment until Postgres has everything that the cell's log says by now.

        Raises:
            OutcomeUnknown: it is further behind, or the cell does not answer.
        """
        state = await self._reservations.cell.refresh()
        deadline = self._clock.monotonic() + FOLD_WAIT_S
        while state is not None and position(await self._recorded()) < position(state.last_id):
            if self._clock.monotonic() > deadline:
                raise OutcomeUnknown("recording is behind; send it again")
            await asyncio.sleep(FOLD_POLL_S)

    async def _recorded(self) -> str:
        async with self._pool.acquire() as connection:
            return await store.last_id(connection, self._cell) or "0-0"
