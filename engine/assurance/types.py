"""What is compared, and what the comparison found."""

from typing import Literal, NamedTuple

import msgspec

from engine.kernel import codec

PoolState = Literal["ok", "low", "sold_out", "short", "broken"]
ACCOUNTS = ("granted", "owed", "available", "held", "sold")


class PoolTotals(NamedTuple):
    """A pool's five accounts, in units."""

    granted: int
    owed: int
    available: int
    held: int
    sold: int

    @property
    def adds_up(self) -> bool:
        """Whether granted + owed = available + held + sold, and nothing is below 0."""
        inside = self.available + self.held + self.sold
        return self.granted + self.owed == inside and min(self) >= 0


class PoolRow(codec.Answer, frozen=True):
    """One pool of a certificate, on both sides."""

    pool_id: str
    campaign: str
    channel: str
    sku: str
    cell: PoolTotals | None
    recorded: PoolTotals | None
    from_orders: tuple[int, int]

    @property
    def name(self) -> str:
        """What a person calls the pool."""
        return f"{self.sku} {self.channel or 'shared'}"


class Certificate(codec.Answer, frozen=True):
    """What `tidegate verify` found at one position of the log."""

    checkpoint_id: str
    log_id: str
    position: str
    accepted: int
    recorded_there: int
    recorded: int
    orders: int
    duplicates: int
    pools: list[PoolRow]
    oversold_by_us: int
    sold_beyond_stock: int
    dead_letters: int
    faults: list[str]
    shipped_after_stop: int = 0
    shipped_twice: int = 0
    orders_nowhere: int = 0

    @property
    def holds(self) -> bool:
        """Whether nothing was oversold by us, lost or doubled."""
        return not self.faults


class Ending(NamedTuple):
    """What a rebuilt cell is told of itself with the last part, as `lua/rebuild.lua` takes it."""

    accepted: int
    closed_at: int
    shift_from: int | str
    shift_to: int | str


class Epoch(msgspec.Struct, frozen=True):
    """Postgres' side of a cell."""

    epoch: int
    last_id: str
    identity: str
