"""What marketplaces sold beyond stock is owed, named, and repaid however units come free."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from engine.infra import keys
from engine.infra.log import Entry
from tests.conftest import eventually
from tests.fault.books import Books, compare
from tests.fault.buyers import QUICK
from tests.fault.engines import CHANNEL, certificate, house
from tests.fault.engines import id_of as gate_id
from tests.fault.marketplace import (
    TMALL,
    line,
    open_shops,
    pools_of,
    recorded,
    share,
    snapshot,
    sync,
    synced,
)
from tests.fault.marketplace import id_of as synced_id
from tests.fault.proxy import in_front_of

SHOPS = ({"channel": TMALL}, {"channel": CHANNEL, "authority": "gate"})


async def units(api):
    """Units of all pools: granted, owed, available, held, sold."""
    return [sum(column) for column in zip(*(await pools_of(api)).values(), strict=True)]


async def orders(api):
    rows = await api.process.pool.fetch(
        "SELECT channel_order_id, version, stock_state FROM orders ORDER BY channel_order_id"
    )
    return [tuple(row) for row in rows]


async def sold_out_campaign(api, *, ends_in_s):
    """A campaign whose only channel is a marketplace, which sells three units more than it has."""
    await open_shops(api, SHOPS, A=0)
    now = datetime.now(UTC)
    campaign = {
        "name": "Sale",
        "starts_at": (now - timedelta(hours=1)).isoformat(),
        "ends_at": (now + timedelta(seconds=ends_in_s)).isoformat(),
        "channels": [TMALL],
        "skus": [{"sku": "A", "quota": {TMALL: 5}}],
    }
    answer = await api.call("PUT", "/v1/campaigns/sale", campaign)
    assert answer.status == 201, answer.document

    async def granted():
        return (await units(api))[0] == 5

    await eventually(granted, within_s=10)
    (told,) = await sync(api, snapshot("t1", 1, "paid", line("A", 8), campaign="sale"))
    assert [one["quantity"] for one in told["short"]] == [3]


async def ended(api):
    """Wait until the campaign's pool has passed its units to the shared pool."""

    async def passed():
        packed = await api.cell.redis.hvals(keys.of(api.cell.id, "pools"))
        return any(msgspec.msgpack.decode(one)[7] for one in packed)

    await eventually(passed, within_s=20)
    await recorded(api)


async def repaid(api):
    await recorded(api)
    assert (await units(api))[1] == 0, await pools_of(api)
    assert await orders(api) == [("t1", "1", "committed")]
    assert await api.process.pool.fetchval("SELECT count(*) FROM shorts") == 0
    await certificate(api)


async def test_a_grant_repays_what_a_campaign_owed_that_has_ended(house_of_two):
    _, api, _ = house_of_two
    await sold_out_campaign(api, ends_in_s=2)
    await ended(api)
    await share(api, "A", 10)
    await repaid(api)


async def test_what_is_free_when_a_campaign_ends_repays_what_it_owed(house_of_two):
    """Its successor has the units, and would sell them on while the order waits."""
    _, api, _ = house_of_two
    await sold_out_campaign(api, ends_in_s=3)
    await share(api, "A", 10)
    assert (await units(api))[1] == 3
    await ended(api)
    await repaid(api)


async def test_a_move_to_the_pool_that_owes_repays(house_of_two):
    _, api, _ = house_of_two
    await sold_out_campaign(api, ends_in_s=3_600)
    await share(api, "A", 10)
    body = {
        "move_id": "m", "sku": "A", "units": 4, "from": {},
        "to": {"channel": TMALL, "campaign": "sale"},
    }  # fmt: skip
    answer = await api.call("POST", "/v1/pools:move", body)
    assert answer.status == 200, answer.document
    await repaid(api)
    assert (await units(api))[2] == 7


