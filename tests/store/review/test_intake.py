"""Orders that events hint at are judged as they stand, once, and handed on."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from engine.infra import postgres
from engine.infra.runtime import Runtime
from engine.infra.versioned import Match
from engine.kernel import codec
from engine.review.service import documents
from engine.review.service.intake import Intake
from engine.review.types.documents import ReviewFields
from engine.review.types.judging import Demand
from tests.conftest import eventually

T0 = datetime(2026, 11, 11, tzinfo=UTC)
RISK = {"name": "risk", "when": "risk >= 80", "reason": "risk score"}
POOL = """
INSERT INTO pools (pool_id, cell, tenant, owner, sku, node_group) VALUES ($1, '1', $2, '', $1, $3)
"""
ORDER = """
INSERT INTO orders (
  order_id, cell, tenant, channel, channel_order_id, campaign, buyer_id, kind, state, payment_state,
  stock_state, fulfilment_state, currency, payable, attempt, fingerprint, placed_at, accepted_at,
  log_id, actor, draws, counters, document
) VALUES (
  $1, '1', 'main', 'mall', $1, '', '', 'sale', $2, 'paid', 'committed', 'unrouted', 'CNY', 300,
  1, '', $3, $3, '1-0', 'k', '[[1, "p", 3], [2, "q", 2]]', '[]', $4
)
"""
LINES = """
INSERT INTO order_lines (order_id, line_no, sku, quantity, open_quantity, payable)
VALUES ($1, 1, 'A', 3, 3, 200), ($1, 2, 'B', 2, 2, 100)
"""
PAYMENT = """
INSERT INTO payments (order_id, payment_id, state, amount, currency, method, stage, paid_at)
VALUES ($1, 'p1', 'applied', 300, 'CNY', 'alipay', 'full', $2)
"""
CHANNEL = """
INSERT INTO channels (tenant, channel, version, document, actor) VALUES ('main', 'mall', 1, $1, '')
"""
SHIPMENT = """
INSERT INTO shipments (
  shipment_id, tenant, order_id, node, attempt, consignment_id, mode, lines, state, state_at
) VALUES ($1 || '-s1', 'main', $1, 'N', 1, $1 || '-s1', 'ship', '[[1, "A", 2, 1]]', 'sent', now())
"""
EVENT = "INSERT INTO events (at, kind, order_id, actor, data) VALUES (now(), $1, $2, $3, $4)"


class Clock:
    def __init__(self):
        self.at = T0

    def now_ms(self):
        return round(self.at.timestamp() * 1_000)

    def monotonic(self):
        return 0.0


class Desk:
    """An intake whose queue is a list, over one channel that lets orders cool off for a minute."""

    def __init__(self, runtime, pg):
        self.runtime, self.pg, self.clock, self.active = runtime, pg, runtime.clock, True
        self.handed, self.fails_for = [], ""
        self.intake = Intake(runtime, "main", self._enqueue, self.decides)

    async def _enqueue(self, _tx, tenant, judged):
        assert tenant == "main"
        if any(one.order.subject.order_id == self.fails_for for one in judged):
            raise ValueError("what nobody foresaw")
        self.handed += judged

    async def decides(self, _tx, _tenant):
        return self.active

    async def order(self, order_id, risk=0, state="open"):
        document = msgspec.json.encode({"channel": "mall", "extensions": {"risk": risk}}).decode()
        await self.pg.execute(ORDER, order_id, state, self.clock.at, document)
        await self.pg.execute(LINES, order_id)
        await self.pg.execute(PAYMENT, order_id, self.clock.at)

    async def look(self, kind="order.paid", order_id="o", actor="", **data):
        """Hint at an order, and return what was handed on by the time that the hint was read."""
        self.handed.clear()
        told = codec.encode(data).decode()
        wanted = await self.pg.fetchval(
            f"{EVENT} RETURNING xid::text::bigint", kind, order_id, actor, told
        )

        async def read():
            await self.intake.look()
            at = await self.pg.fetchval(
                "SELECT max(xid::text::bigint) FROM event_cursors WHERE reader = 'fulfilment'"
            )
            return (at or 0) >= wanted

        await eventually(read)
        last = {one.order.subject.order_id: one.verdict for one in self.handed}
        return [(order, verdict.kind, verdict.code) for order, verdict in sorted(last.items())]

    async def rules(self, *rules):
        fields = codec.typed({"rules": list(rules)}, ReviewFields)
        await documents.put(self.runtime, "main", fields, Match(), "admin")

    async def blocks(self):
        rows = await self.pg.fetch("SELECT order_id, code, until FROM blocks ORDER BY 1, 2")
        return [tuple(row) for row in rows]

    async def reviews(self):
        rows = await self.pg.fetch(
            "SELECT revision, verdict, rule, rules_version, released_by FROM reviews ORDER BY 1"
        )
        return [tuple(row) for row in rows]


@pytest.fixture
async def desk(settings, database_url, pg):
    await pg.execute(CHANNEL, '{"name": "m", "authority": "external", "cool_off_seconds": 60}')
    await pg.execute(POOL, "p", "main", "main")
    await pg.execute(POOL, "q", "main", "east")
    async with await postgres.open_pool(database_url) as pool:
        runtime = Runtime(settings=settings, clock=Clock(), pool=pool, cell=None, process="test")
        yield Desk(runtime, pg)


async def test_a_paid_order_cools_off_and_is_ready_then(desk):
    await desk.order("o")
    assert await desk.look() == [("o", "waits", "cool_off")]
    assert await desk.blocks() == [("o", "cool_off", T0 + timedelta(seconds=60))]
    (judged,) = desk.handed
    assert judged.verdict.until == desk.clock.now_ms() + 60_000
    assert judged.order.subject.demand == (Demand(1, "A", "main", 3), Demand(2, "B", "east", 2))
    assert await desk.reviews() == [(1, "approve", "", 0, "")]
    assert await desk.look() == [("o", "waits", "cool_off")], "and nothing new is written"
    kinds = await desk.pg.fetch("SELECT kind FROM events WHERE actor = 'review' ORDER BY id")
    assert [row["kind"] for row in kinds] == ["order.blocked", "order.reviewed"]
    desk.clock.at += timedelta(seconds=60)
    assert await desk.look() == [("o", "ready", "")]


async def test_what_rules_hold_waits_until_a_person_lets_it_pass(desk):
    desk.clock.at += timedelta(seconds=120)
    await desk.rules(RISK)
    await desk.order("o", risk=80)
    desk.clock.at += timedelta(seconds=60)
    assert await desk.look() == [("o", "blocked", "review")]
    assert await desk.reviews() == [(1, "block", "risk", 1, "")]
    await desk.pg.execute("DELETE FROM blocks")
    assert await desk.look("order.unblocked", actor="key-7", code="review") == [("o", "ready", "")]
    assert await desk.reviews() == [(1, "block", "risk", 1, "key-7")]
    await desk.pg.execute("UPDATE orders SET payable = 250")
    assert await desk.look() == [("o", "ready", "")]
    assert [one[:3] for one in await desk.reviews()] == [
        (1, "block", "risk"),
        (2, "approve", "risk"),
    ]


async def test_another_address_is_judged_again(desk):
    desk.clock.at += timedelta(seconds=120)
    await desk.rules({"name": "far", "when": 'province == "西藏"', "reason": "far"})
    await desk.order("o")
    desk.clock.at += timedelta(seconds=60)
    assert await desk.look() == [("o", "ready", "")]
    await desk.pg.execute(
        "INSERT INTO order_addresses VALUES"
        " ('o', 2, '{\"province\": \"西藏\"}', '', 'c', 'applied', 'k', now())"
    )
    assert await desk.look("order.address_changed") == [("o", "blocked", "review")]


async def test_what_shipments_have_is_not_asked_for_again(desk):
    await desk.order("o")
    await desk.pg.execute(SHIPMENT, "o")
    await desk.look()
    assert desk.handed[0].order.subject.demand == (
        Demand(1, "A", "main", 1), Demand(2, "B", "east", 2),
    )  # fmt: skip


async def test_what_is_not_ours_to_send_is_handed_on_as_nothing(desk):
    await desk.order("o", risk=99, state="cancelled")
    await desk.rules(RISK)
    assert await desk.look("order.cancelled") == [("o", "none", "")]
    assert (await desk.blocks(), await desk.reviews()) == ([], [])


async def test_without_an_active_plan_nothing_is_written(desk):
    desk.active = False
    await desk.order("o")
    assert await desk.look() == []
    assert (await desk.blocks(), await desk.reviews()) == ([], [])


async def test_a_plan_that_is_activated_finds_the_orders_that_were_there(desk):
    desk.active = False
    for n in range(3):
        await desk.order(f"o{n}")
        await desk.look(order_id=f"o{n}")
    desk.active = True
    found = await desk.look("plan.activated", "", tenant="main", plan="p", version=1)
    assert sorted(one[0] for one in found) == ["o0", "o1", "o2"]
    await desk.intake.look()
    assert await desk.pg.fetch("SELECT FROM review_sweeps") == []


async def test_a_transaction_that_fails_leaves_the_hint(desk):
    await desk.order("o")

    async def fail(_tx, _tenant, _judged):
        raise RuntimeError("the queue is away")

    broken = Intake(desk.runtime, "main", fail, desk.decides)
    await desk.pg.execute(EVENT, "order.paid", "o", "", "{}")

    async def failed():
        try:
            await broken.look()
        except RuntimeError:
            return True
        return False

    await eventually(failed)
    assert (await desk.blocks(), await desk.reviews()) == ([], [])
    assert await desk.look("stock.counted", "") == [("o", "waits", "cool_off")]


async def test_what_was_said_long_ago_is_forgotten_but_the_last_word_on_what_is_still_to_be_sent(
    desk,
):
    desk.clock.at += timedelta(seconds=120)
    await desk.rules(RISK)
    for name, ended in (
        ("waits", ("open", "routed")), ("sent", ("open", "delivered")),
        ("gone", ("cancelled", "unrouted")),
    ):  # fmt: skip
        await desk.order(name, risk=80)
        await desk.look(order_id=name)
        await desk.pg.execute(
            "UPDATE orders SET state = $2, fulfilment_state = $3 WHERE order_id = $1", name, *ended
        )
    await desk.pg.execute("DELETE FROM blocks")
    await desk.pg.execute("UPDATE orders SET payable = 250 WHERE order_id = 'waits'")
    await desk.look("order.unblocked", order_id="waits", actor="key-7", code="review")

    async def left():
        rows = await desk.pg.fetch("SELECT order_id, revision FROM reviews ORDER BY 1, 2")
        return [tuple(row) for row in rows]

    every = [("gone", 1), ("sent", 1), ("waits", 1), ("waits", 2)]
    assert await left() == every
    desk.clock.at += timedelta(days=30)
    assert await desk.intake.forget() == 0, "the last ones are of within thirty days"
    desk.clock.at += timedelta(minutes=1)
    assert await desk.intake.forget() == 3
    assert await left() == [("waits", 2)]
    await desk.pg.execute("UPDATE orders SET fulfilment_state = 'unrouted'")
    assert await desk.look(order_id="waits") == [("waits", "ready", "")], "it is not held again"


async def test_an_order_that_cannot_be_judged_holds_back_no_other(desk):
    """And it waits for a person; once it can be judged, it goes on."""
    await desk.order("o1")
    await desk.order("o2")
    desk.fails_for = "o1"
    await desk.pg.execute(EVENT, "order.paid", "o1", "", "{}")
    assert ("o2", "waits", "cool_off") in await desk.look(order_id="o2")
    assert ("o1", "unjudged", None) in await desk.blocks()
    desk.fails_for = ""
    await desk.pg.execute("DELETE FROM blocks WHERE order_id = 'o1'")
    found = await desk.look("order.unblocked", "o1", code="unjudged")
    assert ("o1", "waits", "cool_off") in found
