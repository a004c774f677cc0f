"""Sold-out flags: most answers of a flash sale, given without asking the cell.

A flag says that all pools of a (campaign, channel, SKU) were at 0 at a position of the log. It is
used only while this process reads the log and has passed that position, and never for an order
that the cell has accepted: those are in the filter. A process that just started uses no flag until
the filter holds every order the cell remembers.

Units may have come back and been taken again by this very order a moment ago, in another process.
So before a refusal goes out, the reading has to reach what the cell has said by then: one small
question for all refusals that wait, not one for each.
"""

import asyncio
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from engine.infra import log
from engine.infra.cell import Cell
from engine.infra.log import position
from engine.infra.tasks import raise_if_cancelled
from engine.kernel.errors import OutcomeUnknown, SoldOut
from engine.kernel.events import Move
from engine.reservation import store
from engine.reservation.bundles import named
from engine.reservation.types import Claim

_REACHED_WITHIN_S: Final = 0.1  # a claim waits no longer for the reading: then it asks the cell
_READ_COUNT: Final = 64
_REST_S: Final = 0.05  # between two readings while nobody could use them
_WAIT_MS: Final = 25
_FILTER_BITS: Final = 1 << 26  # 8 MiB: at 3 M orders one in 1,000 strangers asks the cell in vain
_FILTER_PLACES: Final = 4
_RULES_CHANGED: Final = frozenset({"S", "U", "O", "V"})


class Flag(NamedTuple):
    """Where the log stood when the pools were empty, and which they were."""

    at: tuple[int, int]
    pools: frozenset[str]


class _Seen(msgspec.Struct, array_like=True, gc=False):
    """The head that all events share; the rest of the list is not decoded."""

    kind: str
    subject: str
    at: int
    moves: list[Move]


