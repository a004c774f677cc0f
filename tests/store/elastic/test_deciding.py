"""A look at the pools: what it reads, what it notes, and what it decides once."""

import msgspec
import pytest

from engine.elastic.service.carrying import carry_out
from engine.elastic.service.deciding import Position, decide
from engine.infra import postgres
from engine.kernel.errors import Closed, InConflict

SALE = {
    "name": "Sale", "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2126-01-01T00:00:00Z",
    "channels": ["mall", "mini", "tmall"],
    "elastic": {"step": 20, "cool_down_seconds": 5, "horizon_seconds": 20},
}  # fmt: skip


@pytest.fixture
async def pool(database_url):
    async with await postgres.open_pool(database_url) as opened:
        yield opened


class Books:
    """Postgres as a recorder would leave it."""

    def __init__(self, pg):
        self.pg = pg

    async def open(self, skus=1, **shops):
        await self.pg.execute("INSERT INTO cells (cell, identity) VALUES ('1', 'x')")
        names = [(f"S{n}", shop, units) for n in range(skus) for shop, units in shops.items()]
        for shop in shops:
            authority = "external" if shop == "tmall" else "gate"
            await self.pg.execute(
                "INSERT INTO channels (tenant, channel, version, document, actor)"
                " VALUES ('main', $1, 1, $2, 't')",
                shop, msgspec.json.encode({"name": shop, "authority": authority}).decode(),
            )  # fmt: skip
        await self.pg.executemany(
            "INSERT INTO pools (pool_id, cell, tenant, owner, sku, channel, campaign, granted,"
            " available) VALUES ($1, '1', 'main', '', $2, $3, 'sale', $4, $4)",
            [(f"{sku}-{shop}", sku, shop, units) for sku, shop, units in names],
        )
        quotas = [{"sku": f"S{n}", "quota": shops} for n in range(skus)]
        sale = SALE | {"skus": quotas, "elastic": SALE["elastic"] | {"enabled": True}}
        await self.pg.execute(
            "INSERT INTO campaigns (tenant, campaign, version, document, actor, starts_at,"
            " ends_at, returns, pools)"
            " VALUES ('main', 'sale', 1, $1, 't', now() - interval '1 day',"
            " now() + interval '1 day', true, $2)",
            msgspec.json.encode(sale).decode(), [f"{sku}-{shop}" for sku, shop, _ in names],
        )  # fmt: skip

    async def sell(self, pool_id, units):
        await self.pg.execute(
            "UPDATE pools SET available = available - $2, sold = sold + $2 WHERE pool_id = $1",
            pool_id, units,
        )  # fmt: skip
        await self.pg.execute("UPDATE cells SET last_id = last_id || '1'")

    async def look(self, last=None, *, owner="w1", drains=False):
        async with self.pg.transaction():
            return await decide(self.pg, "1", owner, last or Position(), drains=drains)

    async def later(self, seconds=1):
        """Let time pass: all that is noted lies so much further back."""
        await self.pg.execute(
            "UPDATE elastic_seen SET at = at - make_interval(secs => $1),"
            " borrowed_at = borrowed_at - make_interval(secs => $1)", seconds,
        )  # fmt: skip

    async def lendings(self):
        return await self.pg.fetch("SELECT * FROM elastic_lendings ORDER BY id")


@pytest.fixture
def books(pg):
    return Books(pg)


class Told:
    """A mover that keeps what it was asked, and may fail."""

    drains = True

    def __init__(self, failure=None):
        self.moved, self.asked, self.failure, self.answer = [], [], failure, None

    async def move(self, decision):
        if self.failure:
            raise self.failure
        self.moved.append(decision.move_id)
        return decision.lending.units

    async def request_drain(self, decision):
        self.asked.append(decision.move_id)

    async def drained(self, _decision):
        return self.answer


async def in_need(books, **look):
    """A shop that sells out, beside one that does not."""
    await books.look(**look)
    await books.later()
    await books.sell("S0-mall", 95)
    return await books.look(**look)


async def test_what_did_not_change_is_neither_read_nor_noted_again(books, pg):
    await books.open(skus=3, mall=100, mini=100)
    first = await books.look()
    assert not first.again
    assert len(await pg.fetch("SELECT FROM elastic_seen")) == 6
    await pg.execute("UPDATE elastic_seen SET note = 'untouched'")
    assert await books.look(first) == first
    await books.later()
    await books.sell("S1-mall", 1)
    second = await books.look(first)
    assert second != first
    noted = await pg.fetch("SELECT pool_id FROM elastic_seen WHERE note = '' ORDER BY pool_id")
    assert [row[0] for row in noted] == ["S1-mall", "S1-mini"]  # the note of the latter was wrong