async def agree(api, books):
    """Hold Postgres against the log, and the cell against both."""
    await recorded(api)
    async with api.process.pool.acquire() as connection:
        assert await compare(connection, books, api.cell.redis) == []
    assert books.faults == []
    await certificate(api)


@pytest.fixture
async def six_short(house_of_two):
    """The mall has 4 units, a quick channel 2, the marketplace 4, and 12 that nobody has.

    Of its orders t1 to t6 the later ones were placed earlier.
    """
    _, api, other = house_of_two
    quick = {"channel": QUICK, "authority": "gate", "hold_seconds": 2, "grace_seconds": 0}
    await open_shops(api, (*SHOPS, quick), A=10)
    for number, more in ("m1", {}), ("m2", {}), ("q1", {"channel": QUICK}):
        assert (await api.buy(number, ("A", 2), campaign="", **more)).status == 202
    assert (await api.pay(gate_id("m2"), "p", 200)).document["state"] == "applied"
    first = snapshot("t0", 1, "paid", line("A", 4))
    late = [
        snapshot(f"t{n}", 1, "paid", line("A", 2), placed_at=f"2026-11-10T{23 - n}:00:00Z")
        for n in range(1, 7)
    ]
    assert await synced(other, first, *late) == ["created"] * 7
    books = Books()
    await agree(api, books)
    assert sorted(books.owed().values()) == [2] * 6
    return api, other, books


async def test_however_units_come_free_who_placed_his_order_first_is_repaid(six_short):
    api, other, books = six_short

    async def left(count):
        async def so_many():
            return await api.process.pool.fetchval("SELECT count(*) FROM shorts") == count

        await eventually(so_many, within_s=10)
        await agree(api, books)
        short = [number for number, _, state in await orders(api) if state == "short"]
        assert short == [f"t{n}" for n in range(1, count + 1)], "the last ones were placed first"

    await left(5)  # the quick channel's hold has ended
    assert (await api.cancel(gate_id("m1"), "c")).status == 200
    await left(4)
    assert (await other.cancel(gate_id("m2"), "c")).status == 200
    await left(3)
    await synced(other, snapshot("t0", 2, "paid", line("A", 4, refunded_quantity=2)))
    await left(2)
    await share(api, "A", 12)
    await left(1)
    await move_in(api, 2)
    await left(0)
    ways = ("Expired", "Released", "Returned", "Synced", "Granted", "Moved")
    assert books.repaid_by == dict.fromkeys(ways, 2)
    assert books.asked_for == {"before": 6}


async def move_in(api, count):
    """Grant units to the mall alone, and move them to the pool that all share."""
    before = await api.call("GET", "/v1/supply-policies/A")
    body = {
        "sku": "A",
        "shared": before.document["shared"],
        "channels": [{"channel": CHANNEL, "quota": count}, {"channel": TMALL}, {"channel": QUICK}],
    }
    answer = await api.call("PUT", "/v1/supply-policies/A", body, If_Match=before.headers["ETag"])
    assert answer.status == 200, answer.document
    body = {"move_id": "m", "sku": "A", "units": count, "from": {"channel": CHANNEL}, "to": {}}

    async def moved():
        answer = await api.call("POST", "/v1/pools:move", body)
        assert answer.status == 200, answer.document
        return True

    await eventually(moved, within_s=10)


async def test_the_books_see_what_is_wrong(house_of_two):
    """A control: who is owed what is tampered with, and comparing says so."""
    _, api, _ = house_of_two
    await open_shops(api, SHOPS, A=1)
    books = Books()
    assert await synced(api, snapshot("t1", 1, "paid", line("A", 3))) == ["created"]
    await agree(api, books)
    async with api.process.pool.acquire() as connection:
        await connection.execute("UPDATE shorts SET units = 1")
        (wrong,) = await compare(connection, books, api.cell.redis)
    assert "shorts differ" in wrong
    beside = Books(together=frozenset({"p1", "p9"}))
    await beside.read(api.cell.redis)
    for pool in ("p1", "p9"):
        grant = ["G", pool, 0, [[pool, 1, 0, 1, 0, 0]], 9, 1, 1, "", ""]
        packed = msgspec.msgpack.encode([grant])
        beside.add(Entry("9999999999999-1", b"1", packed, []))
    beside.fold()
    assert [one.partition(": ")[2] for one in beside.faults] == [
        "p1 owes 2 and has 1 free",
        "['p1'] have units free, beside {'p1': [2, 2, 1, 0, 3]}",
        "['p1', 'p9'] have units free, beside {'p1': [2, 2, 1, 0, 3], 'p9': [1, 0, 1, 0, 0]}",
    ]


