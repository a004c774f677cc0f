"""Which SKUs need not be planned again to know that they are as planned; no I/O."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final
from zlib import crc32

from engine.inventory.service.comparing import Mark

_EVERY_PASSES: Final = 20  # so often each is doubted although nothing changed


class Settled:
    """SKUs that were as planned, with the marks under which they were, since this process began."""

    def __init__(self) -> None:
        """Begin with every SKU in doubt."""
        self._many: dict[str, int] = {}
        self._own: dict[tuple[str, str], tuple[int, datetime | None]] = {}
        self._marks: dict[tuple[str, str], int] = {}

    def doubt(self, marks: Iterable[Mark], now: datetime, turn: int) -> list[tuple[str, str]]:
        """Return the SKUs to plan, sorted: what they are planned from, or the time, is another.

        Every `_EVERY_PASSES`th of all is among them, another part each turn.
        """
        own = {(one.tenant, one.sku): one.mark for one in marks if one.sku}
        many = {one.tenant: one.mark for one in marks if not one.sku}
        part = turn % _EVERY_PASSES
        kept = {
            key: known
            for key, known in self._own.items()
            if known[0] == own.get(key)
            and (known[1] is None or now < known[1])
            and many.get(key[0]) == self._many.get(key[0])
            and crc32(key[1].encode()) % _EVERY_PASSES != part
        }
        self._own, self._many = kept, many
        self._marks = {key: mark for key, mark in own.items() if key not in kept}
        return sorted(self._marks)

    def settle(self, tenant: str, found: Mapping[str, datetime | None]) -> None:
        """Note SKUs that are as planned, and until when time changes nothing (None: ever)."""
        for sku, until in found.items():
            self._own[tenant, sku] = self._marks[tenant, sku], until