async def test_a_decision_is_numbered_and_waits_until_it_is_done(books, pool):
    await books.open(mall=100, mini=100)
    found = await in_need(books)
    assert found.again
    (one,) = await books.lendings()
    assert (one["n"], one["state"], one["source"], one["target"]) == (1, "decided", "mini", "mall")
    assert one["move_id"].startswith("elastic-")
    assert one["move_id"].endswith("-1")
    await books.later(60)
    await books.look()
    assert len(await books.lendings()) == 1, "nothing is decided beside what is not done"
    mover = Told(Closed())
    with pytest.raises(Closed):
        await carry_out(pool, "1", mover)
    mover.failure = None
    await carry_out(pool, "1", mover)
    await carry_out(pool, "1", mover)
    assert mover.moved == [one["move_id"]]
    events = await books.pg.fetch("SELECT * FROM events WHERE kind = 'quota_moved'")
    assert [msgspec.json.decode(row["data"]) for row in events] == [
        {
            "campaign": "sale", "sku": "S0", "units": 20, "from": "mini", "to": "mall",
            "move_id": one["move_id"], "reason": one["reason"],
        }
    ]  # fmt: skip
    await books.later(60)
    await books.sell("S0-mall", 5)
    await books.look()
    assert [row["n"] for row in await books.lendings()] == [1, 2]


async def test_what_cannot_be_done_is_refused_with_its_reason(books, pool):
    await books.open(mall=100, mini=100)
    await in_need(books)
    await carry_out(pool, "1", Told(InConflict("a pool has ended")))
    (one,) = await books.lendings()
    assert (one["state"], one["detail"]) == ("refused", "a pool has ended")
    assert await books.pg.fetchval("SELECT count(*) FROM events") == 0


@pytest.mark.parametrize(("answer", "state"), [(15, "done"), ("not_reducible", "refused")])
async def test_of_a_marketplace_nothing_is_lent_before_it_is_done(books, pool, answer, state):
    await books.open(mall=100, tmall=100)
    await in_need(books, drains=True)
    mover = Told()
    await carry_out(pool, "1", mover)
    (one,) = await books.lendings()
    assert (one["how"], one["state"], mover.asked) == ("drain", "requested", [one["move_id"]])
    await books.later(60)
    await books.look(drains=True)
    await carry_out(pool, "1", mover)
    assert len(await books.lendings()) == 1, "it is asked for one thing at a time"
    assert not mover.moved
    assert await books.pg.fetchval("SELECT count(*) FROM events") == 0
    mover.answer = answer
    await carry_out(pool, "1", mover)
    (one,) = await books.lendings()
    assert one["state"] == state
    assert await books.pg.fetchval("SELECT count(*) FROM events") == (state == "done")


async def test_a_sale_that_is_over_or_does_not_lend_is_left_alone(books, pg):
    await books.open(mall=100, mini=100)
    await pg.execute("UPDATE campaigns SET ends_at = now()")
    assert (await books.look()).sales == ()
    await pg.execute(
        "UPDATE campaigns SET ends_at = now() + interval '1 day',"
        " document = jsonb_set(document, '{elastic,enabled}', 'false')"
    )
    assert (await books.look()).sales == ()
    assert await pg.fetchval("SELECT count(*) FROM elastic_seen") == 0


async def test_units_stay_with_the_nodes_of_their_group(books, pg):
    await books.open(mall=100, mini=100)
    await pg.execute("UPDATE pools SET node_group = 'north' WHERE channel = 'mini'")
    await in_need(books)
    assert await books.lendings() == []
    seen = await pg.fetchval("SELECT note FROM elastic_seen WHERE pool_id = 'S0-mall'")
    assert seen == "no shop has units to spare"
    await pg.execute("UPDATE pools SET node_group = 'north'")
    await books.sell("S0-mall", 1)
    await books.look()
    (one,) = await books.lendings()
    assert (one["source"], one["target"], one["node_group"]) == ("mini", "mall", "north")


async def test_two_groups_of_a_sku_lend_apart_and_are_numbered_together(books, pg, pool):
    await books.open(mall=100, mini=100, toko=100, wemo=100)
    await pg.execute("UPDATE pools SET node_group = 'north' WHERE channel IN ('toko', 'wemo')")
    await books.look()
    await books.later()
    for one in ("S0-mall", "S0-toko"):
        await books.sell(one, 95)
    await books.look()
    mover = Told()
    await carry_out(pool, "1", mover)
    found = {one["node_group"]: one for one in await books.lendings()}
    assert {group: (one["source"], one["target"]) for group, one in found.items()} == {
        "": ("mini", "mall"), "north": ("wemo", "toko"),
    }  # fmt: skip
    assert sorted(one["n"] for one in found.values()) == [1, 2]
    assert len({*mover.moved}) == 2


async def test_one_process_decides_at_a_time(books):
    await books.open(mall=100, mini=100)
    assert await books.look(owner="w1")
    assert await books.look(owner="w2") is None
    await books.pg.execute("UPDATE duties SET until = now() - interval '1 s'")
    assert await books.look(owner="w2")
    assert await books.look(owner="w1") is None


async def test_a_campaign_that_cannot_be_read_is_passed_by(books, pg):
    await books.open(mall=100, mini=100)
    await pg.execute(
        "INSERT INTO campaigns (tenant, campaign, version, document, actor, starts_at, ends_at,"
        " returns, pools) SELECT tenant, 'broken', 1, jsonb_set(document, '{name}', '5'), actor,"
        " starts_at, ends_at, returns, pools FROM campaigns"
    )
    assert [one.campaign for one in (await books.look()).sales] == ["sale"]
