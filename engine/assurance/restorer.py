"""An API process' part in opening a cell: a lease that says it lives, and its kept claims."""

from typing import Final

import structlog

from engine.assurance import store
from engine.assurance.store import SQL
from engine.infra.cell import Cell, State
from engine.infra.postgres import UNAVAILABLE, Pool
from engine.infra.tasks import sleep
from engine.kernel.clock import Clock
from engine.kernel.errors import Closed, EngineError, OutcomeUnknown
from engine.orders import service as orders
from engine.reservation.service import Reservations

_OPEN_POLL_S: Final = 0.25
_CLOSED_POLL_S: Final = 0.03
_LEASE_EVERY_S: Final = 1.0
_logger: Final = structlog.get_logger()


class Restorer:
    """Keeps one process' view of the cell fresh, and puts its claims back when it is asked."""

    def __init__(
        self, cell: Cell, pool: Pool, reservations: Reservations, clock: Clock, process: str
    ) -> None:
        """Bind to a process; `process` must be unique among all that share the database."""
        self._cell = cell
        self._pool = pool
        self._reservations = reservations
        self._clock = clock
        self._process = process
        self._restored_epoch = 0
        self._leased_at = float("-inf")

    async def start(self) -> None:
        """Take a lease before the first claim is accepted."""
        await store.renew_lease(self._pool, self._process, self._restored_epoch)
        self._leased_at = self._clock.monotonic()

    async def end(self) -> None:
        """Give the lease back: nothing of this process is left to wait for."""
        await self._pool.execute(SQL["end_lease"], self._process)

    async def run(self) -> None:
        """Watch the cell until cancelled."""
        while True:
            try:
                await self._look()
            except OutcomeUnknown:
                _logger.warning("cell_away")
            except UNAVAILABLE as error:
                _logger.warning("lease_not_renewed", reason=type(error).__name__)
            await sleep(_OPEN_POLL_S if self._cell.is_open else _CLOSED_POLL_S)

    async def _look(self) -> None:
        state = await self._cell.refresh()
        if state is not None and state.phase == "restoring":
            await self._restore(state)
        if self._cell.is_open and self._reservations.kept.epoch != self._cell.epoch:
            await self._book_again(self._cell.epoch)
        if self._clock.monotonic() - self._leased_at > _LEASE_EVERY_S:
            await self.start()

    async def _restore(self, state: State) -> None:
        if state.epoch <= self._restored_epoch:
            return
        try:
            lacking = await self._reservations.kept.restore(self._cell, state.epoch)
        except Closed as refusal:
            if "are gone" in refusal.detail:
                await self._pool.execute(SQL["note_closed"], self._cell.id, refusal.detail)
            return
        self._restored_epoch = state.epoch
        await self.start()
        _logger.info("claims_restored", epoch=state.epoch, lacking=lacking)

    async def _book_again(self, epoch: int) -> None:
        """Book what is kept; what the cell did not take is tried again at the next look."""
        try:
            refused = await self._reservations.book_again()
        except EngineError as refusal:
            _logger.warning("payments_not_booked_again", reason=refusal.code)
            return
        if refused:
            _logger.warning("payments_without_order", count=len(refused))
            await orders.receive(self._pool, refused)  # the settler finds out what they are for
        self._reservations.kept.epoch = epoch
