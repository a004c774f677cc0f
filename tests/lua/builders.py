"""A cell under test: what a script call needs, with sane defaults, and what it left behind.

Time is a value here: the cell's clock never goes back, so pushing its `now` ahead of the server's
makes it stand still until a test moves it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from redis.asyncio import Redis

from engine.infra import keys
from engine.infra.cell import Cell
from engine.kernel.clock import SystemClock
from engine.kernel.types import CellId
from engine.reservation.columns import as_asked
from engine.reservation.types import Claim

CELL = CellId("1")
KEYS = keys.every(CELL)
SEP = "\x1f"
DATABASE = "database-1"
FINGERPRINT, STATE, ATTEMPT, TOTAL, PAY_BY, UNTIL = 3, 1, 2, 9, 10, 11
LINES, DRAWS, COUNTERS, PAYMENTS, CANCELS, WARNED = 12, 13, 14, 15, 16, 17
SINCE, STAGES, PAID = 18, 21, 22
SEEN, PROGRESS, LINE_KEYS, SHORTS, UNMAPPED, BELOW = 23, 24, 25, 26, 27, 28
GRANTED, OWED, AVAILABLE, HELD, SOLD, SEQ, SUCCESSOR, ENDED = range(8)
HOUR, DAY = 3_600_000, 86_400_000

pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode


def key(name: str) -> str:
    return keys.of(CELL, name)


def line(sku: str, quantity: int = 1, payable: int | None = None, on_short: str = "") -> list[Any]:
    return [sku, quantity, 100 * quantity if payable is None else payable, on_short]


def claim(order_id: str, *lines: list[Any], **over: Any) -> list[Any]:
    """One claim as reserve takes it; `over` replaces fields by name."""
    wanted = list(lines) or [line("A")]
    fields = {
        "order_id": order_id,
        "fingerprint": "print",
        "tenant": "main",
        "channel": "mall",
        "campaign": "d11",
        "buyer": "",
        "currency": "CNY",
        "total": sum(one[2] for one in wanted),
        "settle": "",
        "method": "",
        "replace": 0,
        "lines": wanted,
        "payment": [],
        "buyer_keys": [],
        "placed_at": 0,
        "actor": "key-1",
        "split_from": "",
        "ticket": "",
    }
    assert over.keys() <= fields.keys(), over
    return list((fields | over).values())


def asked(claims: Sequence[list[Any]], payloads: Sequence[bytes]) -> tuple[list[Any], list[bytes]]:
    """Claims and payloads as the service sends them: the plain ones as columns."""
    whole = [
        Claim(*(tuple(map(tuple, v)) if n in {11, 13} else v for n, v in enumerate(one)))
        for one in claims
    ]
    return as_asked(whole, payloads)


def promised(taken: list[Any], pay_by: int, accepted_at: int, anew: int = 0) -> list[Any]:
    """A claim as restore takes it; `anew` 1: what it is split from will not come any more."""
    return [*taken[:17], [pay_by, accepted_at, anew]]


def payment(order_id: str, payment_id: str = "pay-1", amount: int = 100, **over: Any) -> list[Any]:
    fields = {
        "order_id": order_id,
        "payment_id": payment_id,
        "amount": amount,
        "currency": "CNY",
        "method": "alipay",
        "paid_at": 0,
        "stage": "full",
        "actor": "key-1",
    }
    extra = over.pop("buyer_keys", None)
    assert over.keys() <= fields.keys(), over
    return list((fields | over).values()) + ([extra] if extra is not None else [])


def cancel(
    order_id: str, cancel_id: str = "cancel-1", *lines: list[int], kind: str = "cancel"
) -> Any:
    return [order_id, cancel_id, kind, "changed mind", "key-1", list(lines)]


def grants(**units: int) -> list[Any]:
    """The first grant of each pool."""
    return [[pool, 1, count, "load", "ref"] for pool, count in units.items()]


def channel(
    name: str = "mall",
    authority: str = "gate",
    hold_ms: int = 900_000,
    grace_ms: int = 60_000,
    by_method: dict[str, int] | None = None,
    *more: str,
    version: int = 1,
) -> list[Any]:
    """A channel; `more` are counts_at and expires_by, which an older rule does not name."""
    body = [version, authority, hold_ms, grace_ms, by_method or {}, *more]
    return [SEP.join(("channel", "main", name)), version, body]


def campaign(  # noqa: PLR0913, PLR0917 - one default a field
    name: str = "d11",
    starts_at: int = 0,
    ends_at: int = 10**13,
    hold_ms: int = 0,
    grace_ms: int = 0,
    limits: list[list[Any]] | None = None,
    balance_by: int = 0,
    room: list[Any] | None = None,
) -> list[Any]:
    body = [1, starts_at, ends_at, hold_ms, grace_ms, limits or [], balance_by]
    body += [room] if room else []
    return [SEP.join(("campaign", "main", name)), 1, body]


def offer(  # noqa: PLR0913 - one default a field
    sku: str,
    *sources: str | tuple[str, int],
    of: str = "d11",
    channel: str = "mall",
    limit: int = 0,
    floor: int = 0,
    deposit: int = 0,
    version: int = 1,
) -> list[Any]:
    """An offer that draws from `sources` in order; a pool alone has no cap."""
    pools = [[one, -1] if isinstance(one, str) else list(one) for one in sources]
    field_name = SEP.join(("offer", "main", of, channel, sku))
    return [field_name, version, [version, pools, limit, floor, deposit, "CNY"]]


def replay(events: list[list[Any]]) -> dict[str, list[int]]:
    """The pools as the log alone says them: every event's moves added up."""
    pools: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for event in events:
        for pool, *deltas in event[3]:
            pools[pool] = [a + b for a, b in zip(pools[pool], deltas, strict=True)]
    return pools


