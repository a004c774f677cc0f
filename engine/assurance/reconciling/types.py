"""What is compared, what does not agree, and what is to be done about it."""

from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from engine.assurance.types import PoolTotals

Kind: TypeAlias = Literal[
    "lost_grant",
    "doubled_grant",
    "reordered_grant",
    "pool_off",
    "hold_without_order",
    "order_without_hold",
    "hold_off",
    "counter_off",
    "orphan_expiry",
    "lost_expiry",
    "policy_drift",
    "pause_drift",
    "ledger_gap",
    "owed_off",
    "balance_off",
    "stale_epoch",
    "trimmed_log",
    "listing_drift",
]


class SendAgain(NamedTuple):
    """A grant that the cell lacks: its number makes sending it again harmless."""

    pool_id: str
    seq: int


class MendSeq(NamedTuple):
    """The cell counts grants of a pool that no log entry tells of, and has none of their units."""

    pool_id: str
    found: int
    right: int


class MendCounter(NamedTuple):
    """A counter becomes what the holds in the cell count."""

    field: str
    found: int
    right: int


class MendDue(NamedTuple):
    """An order's place in the sweeper's list becomes what its hold says."""

    order_id: str


class TellRule(NamedTuple):
    """A rule gets a new version with the body that Postgres has, and is sent."""

    field: str


class Replan(NamedTuple):
    """The pools of a SKU are planned anew: what they have is not what documents come to."""

    tenant: str
    sku: str


class TellPause(NamedTuple):
    """The cell does not know of a pause: until it does, it sells what must not be sold."""

    tenant: str
    scope: str
    id: str
    by: str
    reason: str


class NotePause(NamedTuple):
    """Postgres does not know of a pause that the cell keeps."""

    tenant: str
    scope: str
    id: str
    since_ms: int
    by: str
    reason: str


class RaiseEpoch(NamedTuple):
    """Postgres is behind the epoch at which the cell is open, and only in that."""

    found: int
    right: int


class StopSku(NamedTuple):
    """No repair: what could be sold twice is paused, and a person decides."""

    tenant: str
    sku: str


class CloseCell(NamedTuple):
    """No repair either: nothing may be sold until a person, or a rebuild, decides."""

    reason: str


Fix: TypeAlias = (
    SendAgain
    | MendSeq
    | MendCounter
    | MendDue
    | TellRule
    | Replan
    | TellPause
    | NotePause
    | RaiseEpoch
    | StopSku
    | CloseCell
)


class Drift(NamedTuple):
    """One thing that does not agree; `units` is by how many, 0 where nothing is counted."""

    kind: Kind
    tenant: str
    subject: str
    expected: str
    found: str
    units: int
    detail: str
    fix: Fix | None = None

    @property
    def same(self) -> tuple[str, str, int]:
        """By what the second look knows it again; totals go on moving under load."""
        return self.kind, self.subject, self.units

    @property
    def unsafe(self) -> bool:
        """Whether, left alone, it could sell a unit twice."""
        return isinstance(self.fix, StopSku | CloseCell | TellPause)

    @property
    def repair(self) -> Literal["safe", "manual"]:
        """Whether it is repaired by itself."""
        return "manual" if self.fix is None or isinstance(self.fix, StopSku | CloseCell) else "safe"


class Position(NamedTuple):
    """What the cell says of itself; empty texts where it says nothing."""

    phase: str
    epoch: int
    last_id: str
    trimmed_to: str
    identity: str


class PoolAt(NamedTuple):
    """One side of a pool at one position of the log."""

    totals: PoolTotals
    seq: int
    ended: bool
    successor: str


class PoolRow(NamedTuple):
    """Postgres' side of a pool: what it is called, and how it stood when the cell was read.

    `sent` is the highest number of a grant that the cell is said to have and the log does not tell
    of yet, `untold` the last that is marked as applied and that no ledger row stands for; 0: none.
    """

    pool_id: str
    tenant: str
    sku: str
    name: str
    at: PoolAt
    sent: int
    untold: int


class Hold(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A hold as the cell packs it (lua/include/hold.lua), without what nobody compares."""

    version: int
    state: str
    attempt: int
    fingerprint: msgspec.Raw
    tenant: str
    channel: str
    campaign: msgspec.Raw
    buyer: msgspec.Raw
    currency: msgspec.Raw
    total: msgspec.Raw
    pay_by: int
    until: int
    lines: msgspec.Raw
    draws: list[tuple[int, str, int]]
    counters: list[tuple[str, int, int]]
    payments: msgspec.Raw
    cancels: msgspec.Raw
    warned: int

    @property
    def due(self) -> int | None:
        """When the sweeper must look at it next, ms; None: never."""
        if self.state != "P" or self.until <= 0:
            return None
        return self.until if self.warned else self.pay_by


class OrderRow(NamedTuple):
    """Postgres' side of a hold."""

    order_id: str
    tenant: str
    pending: bool
    state: str
    attempt: int
    asked_for: bool
    held_until_ms: int
    draws: list[Any]


ENDED: Final = frozenset({"R", "E"})