class Filter:
    """A Bloom filter of order ids: says "no" only of orders that were never put in."""

    def __init__(self, bits: int = _FILTER_BITS) -> None:
        self._bits = bytearray(bits // 8)
        self._mask = bits - 1

    def add(self, order_id: str) -> None:
        """Put an order in, for ever."""
        place, step = self._first(order_id)
        for _ in range(_FILTER_PLACES):
            self._bits[place >> 3] |= 1 << (place & 7)
            place = (place + step) & self._mask

    def __contains__(self, order_id: str) -> bool:
        """Whether the order may be in."""
        place, step = self._first(order_id)
        for _ in range(_FILTER_PLACES):
            if not self._bits[place >> 3] & (1 << (place & 7)):
                return False
            place = (place + step) & self._mask
        return True

    def _first(self, order_id: str) -> tuple[int, int]:
        """Return the first place and the way to the next: two hashes do as well as one a place.

        Kirsch and Mitzenmacher, Less Hashing, Same Performance (2006).
        """
        mixed = hash(order_id)
        return mixed & self._mask, (mixed >> 32) & self._mask | 1


class SoldOutFlags:
    """The flags of one process, and its reading of the log that keeps them true."""

    def __init__(self, cell: Cell) -> None:
        """Bind to the process' cell; a reading that waits has a connection to itself."""
        self._cell = cell
        self._flags: dict[tuple[str, str, str, str], Flag] = {}
        self._filter = Filter()
        self._complete = False
        self._at = "0-0"
        self._passed = (0, 0)
        self._epoch = 0
        self._cleared = (0, 0)
        self._freed: dict[str, tuple[int, int]] = {}
        self._asked = asyncio.Event()
        self._waiting: list[asyncio.Future[bool]] = []
        self._moved = asyncio.Event()
        self._wanted = asyncio.Event()

    def raise_for(self, claim: Claim, refusal: store.EmptyPools) -> None:
        """Set the flag that the cell's refusal allows; a replacing claim might have freed units.

        The reply may be slower than the log: what was read since then may have ended the flag
        before it is set.
        """
        at = position(refusal.log_id)
        if claim.replace or at < self._cleared:
            return
        if all(self._freed.get(pool, (-1, 0)) < at for pool in refusal.pools):
            key = (claim.tenant, claim.campaign, claim.channel, refusal.sku)
            self._flags[key] = Flag(at, refusal.pools)
            self._wanted.set()

    def concern(self, claim: Claim) -> bool:
        """Whether there is a flag of any of its lines, so that it is worth to ask `caught_up`."""
        return bool(self._flags) and any(
            (claim.tenant, claim.campaign, claim.channel, line[0]) in self._flags
            for line in claim.lines
        )

    def refusal(self, claim: Claim) -> SoldOut | None:
        """Return the answer to a claim that is sold out as far as was read, else None.

        It may go out only once `caught_up` was true after the claim came, and it still stands.
        """
        if not self._flags or not self._usable():
            return None
        for n, (sku, _, _, on_short) in enumerate(claim.lines, start=1):
            flag = self._flags.get((claim.tenant, claim.campaign, claim.channel, sku))
            if flag is None or flag.at > self._passed or on_short == "drop":
                continue
            if claim.replace or claim.split_from or claim.order_id in self._filter:
                return None
            where = named(claim.lines, n)
            return SoldOut("a line has no sellable unit left; nothing was taken", **where)
        return None

    async def caught_up(self) -> bool:
        """Whether the reading has come to where the log stood at some moment after this call."""
        asked: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(asked)
        self._asked.set()
        self._wanted.set()
        return await asked

    @property
    def passed(self) -> tuple[int, int]:
        """Up to where the log was read."""
        return self._passed

    def clear(self) -> None:
        """Forget all flags, and those that older refusals would set: rules or the epoch changed."""
        self._flags.clear()
        self._cleared = self._passed

    async def run(self) -> None:
        """Read the log until cancelled; while that fails no flag is used."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._answer_all())
            tasks.create_task(self._follow_log())

    async def _answer_all(self) -> None:
        while True:
            await self._asked.wait()
            raise_if_cancelled()
            self._asked.clear()
            waiting, self._waiting = self._waiting, []  # who asks from now on waits for the next
            reached = await self._reaches_end()
            for asked in waiting:
                if not asked.done():  # its caller may have left
                    asked.set_result(reached)

    async def _reaches_end(self) -> bool:
        try:
            async with asyncio.timeout(_REACHED_WITHIN_S):
                end = position(await store.last_log_id(self._cell))
                while self._passed < end:
                    self._moved.clear()
                    await self._moved.wait()
        except (OutcomeUnknown, TimeoutError):
            return False
        return True

    async def _follow_log(self) -> None:
        while True:
            raise_if_cancelled()
            try:
                if not self._complete:
                    await self._fill()
                if not await self._read():
                    await self._rest()
            except OutcomeUnknown:
                self.clear()
                self._complete = False
                await self._cell.wait_open()

    async def _rest(self) -> None:
        """Let the log grow while nobody asks: many entries in one reading cost less."""
        if not self._flags and not self._waiting:
            self._wanted.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_REST_S):
                    await self._wanted.wait()

    def _usable(self) -> bool:
        return self._complete and self._cell.is_open and self._epoch == self._cell.epoch

    async def _fill(self) -> None:
        state = await self._cell.refresh()
        if state is None:
            raise OutcomeUnknown("the cell has no record yet")
        self._at, self._passed = state.last_id, position(state.last_id)
        self.clear()  # what lies between is never read
        self._epoch = 0  # no flag is used before the first reading from here
        async for order_id in store.remembered(self._cell):
            self._filter.add(order_id.decode())
        self._complete = True

    async def _read(self) -> bool:
        """Read on; whether there is more to read at once."""
        entries, cut = await log.follow(
            self._cell.redis, self._cell.id, self._at, _READ_COUNT, wait_ms=_WAIT_MS
        )
        if position(cut) > self._passed:
            self.clear()
            self._complete = False  # what it should have read next was cut away
            return True
        for entry in entries:
            self._at, self._passed = entry.log_id, position(entry.log_id)
            try:
                heads = _heads.decode(entry.events)
            except msgspec.MsgspecError:
                self.clear()  # whatever it says may have freed units; the recorder sees to it
                continue
            for event in heads:
                self._follow(event)
        if self._epoch != self._cell.epoch:
            self.clear()
            self._epoch = self._cell.epoch
        self._moved.set()
        return len(entries) == _READ_COUNT

    def _follow(self, event: _Seen) -> None:
        if event.kind == "R":
            self._filter.add(event.subject)
        elif event.kind in _RULES_CHANGED:
            self.clear()
        freed = {move.pool_id for move in event.moves if move.available > 0}
        if freed:
            self._freed.update(dict.fromkeys(freed, self._passed))
            self._flags = {key: flag for key, flag in self._flags.items() if not flag.pools & freed}


_heads: Final = msgspec.msgpack.Decoder(list[_Seen])