@dataclass
class World:
    """One cell: calls by the real client, reads behind its back, a soundness check over all."""

    cell: Cell
    numbers: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    checked: bool = True

    @property
    def redis(self) -> Redis:
        return self.cell.redis

    async def call(self, script: str, *claims: Any, **how: Any) -> list[Any]:
        how.setdefault("argument", "0")
        reply = await self.cell.call(script, claims, **how)
        return reply.results

    async def reserve(self, *claims: Any) -> list[Any]:
        rows, bodies = asked(claims, [b"{}"] * len(claims))
        return await self.call("reserve", *rows, payloads=bodies)

    async def sync(self, *snapshots: Any) -> list[Any]:
        return await self.call("sync", *snapshots, payloads=[b"{}"] * len(snapshots))

    async def grant(self, pool: str, delta: int) -> list[Any]:
        self.numbers[pool] += 1
        (result,) = await self.call("grant", [pool, self.numbers[pool], delta, "load", "ref"])
        return result

    async def open(self, epoch: int = 1, last_id: str = "0-0") -> None:
        for step in ("restoring", "open"):
            await self.cell.call("open", [DATABASE, last_id], argument=step, epoch=epoch)
        await self.cell.refresh()
        while (await self.call("extend", 256))[1]:
            pass

    async def now(self) -> int:
        return int(await self.redis.hget(key("cell"), "now") or 0)

    async def advance(self, ms: int) -> int:
        """Let time pass in the cell; it is `now` until it is moved again."""
        later = await self.now() + ms
        await self.redis.hset(key("cell"), "now", str(later))
        return later

    async def phase(self) -> str:
        return (await self.redis.hget(key("cell"), "phase") or b"").decode()

    async def unpacked(self, name: str) -> dict[str, list[Any]]:
        stored = await self.redis.hgetall(key(name))
        return {one.decode(): unpack(packed) for one, packed in stored.items()}

    async def pool(self, name: str) -> list[int]:
        """Granted, owed, available, held, sold."""
        return (await self.unpacked("pools"))[name][:5]

    async def hold(self, order_id: str) -> list[Any]:
        return unpack(await self.redis.hget(key("holds"), order_id))

    async def counters(self) -> dict[str, str]:
        stored = await self.redis.hgetall(key("counters"))
        return {one.decode().replace(SEP, "/"): value.decode() for one, value in stored.items()}

    async def scores(self, name: str) -> dict[str, int]:
        return {
            one.decode().replace(SEP, "/"): int(score)
            for one, score in await self.redis.zrange(key(name), 0, -1, withscores=True)
        }

    async def entries(
        self, stream: str = key("log")
    ) -> list[tuple[str, list[list[Any]], list[bytes]]]:
        """The log: id, events, payloads."""
        # through a script: the client's parser makes a dict of the fields and loses payloads
        found = await self.redis.eval("return redis.call('XRANGE', KEYS[1], '-', '+')", 1, stream)
        parsed = []
        for entry_id, values in found:
            named = list(zip(values[::2], values[1::2], strict=True))
            (events,) = [unpack(value) for name, value in named if name == b"e"]
            parsed.append((entry_id.decode(), events, [v for name, v in named if name == b"p"]))
        return parsed

    async def events(self, *kinds: str) -> list[list[Any]]:
        every = [event for _, events, _ in await self.entries() for event in events]
        return [event for event in every if not kinds or event[0] in kinds]

    async def dump(self) -> dict[str, Any]:
        """Everything the server holds, as values: the same content has more than one DUMP."""
        found: dict[str, Any] = {}
        for one in sorted(await self.redis.keys("*")):
            kind = await self.redis.type(one)
            if kind == b"hash":
                found[one.decode()] = await self.redis.hgetall(one)
            elif kind == b"zset":
                found[one.decode()] = await self.redis.zrange(one, 0, -1, withscores=True)
            else:
                found[one.decode()] = await self.entries(one.decode())
        return found

    async def check(self) -> None:
        """Hold the cell to the first promise, and its log to its pools."""
        pools, holds = await self.unpacked("pools"), await self.unpacked("holds")
        drawn: dict[str, int] = defaultdict(int)
        waiting = set()
        for order_id, hold in holds.items():
            if hold[STATE] == "P":
                waiting |= {order_id} if hold[UNTIL] else set()
                for _, pool, units in hold[DRAWS]:
                    drawn[pool] += units
        told = replay(await self.events())
        for name, pool in pools.items():
            assert pool[GRANTED] + pool[OWED] == pool[AVAILABLE] + pool[HELD] + pool[SOLD], name
            assert min(pool[:5]) >= 0, (name, pool)
            assert pool[HELD] == drawn[name], name
            assert pool[:5] == told[name], (name, pool[:5], told[name])
        assert waiting == set(await self.scores("due"))
        assert all(int(v) > 0 for f, v in (await self.counters()).items() if not f.startswith("m/"))


def world_on(redis: Redis) -> World:
    return World(Cell(redis, CELL, SystemClock()))
