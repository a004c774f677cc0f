"""What waits is listed and tried again by hand; a key sees its channel's orders alone."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from engine.infra.http import keys
from engine.infra.runtime import RUNTIME
from engine.kernel.ids import line_id
from engine.physical import api as physical
from engine.routing.api import waiting
from engine.routing.rules import facts
from engine.routing.service import queue, rejecting
from engine.routing.service.rejecting import Rejection
from engine.routing.service.router import Router
from engine.routing.store import hands
from engine.routing.types.core import Line, Order
from engine.routing.types.queue import Row
from tests.flow.surface import Surface, served
from tests.race.routing import ORDERS


def now():
    return datetime.now(UTC)


QUEUE = "/v1/routing-queue"


class House:
    """Rows as intake and routers write them, of orders of two channels."""

    def __init__(self, surface, pg):
        self.surface, self.pg, self.pool = surface, pg, surface.app[RUNTIME].pool

    async def add(self, order_id, name="NEW", reason="", minutes=0, channel="mall", **more):
        version = await self.pg.fetchval(ORDERS, [order_id], ['[[1, "p", 2]]'])
        await self.pg.execute(
            "UPDATE orders SET channel = $2 WHERE order_id = $1", order_id, channel
        )
        version = await self.pg.fetchval(
            "SELECT xmin::text FROM orders WHERE order_id = $1", order_id
        )
        order = Order(order_id, "main", channel, (), "310104", None, None,
                      (Line(1, "A", "cn", 2),))  # fmt: skip
        row = Row(name, order, version, reason, alarm_at=now() + timedelta(hours=1), **more)
        async with self.pool.acquire() as tx, tx.transaction():
            await queue.put(tx, "main", [row])
        since = now() - timedelta(minutes=minutes)
        await self.pg.execute(
            "UPDATE routing_queue SET since = $2 WHERE order_id = $1", order_id, since
        )

    async def get(self, query="", status=200, path=QUEUE, **more):
        return await self.surface.call("GET", f"{path}{query}", None, status, **more)

    async def ids(self, query="", **more):
        return [one["order_id"] for one in (await self.get(query, **more))["items"]]

    async def retry(self, order_id, status=200, body=None, **more):
        path = f"{QUEUE}/{order_id}/retry"
        return await self.surface.call("POST", path, body or {}, status, **more)

    async def row(self, order_id):
        return await self.pg.fetchrow("SELECT * FROM routing_queue WHERE order_id = $1", order_id)


@asynccontextmanager
async def house_of(settings, database_url, pg):
    async with served(settings, database_url, (keys, physical, waiting), Surface) as surface:
        yield House(surface, pg)


@pytest.fixture
async def house(settings, database_url, pg):
    async with house_of(settings, database_url, pg) as one:
        yield one


async def test_the_longest_waiting_is_first_with_why_and_for_what(house):
    await house.add("o1", "UNFILLABLE", "no_stock", minutes=5)
    await house.add("o2", "MANUAL", "too_many_hops", minutes=90)
    await house.add("o3", minutes=1, due_at=now())
    await house.pg.execute(
        "INSERT INTO queue_waits (tenant, sku, order_id) VALUES ('main', 'A', 'o1')"
    )
    await house.pg.execute("UPDATE routing_queue SET alarm_at = NULL WHERE order_id = 'o2'")
    page = await house.get()
    assert [one["order_id"] for one in page["items"]] == ["o2", "o1", "o3"]
    manual, unfillable, new = page["items"]
    assert (manual["reason"], manual["alarm"], manual["due_at"]) == ("too_many_hops", True, None)
    assert manual["age_seconds"] >= 5400
    assert (unfillable["waits_for"], unfillable["alarm"]) == (["A"], False)
    assert (new["queue"], new["channel"], new["hops"], new["node"]) == ("NEW", "mall", 0, "")
    assert await house.ids("?queue=MANUAL") == ["o2"]
    assert await house.ids("?age_over=240") == ["o2", "o1"]
    assert await house.ids("?age_over=999999") == []


async def test_pages_go_on_where_the_last_one_ended(house):
    for n in range(5):
        await house.add(f"o{n}", minutes=3)
    seen, cursor = [], ""
    while cursor is not None:
        page = await house.get(f"?limit=2{cursor and f'&cursor={cursor}'}")
        seen += [one["order_id"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [f"o{n}" for n in range(5)]


@pytest.mark.parametrize(
    "query", ["?queue=SOMEWHERE", "?age_over=-1", "?age_over=x", "?age_over=999999999",
              "?cursor=abc", "?cursor=Wy0xLCJvMSJd"],
)  # fmt: skip
async def test_what_cannot_be_asked_is_told(house, query):
    assert (await house.get(query, 400))["code"] == "validation_failed"


async def test_a_person_has_it_tried_again_with_nothing_behind_it(house):
    await house.add("o1", "MANUAL", "too_many_hops", minutes=30)
    async with house.pool.acquire() as tx, tx.transaction():
        for n in range(4):
            refused = Rejection("o1", "N", ((1, 2),), "lost", shipment_id=f"o1-s{n}")
            await rejecting.note(tx, "main", [refused], "node", now())
    answer = await house.retry("o1")
    assert answer == {"order_id": "o1", "queue": "NEW", "node": ""}
    row = await house.row("o1")
    assert (row["queue"], row["reason"], row["hops"]) == ("NEW", "", 0)
    assert row["due_at"] <= datetime.now(UTC) + timedelta(seconds=5)
    order = facts.unpack(row["facts"])
    assert (order.hops, [one[1] for one in order.excluded]) == (0, ["N"])
    told = await house.pg.fetchrow("SELECT * FROM events WHERE kind = 'order.retried'")
    assert told["order_id"] == "o1"


async def test_a_node_by_hand_is_asked_whatever_it_refused(house):
    await house.surface.call("PUT", "/v1/nodes/N", {"name": "N"}, 201)
    await house.add("o1", "MANUAL", "designated_node")
    async with house.pool.acquire() as tx, tx.transaction():
        refused = Rejection("o1", "N", ((1, 2),), "lost", shipment_id="o1-s1")
        await rejecting.note(tx, "main", [refused], "node", now())
    await house.retry("o1", body={"node": "N"})
    row = await house.row("o1")
    order = facts.unpack(row["facts"])
    assert (order.excluded, [line.node for line in order.lines]) == ((), ["N"])
    assert (await house.get())["items"][0]["node"] == "N"
    await house.retry("o1")
    assert (await house.row("o1"))["row_version"] == "", "its own node is in its document alone"


async def test_what_cannot_be_tried_is_refused_and_changes_nothing(house):
    await house.add("o1", "MANUAL", "too_many_hops")
    await house.add("o2", "HELD_RISK", "review")
    before = [await house.row("o1"), await house.row("o2")]
    await house.retry("nobody", 404)
    refused = await house.retry("o1", 400, {"node": "nowhere"})
    assert refused["errors"][0]["pointer"] == "/node"
    fields = {"name": "theirs", "controlled_by": "channel"}
    await house.surface.call("PUT", "/v1/nodes/theirs", fields, 201)
    await house.retry("o1", 400, {"node": "theirs"})
    await house.retry("o1", 400, {"nodes": "N"})
    assert "block" in (await house.retry("o2", 409))["detail"]
    assert [await house.row("o1"), await house.row("o2")] == before


async def test_a_router_that_has_it_leased_does_not_bind_it(house):
    await house.add("o1", due_at=now())
    (claimed,), _ = await queue.claim(house.pool, "main", 10)
    await house.retry("o1")
    assert (await house.row("o1"))["token"] != claimed.token


async def test_what_was_cancelled_late_is_tried_again_once_a_person_says_so(house):
    await house.add("o1", due_at=now())
    async with house.pool.acquire() as tx, tx.transaction():
        await hands.hold(tx, "main", ["o1"], "cancelled_late", "node")
    assert await house.ids("?queue=MANUAL") == ["o1"]
    await house.retry("o1")
    async with house.pool.acquire() as tx, tx.transaction():
        assert (await rejecting.in_hand(tx, ["o1"]))["o1"].hold == ""
    assert (await house.row("o1"))["queue"] == "NEW"


async def test_a_bound_key_sees_its_channel_alone(house):
    await house.add("o1", "MANUAL", "x")
    await house.add("o2", "MANUAL", "x", channel="other")
    for n in (1, 2):
        await house.pg.execute(
            "INSERT INTO broken_promises (tenant, order_id, line_no, sku, node_group, units,"
            " reason, since) VALUES ('main', $1, 1, 'A', 'cn', 2, 'no_stock', now())", f"o{n}",
        )  # fmt: skip
    body = {"name": "k", "scopes": ["orders:read", "orders:write"], "channel": "mall"}
    key = (await house.surface.call("POST", "/v1/keys", body, 201))["key"]
    for path in (QUEUE, "/v1/broken-promises"):
        assert await house.ids(path=path) == ["o1", "o2"]
        assert await house.ids("?channel=other", path=path) == ["o2"]
        assert await house.ids(path=path, key=key) == ["o1"]
    await house.retry("o2", 404, key=key)
    assert (await house.row("o2"))["queue"] == "MANUAL"
    await house.retry("o1", key=key)


async def test_open_promises_are_listed_by_page(house):
    for n in range(3):
        await house.add(f"o{n}")
        for line in (1, 2):
            await house.pg.execute(
                "INSERT INTO broken_promises (tenant, order_id, line_no, sku, node_group, units,"
                " reason, since, until) VALUES ('main', $1, $2, 'A', 'cn', 2, 'no_stock', now(),"
                " CASE WHEN $2 = 2 AND $1 = 'o1' THEN now() END)", f"o{n}", line,
            )  # fmt: skip
    seen, cursor = [], ""
    while cursor is not None:
        page = await house.get(
            f"?limit=2{cursor and f'&cursor={cursor}'}", path="/v1/broken-promises"
        )
        seen += [one["line_id"] for one in page["items"]]
        cursor = page["next_cursor"]
    wanted = [("o0", 1), ("o0", 2), ("o1", 1), ("o2", 1), ("o2", 2)]
    assert seen == [line_id(*one) for one in wanted]


async def test_what_was_decided_long_ago_is_forgotten(house):
    await house.pg.execute(
        "INSERT INTO routing_decisions (order_id, n, tenant, at, plan, version, stage, rule,"
        " verdict, queue, reason, snapshot_hash, inputs, trace) SELECT 'o1', n, 'main',"
        " now() - n * interval '10 days', 'p', 1, 1, 1, 'routed', '', '', 0, '', ''"
        " FROM generate_series(1, 6) AS n"
    )

    async def no_plan(_db, _tenant):
        return None

    clock = house.surface.app[RUNTIME].clock
    router = Router(house.pool, "main", clock, no_plan, keep=timedelta(days=25))
    await router.chores()
    left = await house.pg.fetch("SELECT n FROM routing_decisions ORDER BY n")
    assert [row["n"] for row in left] == [1, 2]
