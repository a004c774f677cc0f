"""What was accepted and Postgres may not have yet: kept until the recorder has passed it.

Should the cell come back without them, claims are submitted again while it is being opened, with
their id, instant and deadline; so are releases, and snapshots, which are judged by their version.
All is kept in the order of the log.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from engine.infra.cell import Cell
from engine.infra.log import position
from engine.infra.metrics import SHED
from engine.kernel import limits
from engine.kernel.errors import Closed, Overloaded
from engine.reservation import store
from engine.reservation.types import (
    Claim,
    Held,
    Paid,
    PaymentClaim,
    ReleaseClaim,
    SnapshotClaim,
    Synced,
)

# A split whose cart another process hands in waits for it, and so does a claim on units that a
# snapshot gave back; for less than a lease lasts, for a process that is dead hands in nothing.
_LATER_POLL_S: Final = 0.05
_LATER_LOOKS: Final = 60

K = TypeVar("K", "KeptClaim", "KeptSnapshot")


@dataclass(slots=True)
class KeptClaim:
    """One accepted claim: where the log has it and what its buyer was promised."""

    at: tuple[int, int]
    claim: Claim
    payload: bytes
    pay_by: int
    accepted_at: int


@dataclass(slots=True)
class KeptSnapshot:
    """One snapshot that changed its order."""

    at: tuple[int, int]
    claim: SnapshotClaim
    payload: bytes


class Kept:
    """What one process has accepted and not yet seen recorded."""

    def __init__(self) -> None:
        # Under which epoch the positions below are positions of the cell's log. A cell that came
        # back without its last entries writes others in their place, and what is recorded of those
        # says nothing about these: they are let go of only under the same epoch.
        self.epoch = 0
        self._claims: deque[KeptClaim] = deque()
        self._snapshots: deque[KeptSnapshot] = deque()
        self._releases: deque[tuple[tuple[int, int], ReleaseClaim]] = deque()
        self._payments: OrderedDict[tuple[str, str], tuple[PaymentClaim, Paid]] = OrderedDict()

    def __len__(self) -> int:
        """How many claims, snapshots, releases and payments are kept."""
        told = len(self._snapshots) + len(self._releases)
        return len(self._claims) + told + len(self._payments)

    def require_room(self) -> None:
        """Refuse anything new while the recorder is too far behind.

        Raises:
            Overloaded: the bound is reached.
        """
        if len(self) >= limits.KEPT_CLAIMS_MAX:
            SHED.add("kept_full")
            raise Overloaded("recording is behind; nothing was taken")

    def claim(self, held: Held, claim: Claim, payload: bytes, accepted_at: int) -> None:
        """Keep one accepted claim."""
        at = position(held.log_id)
        self._claims.append(KeptClaim(at, claim, payload, held.pay_by, accepted_at))

    def snapshot(self, synced: Synced, claim: SnapshotClaim, payload: bytes) -> None:
        """Keep one snapshot that changed its order."""
        self._snapshots.append(KeptSnapshot(position(synced.log_id), claim, payload))

    def release(self, claim: ReleaseClaim, log_id: str) -> None:
        """Keep one release that was done."""
        self._releases.append((position(log_id), claim))

    def payment(self, payment: PaymentClaim, paid: Paid) -> None:
        """Keep one booked payment; booked once more after an opening it has a new position."""
        key = (payment.order_id, payment.payment_id)
        self._payments[key] = (payment, paid)
        self._payments.move_to_end(key)

    def booked(self, order_id: str, payment_id: str) -> tuple[PaymentClaim, Paid] | None:
        """Return a kept payment and what became of it, None when it is not kept."""
        return self._payments.get((order_id, payment_id))

    def passed(self, last_id: str) -> None:
        """Let go of everything up to a position that Postgres has."""
        at = position(last_id)
        while self._claims and self._claims[0].at <= at:
            self._claims.popleft()
        while self._snapshots and self._snapshots[0].at <= at:
            self._snapshots.popleft()
        while self._releases and self._releases[0][0] <= at:
            self._releases.popleft()
        while self._payments:
            key = next(iter(self._payments))
            if position(self._payments[key][1].log_id) > at:
                break
            del self._payments[key]

    def clear(self) -> None:
        """Let go of everything: somebody else answers for it."""
        self._claims.clear()
        self._snapshots.clear()
        self._releases.clear()
        self._payments.clear()

    def payments(self) -> list[PaymentClaim]:
        """Return booked payments that Postgres may lack, to be booked again after an opening."""
        return [payment for payment, _ in self._payments.values()]

    async def restore(self, cell: Cell, epoch: int) -> int:
        """Submit all that is kept to a cell that is being opened; return how much it lacked.

        Raises:
            Closed: the cell could not take one of them back, or another epoch came.
        """
        lacking, waiting = await _restore(cell, epoch, list(self._claims), last=False)
        lacking += await _resync(cell, epoch, list(self._snapshots))
        self._releases = await _release_again(cell, epoch, self._releases)
        for looks_left in range(_LATER_LOOKS, -1, -1):
            if not waiting:
                break
            found, waiting = await _restore(cell, epoch, waiting, last=looks_left == 0)
            lacking += found
            if waiting:
                await asyncio.sleep(_LATER_POLL_S)
        self._claims = deque(sorted(self._claims, key=lambda one: one.at))
        self._snapshots = deque(sorted(self._snapshots, key=lambda one: one.at))
        return lacking


async def _restore(
    cell: Cell, epoch: int, kept: Sequence[KeptClaim], *, last: bool
) -> tuple[int, list[KeptClaim]]:
    """Submit claims; return how many were lacking, and those whose units are not back yet.

    `last`: nothing more comes; a split takes fresh units, and lacking ones are gone.
    """
    lacking, later = 0, []
    for chunk in _chunks(kept):
        # without their tickets: nobody is asked for one twice
        claims = [(*one.claim[:-1], (one.pay_by, one.accepted_at, int(last))) for one in chunk]
        log_id, results = await store.restore(cell, epoch, claims, [one.payload for one in chunk])
        for one, result in zip(chunk, results, strict=True):
            if result[0] == "SHORT" and last:
                raise Closed(f"the units of accepted order {one.claim.order_id} are gone")
            if result[0] in {"LATER", "SHORT"}:
                later.append(one)
            if result[0] == "RESERVED":
                lacking += 1
                one.at = position(log_id)
    return lacking, later


async def _resync(cell: Cell, epoch: int, kept: Sequence[KeptSnapshot]) -> int:
    lacking = 0
    for chunk in _chunks(kept):
        claims, payloads = [one.claim for one in chunk], [one.payload for one in chunk]
        log_id, results = await store.resync(cell, epoch, claims, payloads)
        for one, result in zip(chunk, results, strict=True):
            if result[0] in {"CREATED", "UPDATED"}:
                lacking += 1
                one.at = position(log_id)
    return lacking


async def _release_again(
    cell: Cell, epoch: int, kept: Iterable[tuple[tuple[int, int], ReleaseClaim]]
) -> deque[tuple[tuple[int, int], ReleaseClaim]]:
    """Give back once more; a payment of the same order comes later, and finds it as it was then."""
    releases, again = list(kept), []
    for first in range(0, len(releases), limits.CLAIMS_PER_CALL_MAX):
        chunk = releases[first : first + limits.CLAIMS_PER_CALL_MAX]
        log_id, words = await store.release_again(cell, epoch, [claim for _, claim in chunk])
        for (at, claim), word in zip(chunk, words, strict=True):
            again.append((position(log_id) if word[0] == "RELEASED" else at, claim))
    return deque(sorted(again, key=lambda one: one[0]))


def _chunks(claims: Sequence[K]) -> list[list[K]]:
    """Cut into calls that stay below the bounds of claims and of lines."""
    chunks: list[list[K]] = []
    lines = limits.LINES_PER_CALL_MAX
    for one in claims:
        lines += _weight(one.claim)
        if lines > limits.LINES_PER_CALL_MAX or len(chunks[-1]) >= limits.CLAIMS_PER_CALL_MAX:
            chunks.append([])
            lines = _weight(one.claim)
        chunks[-1].append(one)
    return chunks


def _weight(claim: Claim | SnapshotClaim) -> int:
    return claim.weight if isinstance(claim, SnapshotClaim) else len(claim.lines)