async def test_an_order_that_wants_less_is_owed_less_before_others_are_repaid(house_of_two):
    _, api, _ = house_of_two
    await open_shops(api, SHOPS, A=1)
    books = Books()
    early = snapshot("t2", 1, "unpaid", line("A", 2), placed_at="2026-11-10T11:00:00Z")
    assert await synced(api, snapshot("t1", 1, "unpaid", line("A", 3)), early) == ["created"] * 2
    await agree(api, books)
    assert books.owed() == {("p1", synced_id("t1")): 2, ("p1", synced_id("t2")): 2}
    fewer = snapshot("t1", 2, "paid", line("A", 3, refunded_quantity=1))
    assert await synced(api, fewer) == ["updated"]
    await agree(api, books)
    assert books.owed() == {("p1", synced_id("t1")): 1, ("p1", synced_id("t2")): 2}
    assert await synced(api, snapshot("t1", 3, "closed", line("A", 3))) == ["updated"]
    await agree(api, books)
    assert books.owed() == {("p1", synced_id("t2")): 1}
    assert await synced(api, snapshot("t2", 2, "closed", line("A", 2))) == ["updated"]
    await agree(api, books)
    assert books.owed() == {}
    assert await orders(api) == [("t1", "3", "released"), ("t2", "2", "released")]


async def test_an_order_that_we_end_ourselves_is_owed_nothing_any_more(house_of_two):
    """Its channel leaves the deadline to us."""
    _, api, _ = house_of_two
    ours = {"channel": TMALL, "expires_by": "us", "hold_seconds": 2, "grace_seconds": 0}
    await open_shops(api, (ours,), A=1)
    books = Books()
    now = datetime.now(UTC).isoformat()
    told = [
        snapshot("t1", 1, "unpaid", line("A", 3), placed_at=now),
        snapshot("t2", 1, "paid", line("A", 1), placed_at=now),
    ]
    assert await synced(api, *told) == ["created"] * 2
    await agree(api, books)

    async def over():
        return (await orders(api))[0][2] == "released"

    await eventually(over, within_s=10)
    await agree(api, books)
    assert await orders(api) == [("t1", "1", "released"), ("t2", "1", "committed")]
    assert await units(api) == [1, 0, 0, 0, 1]


async def test_while_postgres_is_away_only_orders_of_long_ago_have_to_wait(settings):
    """Only of those Postgres is asked what they were: it does not concern their neighbours."""
    async with in_front_of(settings.database_url) as proxy, house(settings) as here:
        await here.worker()
        api = await here.api(database_url=proxy.url(settings.database_url))
        await open_shops(api, SHOPS, A=10)
        now = datetime.now(UTC)
        old = snapshot("old", 1, "paid", placed_at=(now - timedelta(days=9)).isoformat())
        new = [snapshot(f"t{n}", 1, "paid", placed_at=now.isoformat()) for n in (1, 2)]
        proxy.lose_request = lambda _: True
        assert await synced(api, *new[:1]) == ["created"]
        answer = await api.call("POST", "/v1/orders:sync", {"orders": [new[0], old, new[1]]})
        assert answer.status == 200, answer.document
        told = [(one["status"], one.get("result")) for one in answer.document["results"]]
        assert told == [(200, "unchanged"), (503, None), (200, "created")]
