"""From what Postgres has to what a rebuilt cell gets, part by part; pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from engine.kernel.limits import IDEMPOTENCY_KEEP_MS, REBUILD_ITEMS_PER_CALL

SEP: Final = "\x1f"
# How each is written, and where to; in the order in which `lua/rebuild.lua` takes them. `fields`
# are written as they are; `counters` of the same hash are added to what stands there by then.
SECTIONS: Final = {
    "pools": ("HSET", "pools"),
    "holds": ("HSET", "holds"),
    "due": ("ZADD", "due"),
    "rules": ("HSET", "rules"),
    "fields": ("HSET", "counters"),
    "counters": ("HINCRBY", "counters"),
    "once": ("HSET", "once"),
    "done": ("ZADD", "done"),
}
_STATE, _TENANT, _CAMPAIGN, _BUYER, _PAY_BY, _UNTIL = 1, 4, 6, 7, 10, 11
_DRAWS, _COUNTERS, _WARNED, _SINCE, _PAID, _SEEN, _PROGRESS = 13, 14, 17, 18, 22, 23, 24
_FINAL: Final = 3  # the progress from which nothing is expected any more (lua/include/snapshot.lua)
_pack: Final = msgspec.msgpack.Encoder().encode

Value = str | bytes | int
Part = dict[str, list[Value]]  # by section, as the script takes it


class Offers:
    """Which pools a channel draws from for a SKU, in order, by the rules as Postgres has them."""

    def __init__(self, rules: Iterable[tuple[str, bytes]]) -> None:
        """Read the offers among rules (field, packed body)."""
        self._pools: dict[str, list[str]] = {}
        for name, body in rules:
            if name.startswith("offer" + SEP) and (told := msgspec.msgpack.decode(body)):
                self._pools[name] = [source[0] for source in told[1]]

    def pools(self, tenant: str, campaign: str, channel: str, sku: str) -> Sequence[str]:
        """Return them; none where nothing is offered."""
        return self._pools.get(SEP.join(("offer", tenant, campaign, channel, sku)), [])


def packed_pools(
    rows: Sequence[Mapping[str, Any]], shorts: Iterable[Mapping[str, Any]], offers: Offers
) -> dict[str, bytes]:
    """Return each pool as the cell keeps it (lua/include/pools.lua).

    Which other pools repay a debt follows from who is owed now, and the offers as they are now;
    the rounds of owing are counted anew.
    """
    successors = {row["pool_id"]: row["successor"] for row in rows if row["ended"]}
    known = {row["pool_id"] for row in rows}

    def heir(pool: str) -> str:
        for _ in range(8):
            if successors.get(pool, "") not in known:
                break
            pool = successors[pool]
        return pool

    debts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for short in shorts:
        owing = short["pool_id"]
        named = offers.pools(
            short["tenant"], short["campaign"], short["channel"], short["sku"] or ""
        )
        repaying = {heir(pool) for pool in (*named, owing) if pool in known}
        for pool in repaying - {owing}:
            debts[pool][owing] += short["units"]
    return {row["pool_id"]: _packed_pool(row, debts.get(row["pool_id"], {})) for row in rows}


def _packed_pool(row: Mapping[str, Any], debts: Mapping[str, int]) -> bytes:
    pool = [
        row["granted"], row["owed"], row["available"], row["held"], row["sold"], row["seq"],
        row["successor"], int(row["ended"]),
    ]  # fmt: skip
    if row["owed"] or debts:
        owed = [[other, units, 1] for other, units in sorted(debts.items())]
        pool += [owed, 1 if row["owed"] else 0]
    return _pack(pool)


def rules_of(
    rules: Iterable[tuple[str, bytes]], pauses: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, bytes]]:
    """Yield rules that have not ended, and pauses, as fields and values."""
    for name, body in rules:
        if msgspec.msgpack.decode(body):
            yield name, body
    for row in pauses:
        name = SEP.join(("pause", row["tenant"], row["scope"], row["id"]))
        yield name, _pack([row["since_ms"], row["by"], row["reason"]])


@dataclass(slots=True)
class Contents:
    """Collects what goes into the cell, and adds up what has to agree in the end."""

    now_ms: int
    orders: int = 0
    pending: int = 0
    held: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _mine: dict[str, tuple[int, str]] = field(default_factory=dict)
    _counted: set[int] = field(default_factory=set)  # hashes of counters that were written
    _part: Part = field(default_factory=lambda: {name: [] for name in SECTIONS})
    _items: int = 0

    def add(self, section: str, name: Value, value: Value) -> Part | None:
        """Add one field and value (of a zset: score and member); return a part that is full."""
        self._part[section] += (name, value)
        self._items += 1
        return self.take() if self._items >= REBUILD_ITEMS_PER_CALL else None

    def order(self, order_id: str, hold: list[Any]) -> Part | None:
        """Add an order's hold with all that goes with it; return a part that is full."""
        part, counted = self._part, self._counted
        for name, units, _ in hold[_COUNTERS]:
            # most are one buyer's, met once: to add to one costs the cell twice what writing does
            if (known := hash(name)) in counted:
                part["counters"] += (name, units)
            else:
                counted.add(known)
                part["fields"] += (name, units)
        state, is_told = hold[_STATE], len(hold) > _SEEN
        if state == "P":
            self.pending += 1
            for _, pool, units in hold[_DRAWS]:
                self.held[pool] += units
            if hold[_UNTIL] > 0:
                part["due"] += (hold[_UNTIL] if hold[_WARNED] else hold[_PAY_BY], order_id)
            if not is_told and hold[_BUYER] and not (len(hold) > _PAID and hold[_PAID]):
                self._note_mine(order_id, hold)
        if hold[_PROGRESS] >= _FINAL or state == "E" if is_told else state != "P":
            ended = max(hold[_SINCE], hold[_UNTIL]) + IDEMPOTENCY_KEEP_MS
            part["done"] += (ended, "o\x1f" + order_id)
        self.orders += 1
        part["holds"] += (order_id, _pack(hold))
        self._items += 1
        return self.take() if self._items >= REBUILD_ITEMS_PER_CALL else None

    def replaceable(self) -> Iterator[Part]:
        """Add which of its buyer's holds a claim may replace, once all orders are here."""
        for name, (_, order_id) in self._mine.items():
            if full := self.add("fields", name, order_id):
                yield full

    def take(self) -> Part:
        """Return what was collected since the last part."""
        part, self._part = self._part, {name: [] for name in SECTIONS}
        self._items = 0
        return part

    def _note_mine(self, order_id: str, hold: list[Any]) -> None:
        name = SEP.join(("m", hold[_TENANT], hold[_CAMPAIGN], hold[_BUYER]))
        self._mine[name] = max(self._mine.get(name, (0, "")), (hold[_SINCE], order_id))


def wrong_pools(rows: Sequence[Mapping[str, Any]], held: Mapping[str, int]) -> list[str]:
    """Return pools that Postgres itself does not agree about: by their sum, or by their orders."""
    wrong = []
    for row in rows:
        accounts = [row[name] for name in ("granted", "owed", "available", "held", "sold")]
        adds_up = accounts[0] + accounts[1] == sum(accounts[2:]) and min(accounts) >= 0
        if not adds_up or row["held"] != held.get(row["pool_id"], 0):
            wrong.append(row["pool_id"])
    return wrong
