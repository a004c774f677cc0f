"""One cell on a real server beside its model: how both are called, and what must always hold."""

from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant
from redis import Redis
from redis.commands.core import Script

from engine.infra import scripts
from tests.lua import builders
from tests.lua.builders import DATABASE, DAY, KEYS, SEP, key, pack, unpack
from tests.lua.marketplace import snap
from tests.lua.model import GRACE_MS, HOLD_MS, Channel, Line, Model, Offer, Snap, Source
from tests.lua.readings import LIMITS, LogReader, counted, packed_stage, seen, told
from tests.lua.strategies import CAMPAIGNS, CHANNELS, SKUS, Told

SKU_LIMIT = 4
AUTHORITIES = {
    "mall": Channel(),
    "shop": Channel(),
    "tmall": Channel("external", "placed", "us"),
    "jd": Channel("external", "paid", "channel"),
    "book": Channel("record"),
}


def as_list(packed: Any) -> list[Any]:
    """A hold; one that was paid by the other way has holes, and comes as a map."""
    if isinstance(packed, dict):
        return [packed.get(n) for n in range(1, max(packed) + 1)]
    return packed


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
        self.recalled: dict[str, list[Any]] = {}
        self.told: dict[str, Told] = {}
        self.model.channels = dict(AUTHORITIES)
        self.send("rule", *self.fixed_rules(), self.campaign("d11"))
        self.put_presale(12 * DAY)
        for pool, units in (("A-0", 8), ("B-0", 3), ("shared", 4)):
            self.change_grant(pool, units)
        self.point()

    def fixed_rules(self) -> list[Any]:
        return [
            builders.channel(
                name, one.authority, HOLD_MS, GRACE_MS, {}, one.counts_at, one.expires_by
            )
            for name, one in AUTHORITIES.items()
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
        sent, payloads = list(claims), [b"{}"] * bodies
        if script == "reserve":
            sent, payloads = builders.asked(sent, payloads[: len(sent)])
        arguments = [self.epoch, argument, pack(sent), *payloads]
        reply = unpack(self.scripts[script](keys=list(KEYS), args=arguments))
        assert reply[0] == "OK", reply
        return reply[3]

    def now(self) -> int:
        return int(self.redis.hget(key("cell"), "now") or 0)

    def travel(self, ms: int) -> None:
        self.redis.hset(key("cell"), "now", str(self.now() + ms))

    def reopen(self, ms: int, before_opening: Callable[[], None] = lambda: None) -> list[int]:
        self.epoch += 1
        (closed_at,) = self.send("open", DATABASE, self.last, argument="restoring")
        self.travel(ms)
        before_opening()
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

    def snap_of(self, told: Told) -> Snap:
        order_id = str(told.order)
        if isinstance(told.order, int):
            order_id = self.asked_for(told.order) or f"x{told.order % 16}"
        own = ["tmall", "jd", "tmall", "book", "shop", "tmall"][sum(map(ord, order_id)) % 6]
        known = self.model.holds.get(order_id) or self.model.forgotten.get(order_id)
        channel = told.channel or (known.ask.channel if known else own)
        state = "PCCCCR"[told.progress]
        if told.progress == len("PCCCC") and told.shipped:
            state = "C"
        lines = [Line(sku, units, 7 * units) for sku, units, _ in told.lines]
        print_ = repr((told.progress, told.lines, told.campaign, told.buyer))
        return Snap(
            order_id, print_, told.version, state, told.progress, channel, told.campaign,
            told.buyer, max(0, self.now() - told.age), lines, [name for *_, name in told.lines],
            told.recalled,
        )  # fmt: skip

    def asked_for(self, pick: int) -> str:
        """An order that the shop was asked for, once it is a marketplace; mostly one that waits."""
        found = [
            (hold.state != "P" and pick % 3 > 0, order_id)
            for order_id, hold in self.model.holds.items()
            if hold.ask.channel == "shop" and not hold.version
        ]
        gate = self.model.channels["shop"].authority == "gate"
        return "" if gate or not found else sorted(found)[pick % len(found) // 2][1]

    def tell(self, script: str, batch: list[Told]) -> None:
        snaps = [self.snap_of(one) for one in batch]
        for wish, one in zip(batch, snaps, strict=True):
            wish.order, wish.channel = one.order_id, one.channel
            if self.model.channels.get(one.channel, Channel()).authority != "gate":
                self.told[one.order_id] = wish
        revived = {one.order_id for one in snaps if one.recalled}
        sent, expected = [], []
        for one in snaps:
            of = one.order_id
            known = self.model.holds.get(of) or self.model.forgotten.get(of)
            if known and "returned" in known.cancels:
                continue  # what was shipped and sent back is not sold again
            one.recalled = one.order_id in revived
            lines = [
                [line.sku, line.units, line.payable, "", name]
                for line, name in zip(one.lines, one.names, strict=True)
            ]
            sent.append(
                snap(
                    one.order_id, one.version, one.progress, *lines, state=one.state,
                    fingerprint=one.fingerprint, channel=one.channel, campaign=one.campaign,
                    buyer=one.buyer, placed_at=one.placed_at,
                    recalled=self.recalled.get(one.order_id, []) if one.recalled else [],
                )
            )  # fmt: skip
            expected.append(self.model.sync(one))
        if sent:
            assert self.send(script, *sent, bodies=len(sent)) == expected

    def forget(self, most: int) -> None:
        holds = self.stored("holds")
        assert self.send("prune", most) == self.model.prune(most)
        for order_id in holds.keys() - self.model.holds.keys():
            if self.model.forgotten[order_id].version:
                self.recalled[order_id] = as_list(holds[order_id])
            else:
                del self.model.forgotten[order_id]

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
            if (channel, sku) in {("tmall", "G"), ("book", "B")}:
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
        known = {name: [*values, [], 0][:10] for name, values in pools.items()}
        assert known == {name: list(vars(pool).values()) for name, pool in self.model.pools.items()}

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
        assert {i: seen(as_list(packed)) for i, packed in self.stored("holds").items()} == {
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
            expected.update(dict(counted(hold)))
        found = {f.decode(): v.decode() for f, v in self.redis.hgetall(key("counters")).items()}
        mine = {f: v for f, v in found.items() if f.startswith("m")}
        now = {f: int(v) for f, v in found.items() if f not in mine}
        assert now == +expected, (now, expected)
        assert mine == {SEP.join(("m", "main", *of)): i for of, i in self.model.newest.items()}
        done = self.redis.zrange(key("done"), 0, -1, withscores=True)
        assert {m.decode().replace(SEP, "/"): int(at) for m, at in done} == self.model.done
