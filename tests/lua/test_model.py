"""Any interleaving of all scripts, against the plain model in `model.py`.

After every step: replies, pools, holds, limits, caps, deadlines as the model has them, and the log
replayed from empty gives the pools.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import precondition, rule, run_state_machine_as_test
from redis import Redis

from tests.lua import builders
from tests.lua.builders import DAY, key, unpack
from tests.lua.machine import Machine
from tests.lua.model import GRACE_MS, HOLD_MS, Ask, Channel, Line
from tests.lua.strategies import (
    SKUS,
    Cut,
    Told,
    asks,
    batches,
    cancels,
    cuts,
    payments,
    picks,
    steps,
    tolds,
)


def has_holds(cell: Machine) -> bool:
    return bool(cell.model.holds)


def has_synced(cell: Machine) -> bool:
    return bool(cell.told)


def has_deposits_due(cell: Machine) -> bool:
    return any(one.state == "P" and len(one.stages) > 1 for one in cell.model.holds.values())


def claim_of(ask: Ask) -> list[Any]:
    return builders.claim(
        ask.order_id,
        *([one.sku, one.units, one.payable, one.on_short] for one in ask.lines),
        fingerprint=ask.fingerprint,
        channel=ask.channel,
        campaign=ask.campaign,
        buyer=ask.buyer,
        settle=ask.settle,
        replace=ask.replace,
        split_from=ask.split_from,
    )


class Cell(Machine):
    """One cell on a real server, and its model: every script is a step."""

    # steps -------------------------------------------------------------------------------

    @rule(batch=batches(st.one_of(asks, asks, asks, cuts)))
    def reserve(self, batch: list[Ask | Cut]) -> None:
        self.take(batch)

    @precondition(has_holds)
    @rule(batch=batches(st.one_of(asks, cuts, cuts)))
    def split(self, batch: list[Ask | Cut]) -> None:
        """Also from what was taken, or split, in the same batch."""
        self.take(batch)

    def take(self, batch: list[Ask | Cut]) -> None:
        claims, expected = [], []
        for one in batch:
            ask = self.ask_of(one) if isinstance(one, Cut) else one
            ask.fingerprint = repr((ask.channel, ask.campaign, ask.buyer, ask.lines))
            claims.append(claim_of(ask))
            expected.append(self.model.reserve(ask))
        assert self.send("reserve", *claims, bodies=len(claims)) == expected

    def put_back(self, batch: list[Ask], age: int) -> None:
        """What the gate accepted a while ago, and Postgres was never told."""
        claims, expected = [], []
        for ask in batch:
            ask.channel, ask.replace, ask.buyer = "mall", 1, ask.buyer or "b1"
            since = self.now() - age
            pay_by = 0 if ask.settle else since + HOLD_MS
            claims.append(builders.promised(claim_of(ask), pay_by, since))
            expected.append(self.model.restore(ask, pay_by, since))
        if claims:
            assert self.send("restore", *claims, bodies=len(claims)) == expected

    def ask_of(self, cut: Cut) -> Ask:
        source = self.picked(cut.source, "PPPPPSSECR")
        of = self.model.holds[source].ask if source in self.model.holds else None
        known = of.lines if of else [Line("A", 1, 1)]
        lines = [Line(known[n % len(known)].sku, units, money) for n, units, money in cut.lines]
        left: Counter[str] = Counter()
        for one in known:
            left[one.sku] += one.units
        if cut.gathered and +left:
            lines = [Line(sku, units, 9 * units) for sku, units in (+left).items()]
        whose = {"channel": "mall", "campaign": "d11", "buyer": "b1"}
        if of:
            whose = {name: getattr(of, name) for name in whose}
        if cut.spoilt:
            whose[cut.spoilt] = {"channel": "shop", "campaign": "", "buyer": "b2"}[cut.spoilt]
        return Ask(cut.order_id, "", **whose, settle="", replace=0, lines=lines, split_from=source)

    @rule(batch=batches(tolds))
    def sync(self, batch: list[Told]) -> None:
        self.tell("sync", batch)

    @precondition(has_synced)
    @rule(batch=batches(tolds), ahead=st.lists(steps, min_size=4, max_size=4))
    def sync_again(self, batch: list[Told], ahead: list[tuple[int, int, int, int]]) -> None:
        """Of orders that are known: a little newer or older, changed or as it was."""
        known = sorted(self.told)
        for told, (pick, newer, further, change) in zip(batch, ahead, strict=False):
            before = self.told[known[pick % len(known)]]
            told.order, told.channel = before.order, before.channel
            if before.version.isdecimal():
                told.version = str(max(0, int(before.version) + newer))
            told.progress = min(5, max(0, before.progress + further))
            told.campaign, told.buyer = before.campaign, before.buyer
            if change:
                told.lines = before.lines
            if (newer, further) == (0, 0):
                told.progress, told.version = before.progress, before.version
        self.tell("sync", batch)

    @precondition(lambda self: bool(self.recalled))
    @rule(batch=batches(tolds), pick=picks)
    def sync_forgotten(self, batch: list[Told], pick: int) -> None:
        """With what Postgres has of it, or as if it had nothing either."""
        known = sorted(self.recalled)
        for n, one in enumerate(batch):
            one.order, one.channel = known[(pick + n // 2) % len(known)], ""
        self.tell("sync", batch)

    @precondition(lambda self: self.model.channels["shop"].authority == "gate")
    @rule(happens=st.integers(0, 2), batch=batches(tolds))
    def shop_becomes_a_marketplace(self, happens: int, batch: list[Told]) -> None:
        """For good: its orders are taken over one by one, as their snapshots come."""
        if happens == 0:
            self.model.channels["shop"] = Channel("external", "placed", "channel")
            body = builders.channel("shop", "external", HOLD_MS, GRACE_MS, version=2)
            assert self.send("rule", body) == [["SET"]]
            for n, one in enumerate(batch):
                one.order, one.channel = n, ""
            self.tell("sync", batch)

    @rule(ms=st.sampled_from([0, HOLD_MS, HOLD_MS + 1, *[3 * HOLD_MS] * 3, DAY, *[12 * DAY] * 3]))
    def presale_is_put(self, ms: int) -> None:
        self.put_presale(ms)

    @rule(pick=st.integers(0, 20), twice=st.booleans())
    def repeat(self, pick: int, twice: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        """The same order again, as first sent: only what the fingerprint covers counts."""
        known = sorted(i for i, hold in self.model.holds.items() if not hold.version)
        if known:
            ask = self.model.holds[known[pick % len(known)]].ask
            claim = builders.claim(ask.order_id, fingerprint=ask.fingerprint)
            expected = self.model.reserve(ask)
            assert self.send("reserve", *[claim] * (1 + twice), bodies=2) == [expected] * (
                1 + twice
            )

    @precondition(has_holds)
    @rule(batch=batches(payments))
    def confirm(self, batch: list[tuple[int, str, str]]) -> None:
        self.pay("confirm", batch)

    @precondition(has_holds)
    @rule(batch=batches(payments))
    def rehold(self, batch: list[tuple[int, str, str]]) -> None:
        self.pay("rehold", batch)

    @precondition(has_deposits_due)
    @rule(pick=picks, late=st.booleans(), then=st.sampled_from(["due", "whole", ""]))
    def deposit(self, pick: int, late: bool, then: str) -> None:  # noqa: FBT001 - drawn
        """In time or, after all that is due has ended, too late; sometimes the rest at once."""
        order_id = self.picked(pick, "D")
        if late:
            self.deadlines_pass(long=False)
        hold = self.model.holds[order_id]
        for kind in ("due", then) if then else ("due",):
            self.numbers += 1
            amount = hold.due_now if kind == "due" else hold.unpaid
            paid = (order_id, f"d{self.numbers}", amount)
            script = "confirm" if hold.state == "P" else "rehold"
            expected = getattr(self.model, script)(*paid)
            assert self.send(script, builders.payment(*paid)) == [expected]

    def pay(self, script: str, batch: list[tuple[int, str, str]]) -> None:
        sent, expected = [], []
        for pick, payment_id, kind in batch:
            order_id = self.picked(pick, "SSPPECR" if script == "confirm" else "SSEEPCR")
            hold = self.model.holds.get(order_id)
            if hold and hold.version and hold.state == "E":
                continue  # the marketplace's own money is told by its snapshots
            amount = {"nothing": 0, "wrong": 1}.get(kind, 1)
            if hold and kind in {"due", "whole", "total"}:
                due = hold.due_now
                amount = {"due": due, "whole": hold.unpaid, "total": hold.total}[kind]
            sent.append(builders.payment(order_id, payment_id, amount))
            expected.append(getattr(self.model, script)(order_id, payment_id, amount))
        if sent:
            assert self.send(script, *sent) == expected

    @precondition(has_holds)
    @rule(batch=batches(cancels))
    def release(self, batch: list[Any]) -> None:
        expected, sent = [], []
        for pick, cancel_id, parts, duplicate in batch:
            order_id = self.picked(pick, "PPSECR")
            hold = self.model.holds.get(order_id)
            # a returned order is none that the recorder finds twice
            twin = duplicate and not parts and not (hold and "returned" in hold.cancels)
            kind = "duplicate" if twin else "cancel"
            if not parts and hold and hold.state in "PE":
                kind = "refunded" if duplicate else "cancel"
            sent.append(builders.cancel(order_id, cancel_id, *parts, kind=kind))
            asked = {"duplicate": kind == "duplicate", "refunded": kind == "refunded"}
            expected.append(self.model.release(order_id, cancel_id, parts, **asked))
        assert self.send("release", *sent) == expected

    @rule(most=st.integers(1, 4))
    def expire(self, most: int) -> None:
        assert self.send("expire", most) == self.model.expire(most)

    @precondition(has_holds)
    @rule(long=st.booleans())
    def deadlines_pass(self, long: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        """All that was to be paid by now ends; after a while also what waits for its balance."""
        self.time_passes((3 if long else 1) * HOLD_MS + GRACE_MS)
        self.expire(8)
        self.expire(8)

    @rule(ms=st.sampled_from([1, GRACE_MS, HOLD_MS - 1, HOLD_MS, HOLD_MS + GRACE_MS]))
    def time_passes(self, ms: int) -> None:
        self.travel(ms)
        self.model.now += ms

    @rule(most=st.integers(1, 8), days=st.sampled_from([0, 0, 0, 0, 0, 1, 3, 8, 8]))
    def prune(self, most: int, days: int) -> None:
        self.travel(days * DAY)
        self.model.now += days * DAY
        self.forget(most)

    @rule(
        pool=st.sampled_from(["A", "B", "shared"]),
        delta=st.integers(-6, 8),
        skip=st.integers(-1, 1),
    )
    def grant(self, pool: str, delta: int, skip: int) -> None:
        self.change_grant(self.current.get(pool, pool), delta, skip)

    @rule(
        number=st.integers(0, 20),
        back=st.booleans(),
        units=st.integers(-1, 4),
        keep=st.sampled_from([0, 0, 1, 3, 50]),
    )
    def move(self, number: int, back: bool, units: int, keep: int) -> None:  # noqa: FBT001 - drawn
        pair = (self.current["B"], "shared")
        source, target = reversed(pair) if back else pair
        expected = self.model.move(f"m{number}", source, target, units, 0, keep)
        assert self.send("move", [f"m{number}", source, target, units, 0, "", keep]) == [expected]

    @rule(sku=st.sampled_from(["A", "B"]), repoint=st.booleans())
    def pool_ends(self, sku: str, repoint: bool) -> None:  # noqa: FBT001 - drawn
        """Its units go to the shared pool; sometimes its offers learn of it only later."""
        old = self.current[sku]
        self.numbers += 1
        name = f"end-{self.numbers}"
        expected = self.model.move(name, old, "shared", -1, 1)
        assert self.send("move", [name, old, "shared", -1, 1, ""]) == [expected]
        self.current[sku] = f"{sku}-{self.numbers}"
        self.change_grant(self.current[sku], 4)
        if repoint:
            self.point()

    @rule(pick=st.integers(0, 20), again=st.booleans())
    def take_back(self, pick: int, again: bool) -> None:  # noqa: FBT001 - drawn
        sold = sorted(
            i for i, hold in self.model.holds.items()
            if hold.state == "C" and hold.draws and "returned" not in hold.cancels
        )  # fmt: skip
        if sold:
            hold = self.model.holds[sold[pick % len(sold)]]
            parts = [[draw.pool, draw.units] for draw in hold.draws]
            self.numbers += 1
            name = f"r{self.numbers}"
            sent = [[name, hold.ask.order_id, parts]] * (1 + again)
            # what a marketplace no longer wants has gone back with its snapshot
            expected = [self.model.take_back(name, [] if hold.version else parts) for _ in sent]
            if not hold.version:
                hold.cancels.append("returned")
            assert self.send("return", *sent) == expected

    @rule(sku=st.sampled_from(SKUS), on=st.integers(0, 1))
    def pause(self, sku: str, on: int) -> None:
        expected = self.model.pause(sku, on)
        assert self.send("pause", ["main", "sku", sku, on, "me", ""]) == [expected]

    @rule()
    def checkpoint(self) -> None:
        assert self.send("checkpoint", "cp") == [1]
        (entry,) = self.redis.xrevrange(key("log"), count=1)
        (event,) = unpack(entry[1][b"e"])
        assert event[6] == self.model.accepted
        assert {pool: values[:5] for pool, values in event[7]} == self.totals()

    @precondition(lambda self: self.last != "0-0")
    @rule()
    def trim(self) -> None:
        self.send("trim", self.last)

    @rule(
        ms=st.sampled_from([0, 50, HOLD_MS, 5 * HOLD_MS]),
        polite=st.booleans(),
        batch=st.lists(tolds, max_size=3),
        lost=st.lists(asks, max_size=2),
    )
    def falls_and_opens(self, ms: int, polite: bool, batch: list[Told], lost: list[Ask]) -> None:  # noqa: FBT001
        """Sometimes with claims and snapshots that were accepted and not recorded."""

        def judge_again() -> None:
            self.model.now = self.now()
            self.put_back(lost, age=ms)
            self.model.restoring = True
            self.tell("resync", batch)

        if polite:
            self.send("close", "for a while")
        else:
            self.redis.hset(key("cell"), "run_id", "0" * 40)
        closed_at, opened_at = self.reopen(ms, judge_again)
        self.model.opened()
        self.model.extend(closed_at, opened_at)
        self.model.now = opened_at


@pytest.fixture
def cell_class(valkey_url: str) -> Iterator[type[Cell]]:
    with Redis.from_url(valkey_url, protocol=2) as redis:
        before = redis.config_get("appendfsync")["appendfsync"]
        redis.config_set("appendfsync", "no")  # thousands of steps; no power is lost here
        try:
            yield type("Cell", (Cell,), {"redis": redis})
        finally:
            redis.config_set("appendfsync", before)


def run(machine: type[Cell], *, examples: int, steps: int, derandomize: bool) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=derandomize,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # shrinking on a real server takes minutes; add Phase.shrink to look into a failure
            phases=[Phase.generate],
        ),
    )


def test_all_scripts_against_the_model(cell_class: type[Cell]) -> None:
    run(cell_class, examples=150, steps=60, derandomize=True)


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
def test_all_scripts_against_the_model_for_long(cell_class: type[Cell]) -> None:
    run(cell_class, examples=2_000, steps=100, derandomize=False)
