"""Numbers and positions in Postgres: nothing is written over, nothing is told twice."""

import pytest

from engine.publications.store import looking, shelves
from engine.publications.store.looking import Key
from engine.publications.types import Number

KEY = Key("main", "A")


@pytest.fixture
async def listed(pg):
    await pg.execute(
        "INSERT INTO channels (tenant, channel, version, document, actor)"
        " VALUES ('main', 'tmall', 1, '{\"authority\": \"external\"}', 't'),"
        "  ('main', 'mall', 1, '{\"authority\": \"gate\"}', 't')"
    )
    await pg.execute(
        "INSERT INTO listings (tenant, channel, item_id, sku_id, sku, units_per, actor)"
        " VALUES ('main', 'tmall', '1', '', 'A', 2, 't'), ('main', 'mall', '1', '', 'A', 1, 't')"
    )
    return pg


async def read(pg):
    (one,) = await shelves.shelves(pg, [KEY])
    return one


def shows(published, state="on_sale"):
    return Number(state, "A", 2, published)


async def test_only_listings_of_external_channels_are_shelves(listed):
    one = await read(listed)
    assert (one.link, one.skus, one.number) == (("main", "tmall", "1", ""), (("A", 2),), 0)


async def test_a_number_is_taken_by_who_read_the_last_one(listed):
    first = await read(listed)
    assert await shelves.publish(listed, [(first, shows(5))]) == {first.link: 1}
    second = await read(listed)
    assert (second.number, second.last) == (1, shows(5))
    assert await shelves.publish(listed, [(first, shows(9))]) == {}, "it was read before"
    assert await shelves.publish(listed, [(second, shows(5)._replace(buffer=3))]) == {
        second.link: 1
    }, "another buffer is no other number"
    assert await shelves.publish(listed, [(await read(listed), shows(4))]) == {second.link: 2}


@pytest.mark.parametrize("before", [0, 5])
async def test_what_was_read_before_a_pause_is_not_written_after_it(listed, before):
    """Also where nothing was for sale before, so that the pause takes no number."""
    await shelves.publish(listed, [(await read(listed), shows(before))])
    late = await read(listed)
    await shelves.stop_sku(listed, *KEY)
    assert await shelves.publish(listed, [(late, shows(7))]) == {}
    now = await read(listed)
    assert (now.last.state, now.last.published) == ("paused", 0)
    (row,) = await shelves.listings_of_sku(listed, *KEY)
    assert row["number"] == (1 if before == 0 else 2)


async def test_a_pause_stops_a_listing_that_was_never_published(listed):
    await shelves.stop_sku(listed, *KEY)
    assert (await read(listed)).last.state == "paused"


async def test_positions_of_one_millisecond_are_in_their_order(listed):
    """As texts, 1000-10 comes before 1000-9."""
    await shelves.publish(listed, [(await read(listed), shows(5))])
    await listed.execute(
        "INSERT INTO pools (pool_id, cell, tenant, owner, sku) VALUES ('p', '1', 'main', 'o', 'A')"
    )
    for log_id, held in (("999-1", 1), ("1000-9", 10), ("1000-10", 100), ("2000-0", 1_000)):
        await listed.execute(
            "INSERT INTO ledger VALUES ('1', $1, 0, 'R', 'o', 'p', 0, 0, -$2::bigint, $2, 0)",
            log_id,
            held,
        )

    async def taken(after, upto):
        rows = await looking.moved_pools(listed, "1", after, upto)
        return sum(row.units for row in rows)

    assert await taken((0, 0), (2000, 0)) == 1_111
    assert await taken((1000, 9), (1000, 10)) == 100
    assert await taken((1000, 10), (2000, 0)) == 1_000
    assert await taken((999, 1), (1000, 9)) == 10


async def test_a_glance_tells_what_was_written_since_the_last(listed):
    first = await looking.look(listed, "1", "1:1:", 0.0)
    assert (first.listed, first.changed, first.any_published, first.draining) == (
        True, False, False, False,
    )  # fmt: skip
    second = await looking.look(listed, "1", first.snapshot, 0.0)
    assert not second.listed
    await looking.tell_changes(listed, {("main", "tmall", "A"), ("main", "tmall", "")})
    await listed.execute("UPDATE listings SET removed = true, xid = pg_current_xact_id()")
    third = await looking.look(listed, "1", second.snapshot, 0.0)
    assert (third.listed, third.changed) == (True, True)
    assert await looking.changed_listings(listed, second.snapshot) == [KEY]
    assert sorted(await looking.take_changes(listed)) == [
        ("main", "tmall", ""), ("main", "tmall", "A"),
    ]  # fmt: skip
    assert await looking.take_changes(listed) == []
