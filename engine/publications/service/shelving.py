"""Find what changed, and make of it the numbers that listings are to show."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from engine.infra.cell import Cell
from engine.infra.postgres import Connection
from engine.kernel.clock import Clock
from engine.publications.rules import numbers
from engine.publications.rules.burn import Burn
from engine.publications.rules.offers import Asked
from engine.publications.service import reaching
from engine.publications.store import drains, looking, shelves
from engine.publications.store.looking import Key, Look, Taken
from engine.publications.types import Drain, Link, Number, Reach, Shelf

_SKUS_MAX: Final = 200  # looked at in one transaction
_TURNING_S: Final = 3.0  # the cell's clock decides when a campaign begins, and may be behind
_BURNING_S: Final = 2.0  # after which a buffer is looked at again, for it melts by itself
_AFTER_LOOK_S: Final = 0.05
_WINDOW_MS: Final = 60_000


@dataclass(slots=True)
class Shelver:
    """What one process knows of the listings of a cell while they are its own."""

    cell: Cell
    clock: Clock
    burn: Burn = field(default_factory=Burn)
    due: dict[Key, float] = field(default_factory=dict)  # when to look, monotonic seconds
    snapshot: str = "1:1:"
    position: tuple[int, int] | None = None
    pauses: frozenset[tuple[str, ...]] = frozenset()
    draining: bool = True

    async def begin(self, db: Connection) -> None:
        """Look at everything: what happened before, nobody here saw."""
        self.burn, self.position, self.pauses = Burn(), None, frozenset()
        self.snapshot = (await looking.look(db, self.cell.id, self.snapshot, 0.0)).snapshot
        self._soon(await looking.every_sku(db))

    async def notice(self, db: Connection) -> None:
        """Look what has changed since the last time."""
        seen = await looking.look(db, self.cell.id, self.snapshot, _TURNING_S)
        if seen.listed:
            self._soon(await looking.changed_listings(db, self.snapshot))
        if seen.bundled:
            self._soon(await looking.changed_bundles(db, self.snapshot))
        if seen.changed:
            for tenant, channel, sku in await looking.take_changes(db):
                keys = [Key(tenant, sku)]
                self._soon(keys if sku else await looking.skus_of_channel(db, tenant, channel))
        await self._notice_sales(db, seen)
        for tenant, scope, name, _ in seen.pauses ^ self.pauses:
            keys = [Key(tenant, name)]
            if scope == "campaign":
                keys = await looking.skus_of_campaign(db, tenant, name)
            self._soon(keys)
        for tenant, campaign in seen.turning:
            self._soon(await looking.skus_of_campaign(db, tenant, campaign))
        self.snapshot, self.pauses, self.draining = seen.snapshot, seen.pauses, seen.draining

    async def shelve(self, db: Connection) -> bool:
        """Make numbers of the SKUs whose time has come; True when there were as many as fit.

        Raises:
            OutcomeUnknown: the cell does not answer; what was to be done stays to be done.
        """
        now = self.clock.monotonic()
        keys = [key for key, at in self.due.items() if at <= now][:_SKUS_MAX]
        if not keys:
            return False
        bundles = await shelves.bundles_with(db, keys)
        found = await shelves.shelves(db, {*keys, *bundles})
        parts = {Key(one.link.tenant, sku) for one in found for sku, _ in one.parts}
        # before what is there: a drain that ends between is counted twice rather than not at all
        open_drains = await drains.standing(db, {*keys, *parts}) if self.draining else []
        reaches = await self._reaches(db, {*keys, *parts}, found)
        later = await self._write(db, found, reaches, open_drains, {*keys})
        for key in keys:
            if self.due[key] <= now:
                del self.due[key]
        for key, seconds in later.items():
            self._at(key, now + seconds)
        return len(keys) == _SKUS_MAX

    async def _notice_sales(self, db: Connection, seen: Look) -> None:
        upto = _position(seen.last_id)
        after = self.position or (upto[0] - _WINDOW_MS, 0)
        if upto > after and seen.any_published:
            for one in await looking.moved_pools(db, self.cell.id, after, upto):
                self._sold(one)
        self.position = upto

    def _sold(self, one: Taken) -> None:
        self.burn.add(one.pool, one.second, one.units)
        self._soon([one.key])

    async def _reaches(
        self, db: Connection, keys: Collection[Key], found: Iterable[Shelf]
    ) -> dict[tuple[str, str, str], Reach]:
        wanted = {
            (shelf.link.tenant, shelf.link.channel, shelf.skus[0][0]): shelf.parts
            for shelf in found
            if len(shelf.skus) == 1
        }
        campaigns = await shelves.campaigns_of(db, keys)
        asked = [
            Asked(*one, _campaigns(one, parts, campaigns), parts) for one, parts in wanted.items()
        ]
        return await reaching.reaches(self.cell, asked)

    async def _write(
        self,
        db: Connection,
        found: Iterable[Shelf],
        reaches: Mapping[tuple[str, str, str], Reach],
        open_drains: Collection[Drain],
        keys: Collection[Key],
    ) -> dict[Key, float]:
        """Write numbers that changed; return SKUs that have to be looked at again, and when.

        `keys` are the SKUs of which all listings are among these, and so known to a drain.
        """
        listed = self._sorted(found, reaches, open_drains)
        async with db.transaction():
            written = await shelves.publish(db, listed.changed)
            for shelf, wanted in listed.changed:
                if shelf.link in written:
                    listed.standing[shelf.link] = wanted, written[shelf.link]
                else:  # somebody wrote to it just now
                    listed.wait(shelf, wanted, _AFTER_LOOK_S)
            for one in open_drains:
                known = one.state == "requested" and Key(one.tenant, one.sku) in keys
                if known and not listed.waits_for(one):
                    await drains.mark_draining(db, one, listed.numbers_for(one))
        return listed.later

    def _sorted(
        self,
        found: Iterable[Shelf],
        reaches: Mapping[tuple[str, str, str], Reach],
        open_drains: Collection[Drain],
    ) -> "_Sorted":
        now_s, made = self.cell.now_ms() // 1_000, _Sorted()
        for shelf in found:
            wanted, rate = self._wanted(shelf, reaches, open_drains, now_s)
            made.drawn[shelf.link] = {wanted.sku, *(sku for sku, _ in shelf.parts)}
            urgent = any(made.is_of(one, shelf.link) for one in open_drains)
            wait_s = numbers.waits_s(shelf, wanted, urgent=urgent)
            if rate:
                made.look(Key(shelf.link.tenant, wanted.sku), _BURNING_S)
            if wait_s:
                made.wait(shelf, wanted, wait_s)
            elif shelf.number == 0 or wanted != shelf.last:
                made.changed.append((shelf, wanted))
            else:
                made.standing[shelf.link] = wanted, shelf.number
        return made

    def _wanted(
        self,
        shelf: Shelf,
        reaches: Mapping[tuple[str, str, str], Reach],
        open_drains: Iterable[Drain],
        now_s: int,
    ) -> tuple[Number, float]:
        sku = shelf.skus[0][0] if len(shelf.skus) == 1 else ""
        reach = reaches.get((shelf.link.tenant, shelf.link.channel, sku), Reach("not_on_sale"))
        if not reach.parts:
            rate, draining = self._leaving(reach, open_drains, now_s)
            return numbers.number(shelf, reach, rate, draining), rate
        leaving = [(*part, *self._leaving(part[0], open_drains, now_s)) for part in reach.parts]
        least, rate = numbers.of_parts(leaving, shelf.lag_s)
        return numbers.number(shelf, least, rate, 0), max(burn for _, _, burn, _ in leaving)

    def _leaving(self, reach: Reach, open_drains: Iterable[Drain], now_s: int) -> tuple[float, int]:
        """Return what its pools lose a second, and what is on its way out of them."""
        rate = sum(self.burn.rate(pool, now_s) for pool in reach.pools)
        return rate, sum(one.units for one in open_drains if one.source in reach.pools)

    def _soon(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._at(key, 0.0)

    def _at(self, key: Key, at: float) -> None:
        self.due[key] = min(at, self.due.get(key, at))


@dataclass(slots=True)
class _Sorted:
    """Listings by what is to be done: to be written, right as they are, or not yet to be told.

    `later` are SKUs that have to be looked at again, and after how many seconds; `drawn` are those
    that a sale of the listing draws: a bundle's components, too.
    """

    changed: list[tuple[Shelf, Number]] = field(default_factory=list)
    standing: dict[Link, tuple[Number, int]] = field(default_factory=dict)
    waiting: list[tuple[Link, Number]] = field(default_factory=list)
    later: dict[Key, float] = field(default_factory=dict)
    drawn: dict[Link, set[str]] = field(default_factory=dict)

    def is_of(self, drain: Drain, link: Link) -> bool:
        same = (drain.tenant, drain.channel) == (link.tenant, link.channel)
        return same and drain.sku in self.drawn[link]

    def look(self, key: Key, seconds: float) -> None:
        self.later[key] = min(seconds, self.later.get(key, seconds))

    def wait(self, shelf: Shelf, wanted: Number, seconds: float) -> None:
        self.waiting.append((shelf.link, wanted))
        self.look(Key(shelf.link.tenant, wanted.sku), seconds)

    def waits_for(self, drain: Drain) -> bool:
        return any(self.is_of(drain, link) for link, _ in self.waiting)

    def numbers_for(self, drain: Drain) -> list[tuple[str, str, int]]:
        """What shops have to confirm: numbers that do not count the drain's units any more."""
        return [
            (link.item_id, link.sku_id, number)
            for link, (wanted, number) in sorted(self.standing.items())
            if self.is_of(drain, link) and wanted.state != "unmapped"
        ]


def _campaigns(
    one: tuple[str, str, str],
    parts: Iterable[tuple[str, int]],
    known: Mapping[tuple[str, str, str], tuple[str, ...]],
) -> tuple[str, ...]:
    """Return the campaigns in which a channel has pools of a SKU, or of what it is made of."""
    tenant, channel, sku = one
    drawn = [sku, *(part for part, _ in parts)]
    return tuple(
        sorted({name for each in drawn for name in known.get((tenant, channel, each), ())})
    )


def _position(log_id: str) -> tuple[int, int]:
    ms, _, n = log_id.partition("-")
    return int(ms), int(n)
