"""One cell on a real server beside its model: how both are called, and what must always hold."""

from collections import Counter
from itertools import product
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant
from redis import Redis
from redis.commands.core import Script

from engine.infra import scripts
from tests.lua import builders
from tests.lua.builders import DATABASE, DAY, KEYS, SEP, key, pack, unpack
from tests.lua.model import GRACE_MS, HOLD_MS, Model, Offer, Source
from tests.lua.readings import LIMITS, LogReader, counted, packed_stage, seen, told
from tests.lua.strategies import CAMPAIGNS, CHANNELS, SKUS

SKU_LIMIT = 4


class Machine(RuleBasedStateMachine):
    """One cell on a real server, and its model."""

    redis: Redis

    def __init__(self) -> None:
        super().__init__()
        self.redis.flushall()
        self.scripts = {n: Script(self.redis, scripts.source(n)) for n in scripts.names()}
        self.epoch = self.numbers = self.version = 0
        self.folded: dict[str, list[int]] = {}
        self.log_says = LogReader()
        self.last = "0-0"
        self.reopen(0)
        self.travel(10_000_000)
        self.model = Model(self.now(), self.now() + 10 * DAY, LIMITS)
        self.current = {"A": "A-0", "B": "B-0"}
        self.send("rule", *self.fixed_rules(), self.campaign("d11"))
        self.put_presale(12 * DAY)
        for pool, units in (("A-0", 10), ("B-0", 3), ("shared", 6)):
            self.change_grant(pool, units)
        self.point()

    def fixed_rules(self) -> list[Any]:
        return [
            builders.channel(name, how, HOLD_MS, GRACE_MS)
            for name, how in (("mall", "gate"), ("shop", "gate"), ("tmall", "external"))
        ]

    def campaign(self, name: str) -> list[Any]:
        self.version += 1
        limits = [[one.scope, "buyer_id", one.most, one.counts] for one in LIMITS[name]]
        balance_by = self.model.balance_by.get(name, 0)
        field, _, body = builders.campaign(
            name, ends_at=self.model.ends_at, limits=limits, balance_by=balance_by
        )
        return [field, self.version, [self.version, *body[1:]]]

    def put_presale(self, ms: int) -> None:
        """From now on, what is reserved on deposit has so long for its balance."""
        self.model.balance_by["pre"] = self.now() + ms if ms else 0
        self.send("rule", self.campaign("pre"))

    # the wire ----------------------------------------------------------------------------

    def send(self, script: str, *claims: Any, argument: str = "0", bodies: int = 0) -> list[Any]:
        arguments = [self.epoch, argument, pack(claims), *[b"{}"] * bodies]
        reply = unpack(self.scripts[script](keys=list(KEYS), args=arguments))
        assert reply[0] == "OK", reply
        return reply[3]

    def now(self) -> int:
        return int(self.redis.hget(key("cell"), "now") or 0)

    def travel(self, ms: int) -> None:
        self.redis.hset(key("cell"), "now", str(self.now() + ms))

    def reopen(self, ms: int) -> list[int]:
        self.epoch += 1
        (closed_at,) = self.send("open", DATABASE, self.last, argument="restoring")
        self.travel(ms)
        self.send("open", DATABASE, self.last, argument="open")
        while self.send("extend", 2)[1]:
            pass
        return [closed_at, self.now()]

    def picked(self, pick: int, wanted: str) -> str:
        """An order in one of these states, as often as it is named; in one of nine cases any.

        S is one that is paid in stages, pending or expired; D one whose deposit is due.
        """
        by_state: dict[str, list[str]] = {}
        for order_id, hold in sorted(self.model.holds.items()):
            by_state.setdefault(hold.state, []).append(order_id)
            if hold.stages and hold.state in "PE":
                by_state.setdefault("S", []).append(order_id)
            if len(hold.stages) > 1 and hold.state == "P":
                by_state.setdefault("D", []).append(order_id)
        states = [state for state in wanted if state in by_state]
        if not states or (pick % 9 == 0 and wanted != "D"):
            return f"o{pick % 41}"
        found = by_state[states[pick % len(states)]]
        return found[pick // len(states) % len(found)]

    def change_grant(self, pool: str, delta: int, skip: int = 0) -> None:
        known = self.model.pools.get(pool)
        seq = (known.seq if known else 0) + 1 + skip
        expected = self.model.grant(pool, seq, delta)
        assert self.send("grant", [pool, seq, delta, "load", "ref"]) == [expected]

    def point(self) -> None:
        """Let every offer draw from the pools that are current now."""
        self.version += 1
        a, b = self.current["A"], self.current["B"]
        sources = {
            "A": [Source(a), Source("shared", 3)],
            "B": [Source(b, 5)],
            "G": [Source(b, 2), Source("shared")],
        }
        bodies = []
        for campaign, channel, sku in product(CAMPAIGNS, CHANNELS, SKUS):
            if (channel, sku) == ("tmall", "G"):
                continue  # sold there, and not known here
            limit = SKU_LIMIT if sku == "A" else 0
            deposit = {"A": 2 + self.version % 2, "G": 1}.get(sku, 0) if campaign == "pre" else 0
            self.model.offers[campaign, channel, sku] = Offer(sources[sku], limit, deposit)
            drawn = [(source.pool, source.cap) for source in sources[sku]]
            more = {"limit": limit, "deposit": deposit, "version": self.version}
            bodies.append(builders.offer(sku, *drawn, of=campaign, channel=channel, **more))
        self.send("rule", *bodies)

    # what must always hold ---------------------------------------------------------------

    def totals(self) -> dict[str, list[int]]:
        return {
            name: [pool.granted, pool.owed, pool.available, pool.held, pool.sold]
            for name, pool in self.model.pools.items()
        }

    def stored(self, name: str) -> dict[str, Any]:
        return {f.decode(): unpack(v) for f, v in self.redis.hgetall(key(name)).items()}

    @invariant()
    def pools_are_sound(self) -> None:
        held: Counter[str] = Counter()
        for hold in self.model.holds.values():
            for draw in hold.draws if hold.state == "P" else ():
                held[draw.pool] += draw.units
        pools = self.stored("pools")
        for name, (granted, owed, available, kept, sold, *_) in pools.items():
            assert granted + owed == available + kept + sold
            assert min(granted, owed, available, kept, sold) >= 0
            assert kept == held[name]
        assert pools == {name: list(vars(pool).values()) for name, pool in self.model.pools.items()}

    def read_log(self) -> None:
        for entry_id, fields in self.redis.xrange(key("log"), "(" + self.last, "+"):
            self.last = entry_id.decode()
            events = unpack(fields[b"e"])
            self.log_says.read(events)
            for pool, moved in builders.replay(events).items():
                before = self.folded.get(pool, [0] * 5)
                self.folded[pool] = [a + b for a, b in zip(before, moved, strict=True)]

    @invariant()
    def the_log_tells_the_pools(self) -> None:
        self.read_log()
        assert {p: v for p, v in self.folded.items() if any(v)} == {
            p: v for p, v in self.totals().items() if any(v)
        }

    @invariant()
    def the_log_tells_the_holds(self) -> None:
        self.read_log()
        for order_id, hold in self.model.holds.items():
            assert self.log_says.of(order_id) == [
                hold.state, hold.pay_by, hold.until, hold.paid,
                [[draw.line, draw.pool, draw.units] for draw in hold.draws],
                [packed_stage(one) for one in hold.stages] if hold.state == "P" else [],
            ], order_id  # fmt: skip

    @invariant()
    def holds_are_as_told(self) -> None:
        assert {i: seen(packed) for i, packed in self.stored("holds").items()} == {
            i: told(hold) for i, hold in self.model.holds.items()
        }
        due = {
            m.decode(): int(at) for m, at in self.redis.zrange(key("due"), 0, -1, withscores=True)
        }
        assert due == {i: h.due for i, h in self.model.holds.items() if h.state == "P" and h.due}
        assert int(self.redis.hget(key("cell"), "accepted") or 0) == self.model.accepted

    @invariant()
    def limits_are_what_the_holds_count(self) -> None:
        expected: Counter[str] = Counter()
        for hold in self.model.counting():
            expected.update(dict(counted(hold, self.model.external)))
        found = {f.decode(): v.decode() for f, v in self.redis.hgetall(key("counters")).items()}
        mine = {f: v for f, v in found.items() if f.startswith("m")}
        assert {f: int(v) for f, v in found.items() if f not in mine} == +expected
        assert mine == {SEP.join(("m", "main", *of)): i for of, i in self.model.newest.items()}
        done = self.redis.zrange(key("done"), 0, -1, withscores=True)
        assert {m.decode().replace(SEP, "/"): int(at) for m, at in done} == self.model.done
