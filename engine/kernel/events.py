"""What the cell's log says: one struct per kind of event, decoded from msgpack lists.

A log entry has a version `v`, its events `e` (a list of these) and one payload `p` for each claim
it accepted. The first value of an event names its kind; a new field goes to the end with a default,
so that old and new processes read each other's entries; where that cannot be, the version changes,
and an old recorder waits for a new one. Instants are ms since the epoch in cell
time, money is minor units, lines count from 1.
"""

from typing import Any, Final, TypeAlias

import msgspec

# 1: a claim's payload is the order as posted. 2: it is what the recorder needs, packed.
VERSIONS: Final = frozenset({b"1", b"2", b""})


class Move(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """How one event changed one pool, account by account."""

    pool_id: str
    granted: int
    owed: int
    available: int
    held: int
    sold: int


class Payment(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One payment as it was posted; an empty `payment_id` means there was none."""

    payment_id: str = ""
    amount: int = 0
    currency: str = ""
    method: str = ""
    paid_at: int = 0
    stage: str = ""
    actor: str = ""


class Base(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What every event begins with: the order (or pool, move, scope) it is about."""

    subject: str
    at: int
    moves: list[Move]


class Reserved(Base, frozen=True, tag="R"):
    """A claim was taken; `payload` is the 1-based position of its payload in the entry."""

    attempt: int
    state: str
    pay_by: int
    held_until: int
    draws: list[tuple[int, str, int]]
    counted: list[tuple[str, int, int]]
    short: list[tuple[int, int]]  # of entries before `sync`: empty
    dropped: list[int]
    unmapped: list[int]  # of entries before `sync`: empty
    below_floor: list[int]
    fingerprint: str
    tenant: str
    channel: str
    campaign: str
    buyer: str
    currency: str
    total: int
    actor: str
    payload: int
    payment: Payment
    replaced: str
    settle: str
    stages: list[Any] | None = None


class Synced(Base, frozen=True, tag="X"):
    """A marketplace's order became what a snapshot says; `payload` as in Reserved.

    `lines` are (sku, units counted, minor units) by line number, also those that the snapshot tells
    of no more; `numbers` are the line numbers of the snapshot's own lines, in its order. `owed` is
    what was lacking just now: (pool, units, line).
    """

    created: int
    state: str
    pay_by: int
    held_until: int
    lines: list[tuple[str, int, int, str]]
    line_keys: list[str]
    draws: list[tuple[int, str, int]]
    counted: list[tuple[str, int, int]]
    owed: list[tuple[str, int, int]]
    unmapped: list[int]
    below_floor: list[int]
    payload: int
    numbers: list[int]


class Confirmed(Base, frozen=True, tag="C"):
    """A pending hold was paid."""

    payment: Payment
    attempt: int


class DepositPaid(Base, frozen=True, tag="A"):
    """A stage of a pending hold was paid; `stages` are those that are left."""

    payment: Payment
    pay_by: int
    held_until: int
    stages: list[Any]


class Reheld(Base, frozen=True, tag="H"):
    """An expired hold was paid: taken again and confirmed, or with a deposit pending again."""

    payment: Payment
    attempt: int
    draws: list[tuple[int, str, int]]
    counted: list[tuple[str, int, int]]
    state: str = "C"
    pay_by: int = 0
    held_until: int = 0
    stages: list[Any] = []


class RefundDue(Base, frozen=True, tag="M"):
    """Money came that no goods are for."""

    payment: Payment
    reason: str


class Released(Base, frozen=True, tag="L"):
    """Units of a hold were given back; `lines` are (line, units, money), `paid` was a deposit."""

    cancel_id: str
    kind: str
    reason: str
    actor: str
    lines: list[tuple[int, int, int]]
    state: str
    total: int
    draws: list[tuple[int, str, int]]
    paid: int = 0


class Expired(Base, frozen=True, tag="E"):
    """A hold ended unpaid, or with no more than a deposit `paid`."""

    paid: int = 0


class Expiring(Base, frozen=True, tag="W"):
    """A hold's `pay_by` has passed; it ends at `held_until`."""

    held_until: int


class Returned(Base, frozen=True, tag="B"):
    """Sold units of an order came back to sale."""

    return_id: str


class Granted(Base, frozen=True, tag="G"):
    """A pool's grant `seq` was applied, perhaps in part."""

    seq: int
    asked: int
    applied: int
    reason: str
    reference: str


class Moved(Base, frozen=True, tag="V"):
    """Free units went from one pool to another; `ended` 1 made the second the first's successor."""

    source: str
    target: str
    units: int
    reason: str
    ended: int


class PauseSet(Base, frozen=True, tag="U"):
    """A campaign or SKU was paused or resumed; `subject` is the scope."""

    tenant: str
    name: str
    on: int
    by: str
    reason: str


class RuleSet(Base, frozen=True, tag="S"):
    """A rule was told to the cell; `subject` is its field."""

    version: int


class Checkpoint(Base, frozen=True, tag="T"):
    """A part of all pools' totals at this position of the log."""

    part: int
    parts: int
    accepted: int
    pools: list[tuple[str, list[Any]]]


class Opened(Base, frozen=True, tag="O"):
    """The cell was opened or closed; `subject` says which."""

    epoch: int
    reason: str
    shift_from: int
    shift_to: int


class DeadlineMoved(Base, frozen=True, tag="D"):
    """The closed time was added to a hold's deadline; `stages` only if it has some."""

    pay_by: int
    held_until: int
    stages: list[Any] | None = None


LogEvent: TypeAlias = (
    Reserved
    | Synced
    | Confirmed
    | DepositPaid
    | Reheld
    | RefundDue
    | Released
    | Expired
    | Expiring
    | Returned
    | Granted
    | Moved
    | PauseSet
    | RuleSet
    | Checkpoint
    | Opened
    | DeadlineMoved
)

_decoder: Final = msgspec.msgpack.Decoder(list[LogEvent])


def decode(packed: bytes) -> list[LogEvent]:
    """Return the events of one log entry.

    Raises:
        msgspec.MsgspecError: not something this version can read.
    """
    return _decoder.decode(packed)
