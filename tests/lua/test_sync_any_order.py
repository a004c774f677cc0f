"""Snapshots of one order in every order of arrival: the same hold, the same pools in the end."""

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest
from redis import Redis
from redis.commands.core import Script

from engine.infra import scripts
from tests.lua.builders import (
    COUNTERS,
    DATABASE,
    KEYS,
    PAY_BY,
    SINCE,
    UNTIL,
    campaign,
    key,
    line,
    offer,
    pack,
    unpack,
)
from tests.lua.marketplace import CLOSED, PAID_FOR, SHIPPED, UNPAID, snap, tmall

LIFE = ("create", "pay", "change address", "refund one", "ship", "close")
STOCK = {
    "enough": {"p": 10, "q": 10},
    "just enough": {"p": 2, "q": 2},
    "enough after the refund": {"p": 2, "q": 1},
    "not enough": {"p": 1, "q": 1},
    "only in the second pool": {"p": 0, "q": 9},
    "nothing": {"p": 0, "q": 0},
}
ENDS = {"shipped, then closed": {"state": "C"}, "closed": {}}


def lines(parts: int, *, refunded: bool) -> list[list[Any]]:
    """Four units of one SKU on one line or on two, and one less."""
    first = line("A", 4 // parts - refunded, payable=400 // parts)
    return [first] if parts == 1 else [[*first, "x"], [*line("A", 2), "y"]]


def life(parts: int, end: dict[str, str]) -> list[Any]:
    """The order at the marketplace as it went on."""
    whole, refunded = (lines(parts, refunded=cut) for cut in (False, True))
    return [
        snap("o1", 1, UNPAID, *whole, placed_at=20_000_000, buyer="b1"),
        snap("o1", 2, PAID_FOR, *whole),
        snap("o1", 3, PAID_FOR, *whole, fingerprint="new address"),
        snap("o1", 4, PAID_FOR, *refunded),
        snap("o1", 5, SHIPPED, *refunded),
        snap("o1", 6, CLOSED, *refunded, **end),
    ]


class Cell:
    """An open cell that is set back to the same stock in no time."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.scripts = {name: Script(redis, scripts.source(name)) for name in scripts.names()}

    def call(self, script: str, *claims: Any, argument: str = "0") -> list[Any]:
        values = [1, argument, pack(claims)]
        word, _, _, results = unpack(self.scripts[script](keys=list(KEYS), args=values))
        assert word == "OK"
        return results

    def begin(self, stock: dict[str, int], rule: list[Any], *offers: Any) -> None:
        self.redis.flushall()
        for step in ("restoring", "open"):
            self.call("open", DATABASE, "0-0", argument=step)
        self.redis.hset(key("cell"), mapping={"now": 10**13, "shift_from": "", "shift_to": ""})
        self.call("rule", rule, campaign(), *offers)
        self.call("grant", *([pool, 1, units, "", ""] for pool, units in stock.items()))
        self.stock = self.redis.hgetall(key("pools"))
        self.sha = self.redis.script_load(scripts.source("sync"))

    def sync(self, *calls: Any) -> list[Any]:
        """From the same stock again, these calls of snapshots: what they leave, raw."""
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.delete(*(key(name) for name in ("holds", "counters", "due", "done", "log")))
            pipe.hset(key("pools"), mapping=self.stock)
            for snapshots in calls:
                values = [1, "0", pack(snapshots), *[b"{}"] * len(snapshots)]
                pipe.evalsha(self.sha, len(KEYS), *KEYS, *values)
            for name in ("holds", "pools", "counters"):
                pipe.hgetall(key(name))
            for name in ("due", "done"):
                pipe.zrange(key(name), 0, -1, withscores=True)
            replies = pipe.execute()
        for reply in replies[2 : 2 + len(calls)]:
            assert unpack(reply)[0] == "OK"
        return replies[2 + len(calls) :]


def settled(left: list[Any], *, deadlines: bool = False) -> list[Any]:
    """All that is left of it, but for when it was first seen and, unless wanted, deadlines."""
    holds, packed, *others = left
    hold = unpack(holds[b"o1"])
    hold[COUNTERS].sort()
    hold[SINCE] = 0
    if not deadlines:
        hold[PAY_BY] = hold[UNTIL] = 0
    pools = {name: unpack(value)[:5] for name, value in packed.items()}
    for granted, owed, available, held, sold in pools.values():
        assert granted + owed == available + held + sold
        assert min(granted, owed, available, held, sold) >= 0
    return [hold, pools, *others]


@pytest.fixture
def cell(valkey_url: str) -> Iterator[Cell]:
    with Redis.from_url(valkey_url, protocol=2) as redis:
        before = redis.config_get("appendfsync")["appendfsync"]
        redis.config_set("appendfsync", "no")
        try:
            yield Cell(redis)
        finally:
            redis.config_set("appendfsync", before)


OFFERS = {"no cap": ("p", "q"), "caps": (("p", 3), ("q", 2))}


@pytest.mark.parametrize("caps", OFFERS)
@pytest.mark.parametrize("parts", [1, 2], ids=["one line", "two lines of one SKU"])
@pytest.mark.parametrize("stock", STOCK)
def test_every_permutation_ends_alike(cell: Cell, stock: str, parts: int, caps: str) -> None:
    """Whatever the last word is: of the first four versions, of five, of all, in both ends."""
    cell.begin(STOCK[stock], tmall(), offer("A", *OFFERS[caps], channel="tmall"))
    for end in ENDS.values():
        told = life(parts, end)
        for versions in (told[:4], told[:5], told) if end else (told,):
            expected = settled(cell.sync(versions))
            for order in permutations(versions):
                assert settled(cell.sync(order)) == expected, [one[17] for one in order]


@pytest.mark.parametrize("rule", [{}, {"counts_at": "paid"}, {"expires_by": "us"}])
def test_one_call_each_ends_as_all_in_one(cell: Cell, rule: dict[str, str]) -> None:
    cell.begin(STOCK["not enough"], tmall(**rule), offer("A", "p", "q", channel="tmall"))
    for order in permutations(life(2, {})[:5]):
        at_once = settled(cell.sync(order), deadlines=True)
        assert settled(cell.sync(*([one, one] for one in order)), deadlines=True) == at_once


def test_the_log_of_every_permutation_gives_its_pools(cell: Cell) -> None:
    cell.begin(STOCK["enough after the refund"], tmall(), offer("A", "p", "q", channel="tmall"))
    before = {name.decode(): unpack(value)[:5] for name, value in cell.stock.items()}
    for order in permutations(life(2, {"state": "C"})):
        _, after, *_ = cell.sync(order)
        pools = {name: list(values) for name, values in before.items()}
        for _, fields in cell.redis.xrange(key("log")):
            for event in unpack(fields[b"e"]):
                for pool, *moved in event[3]:
                    pools[pool] = [a + b for a, b in zip(pools[pool], moved, strict=True)]
        assert pools == {name.decode(): unpack(value)[:5] for name, value in after.items()}
