"""What the planner reads and writes: names to ids once, and amounts from grants alone."""

import asyncio

import pytest

from engine.infra import postgres
from engine.inventory.store import intentions
from engine.inventory.types import Dimensions, Given, Grant, Rule

TEA = Dimensions("main", "acme", "tea")
MALL = TEA._replace(channel="mall")


async def test_a_pool_is_made_once(pg):
    first = await intentions.make_pools(pg, "1", {TEA, MALL})
    assert await intentions.make_pools(pg, "1", {MALL, TEA}) == first
    assert len(set(first.values())) == 2
    assert await pg.fetchval("SELECT count(*) FROM pools") == 2
    assert await intentions.pools_by_name(pg, [TEA, TEA._replace(sku="cup")]) == {TEA: first[TEA]}


async def test_names_differ_by_every_dimension(pg):
    names = {TEA} | {TEA._replace(**{part: "x"}) for part in Dimensions._fields}
    assert len(await intentions.make_pools(pg, "1", names)) == len(names) == 7


# Grants as (delta, applied) and what they amount to.
@pytest.mark.parametrize(
    ("rows", "amount"),
    [
        ([], 0),
        ([(10, None)], 10),
        ([(10, 10), (-6, None)], 4),
        ([(10, 10), (-6, -2)], 8),
        ([(10, 10), (-6, -2), (3, None)], 11),
    ],
)
async def test_a_grant_counts_as_folded_else_as_intended(pg, rows, amount):
    grants = [Grant("p1", n, delta, "", "") for n, (delta, _) in enumerate(rows, 1)]
    await intentions.write_grants(pg, grants)
    for n, (_, applied) in enumerate(rows, 1):
        await pg.execute("UPDATE grants SET applied = $2 WHERE seq = $1", n, applied)
    assert await intentions.given(pg, ["p1"]) == [Given("p1", len(rows), amount)]


async def test_a_sent_grant_is_pending_again_only_after_a_while(pg):
    grants = [Grant("p1", 1, 5, "r", "x"), Grant("p1", 2, 5, "r", "x"), Grant("p2", 1, 5, "r", "x")]
    await intentions.write_grants(pg, grants)
    assert await intentions.pending_grants(pg, 2.0, 10) == grants
    await intentions.mark_sent(pg, grants[:2])
    assert await intentions.pending_grants(pg, 2.0, 10) == grants[2:]
    assert await intentions.unsent_pools(pg) == {"p2"}
    assert await intentions.pending_grants(pg, 0.0, 10) == grants
    await intentions.send_again(pg, {"p1": 2})
    assert await intentions.unsent_pools(pg) == {"p1", "p2"}
    await pg.execute("UPDATE grants SET applied = delta")
    assert await intentions.pending_grants(pg, 0.0, 10) == []


async def test_a_rule_that_changed_meanwhile_is_still_pending(pg):
    old, new = Rule("f", 1, b"a"), Rule("f", 2, b"b")
    await intentions.write_rules(pg, "1", [old])
    await intentions.write_rules(pg, "1", [new])
    await intentions.mark_rules(pg, "1", [old])
    assert await intentions.pending_rules(pg, "1", "", 10) == [new]
    await intentions.mark_rules(pg, "1", [new])
    assert await intentions.pending_rules(pg, "1", "", 10) == []
    assert await intentions.stored_rules(pg, "1", ["f", "g"]) == {"f": (2, b"b")}


async def test_two_planners_take_turns(pg, database_url):
    other = await postgres.connect(database_url)
    async with pg.transaction():
        await intentions.lock_planning(pg, "1")
        async with other.transaction():
            await intentions.lock_planning(other, "2")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await intentions.lock_planning(other, "1")
    async with other.transaction():
        await intentions.lock_planning(other, "1")
    await other.close()
