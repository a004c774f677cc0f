"""Whose fault it is that orders are not decided: one of theirs, or everybody's.

A router that cannot decide a batch tries each order of it alone. One that fails while others do not
is at fault, and a person has to see it. While no other was decided since it failed first, the fault
may as well be in what all of them share: then nobody is set aside, and it is tried again.
"""

from collections.abc import Iterable
from typing import Final

import asyncpg

from engine.infra.postgres import UNAVAILABLE
from engine.kernel.errors import EngineError

AWAY: Final[tuple[type[Exception], ...]] = (EngineError, *UNAVAILABLE)
# What an order itself may do to Postgres; all else that it refuses, it refuses every order.
_OF_AN_ORDER: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)


def may_be_an_orders(failure: Exception) -> bool:
    """Whether an order may be at fault: not where a server is away, or refuses what we ask it."""
    if isinstance(failure, asyncpg.PostgresError):
        return isinstance(failure, _OF_AN_ORDER)
    return not isinstance(failure, AWAY)


class Suspects:
    """Orders that failed, of one router, and how often others did not."""

    def __init__(self) -> None:
        """Suspect nobody."""
        self._went_well = 0
        self._since: dict[str, int] = {}  # how many had gone well when an order first failed

    def went_well(self, order_ids: Iterable[str]) -> None:
        """Note that orders were routed together, or one alone."""
        self._went_well += 1
        if self._since:
            for order_id in order_ids:
                self._since.pop(order_id, None)

    def is_at_fault(self, order_id: str, *, beside_others: bool) -> bool:
        """Whether an order that failed alone is to be set aside, and is forgotten here by that.

        `beside_others`: some of its batch, tried after it or before, did not fail.
        """
        since = self._since.setdefault(order_id, -1 if beside_others else self._went_well)
        if since >= self._went_well:
            return False
        del self._since[order_id]
        return True
