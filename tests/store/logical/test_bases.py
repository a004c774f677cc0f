"""What may be sold, from what Postgres has."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest

from engine.infra import publishing
from engine.kernel.errors import ValidationFailed
from engine.logical.service import bases
from engine.logical.store.documents import RULES
from engine.logical.types.documents import Match, RuleFields
from tests.store.logical.conftest import T0


async def test_chains_by_node(house):
    await house.count("A", 10)
    await house.count("A", 4, condition="CC")
    await house.count("A", 5, "M")
    await house.count("B", 3, "M")
    await house.rule("s", "safety", {"category": "tea"}, units=2)
    await house.rule("east", "set_aside", {"node_group": "east"}, percent=33.34)
    found = await house.bases("A", "B", "C", "X")
    assert [(one.node, one.node_group, one.sellable) for one in found["A"]] == [
        ("M", "east", 1), ("N", "", 8),
    ]  # fmt: skip
    assert [tuple(term) for term in found["A"][1].terms] == [
        ("condition", 4, "", "defective"), ("safety", 2, "s", ""),
    ]  # fmt: skip
    assert [one.sellable for one in found["B"]] == [1]
    assert (found["C"], found["X"]) == ([], [])
    assert await house.bases() == {}


async def test_only_the_stock_of_the_skus_owner(house):
    await house.sku("D", owner="acme", category="tea")
    await house.count("D", 7)
    await house.count("D", 9, owner="other")
    await house.rule("s", "safety", {"owner": "acme"}, units=2)
    assert await house.left("D") == {"D": {"N": 5}}


async def test_nodes_that_do_not_count_are_shown_with_the_reason(house):
    await house.node("S", controlled_by="supplier")
    await house.node("M", group="east", enabled=False)
    for node in "NMS":
        await house.count("A", 5, node)
    found = (await house.bases("A"))["A"]
    assert [(one.node, one.counts, one.why_not) for one in found] == [
        ("M", False, "disabled"), ("N", True, ""), ("S", False, "controlled_by_supplier"),
    ]  # fmt: skip


async def test_rules_of_another_tenant_and_those_that_are_off_or_over_do_nothing(house):
    await house.count("A", 10)
    await house.rule("a", "safety", units=1, tenant="other")
    await house.rule("b", "safety", units=2, enabled=False)
    await house.rule("c", "safety", units=3, until=T0)
    await house.rule("d", "safety", units=4, from_=T0 + timedelta(hours=1))
    await house.rule("e", "safety", {"sku": "B"}, units=5)
    assert await house.left("A") == {"A": {"N": 10}}
    assert await house.left("A", at=T0 + timedelta(hours=1)) == {"A": {"N": 6}}
    assert await house.left("A", at=T0 - timedelta(hours=1)) == {"A": {"N": 7}}


async def test_batches_expire_by_the_days_of_their_node(house):
    await house.node("P", timezone="America/Los_Angeles")
    for node in "NP":
        await house.count("A", 5, node, batch="x", expires_on=date(2026, 11, 11))
    last_hour = datetime(2026, 11, 11, 15, 59, tzinfo=UTC)
    assert await house.left("A", at=last_hour) == {"A": {"N": 5, "P": 5}}
    assert await house.left("A", at=last_hour + timedelta(minutes=1)) == {"A": {"N": 0, "P": 5}}
    assert await house.left("A", at=T0 + timedelta(hours=32)) == {"A": {"N": 0, "P": 0}}


@pytest.mark.parametrize("match", [{"sku": "X"}, {"node": "X"}, {"sku": "A", "node": "X"}])
async def test_a_rule_about_what_nobody_knows_is_refused(house, match):
    with pytest.raises(ValidationFailed) as refusal:
        await house.rule("r", "safety", match, units=1)
    assert "there is no such" in refusal.value.extra["errors"][0]["detail"]
    assert await house.pg.fetchval("SELECT count(*) FROM stock_rules") == 0


MATCHES = {
    "all": ({}, "AB"), "a SKU": ({"sku": "A"}, "A"), "one without stock": ({"sku": "C"}, ""),
    "a category": ({"category": "tea"}, "A"), "a brand": ({"brand": "leaf"}, "A"),
    "an owner": ({"owner": "acme"}, ""), "a node": ({"node": "M"}, "B"),
    "a group": ({"node_group": "east"}, "B"), "a node of no group": ({"node": "N"}, "AB"),
    "both": ({"node": "M", "sku": "A"}, ""), "a batch": ({"batch": "x"}, "B"),
    "a condition": ({"condition": "XS"}, "A"),
    "a batch of another": ({"batch": "x", "sku": "A"}, ""),
}  # fmt: skip


@pytest.fixture
async def stocked(house):
    await house.count("A", 5)
    await house.count("A", 1, condition="box_damaged")
    await house.count("B", 5)
    await house.count("B", 5, "M", batch="x")
    await house.changed()
    return house


@pytest.mark.parametrize("what", MATCHES)
async def test_a_rule_has_planned_anew_what_it_speaks_of(stocked, what):
    match, skus = MATCHES[what]
    await stocked.rule("r", "quality_hold", match, units=1)
    assert await stocked.changed() == set(skus)


async def test_a_change_touches_what_the_rule_was_for_and_what_it_is_for(stocked):
    await stocked.rule("r", "safety", {"sku": "A"}, units=1)
    assert await stocked.changed() == {"A"}
    await stocked.rule("r", "safety", {"sku": "B"}, units=1)
    assert await stocked.changed() == {"A", "B"}
    await stocked.rule("r", "safety", {"sku": "B"}, units=1)
    await stocked.rule("r", "safety", {"sku": "B"}, units=1, reason="said why")
    assert await stocked.changed() == set()
    await stocked.rule("r", "safety", {"sku": "B"}, units=1, enabled=False)
    assert await stocked.changed() == {"B"}
    await stocked.rule("r", "safety", {}, units=1, enabled=False)
    assert await stocked.changed() == set()


async def test_nodes_and_skus_that_count_otherwise_are_planned_anew(stocked):
    await stocked.node("M", group="east", kind="STORE")
    await stocked.sku("A", category="tea", brand="leaf", barcode="69")
    assert await stocked.changed() == set()
    await stocked.sku("D")
    assert await stocked.changed() == {"D"}
    await stocked.node("M")
    assert await stocked.changed() == {"B"}
    await stocked.node("N", enabled=False)
    assert await stocked.changed() == {"A", "B"}
    await stocked.sku("A", category="tea", brand="other")
    assert await stocked.changed() == {"A"}
    await stocked.sku("A", category="coffee", brand="other")
    assert await stocked.changed() == {"A"}


async def changes(house, *skus):
    """Follow what is told of the next change; between two of them nothing may differ."""
    at, before, seen = T0, await house.left(*skus), {}
    while (later := await house.next(*skus, at=at)) is not None:
        assert later > at
        assert await house.left(*skus, at=later - timedelta(microseconds=1)) == before
        now = await house.left(*skus, at=later)
        for sku in skus:
            if now[sku] != before[sku]:
                seen.setdefault(sku, []).append(later)
        at, before = later, now
    assert await house.left(*skus, at=at + timedelta(days=700)) == before
    return seen


async def test_rules_begin_and_end(stocked):
    assert await changes(stocked, "A", "B") == {}
    hours = [T0 + timedelta(hours=n) for n in range(4)]
    await stocked.rule("r", "safety", {"sku": "A"}, units=1, from_=hours[1], until=hours[3])
    await stocked.rule("q", "safety", {"node": "N"}, units=2, until=hours[2])
    await stocked.rule("o", "safety", {"sku": "B"}, units=3, until=hours[2], enabled=False)
    assert await changes(stocked, "A", "B") == {"A": [hours[1], hours[3]], "B": [hours[2]]}


async def test_batches_pass_their_windows(stocked):
    await stocked.node("P", timezone="America/Los_Angeles")
    for sku, node, day in (("A", "N", 12), ("B", "P", 12), ("C", "M", 15)):
        await stocked.count(sku, 5, node, batch="b", expires_on=date(2026, 11, day))
    await stocked.count("A", 5, batch="far", expires_on=date(9999, 12, 31))
    await stocked.rule("w", "expiry", {"sku": "C"}, days=2)
    china, west = timedelta(hours=8), timedelta(hours=-8)
    assert await changes(stocked, *"ABC") == {
        "A": [datetime(2026, 11, 13, tzinfo=UTC) - china],
        "B": [datetime(2026, 11, 13, tzinfo=UTC) - west],
        "C": [datetime(2026, 11, 14, tzinfo=UTC) - china],
    }


async def test_a_rule_is_kept_as_it_was_told(house):
    told = RuleFields(
        "set_aside", Match(sku="A", node_group="east"), percent=12.5, from_=T0, reason="B2B"
    )
    await house.rule("r", "set_aside", {"sku": "A", "node_group": "east"}, percent=12.5, from_=T0,
                     reason="B2B")  # fmt: skip
    row = await house.pg.fetchrow("SELECT * FROM stock_rules")
    assert (row["sku"], row["category"], row["enabled"], row["ends_at"]) == ("A", "", True, None)
    kept = await house.pg.fetch(
        "SELECT kind, id, version, actor FROM reference_versions WHERE kind = 'stock_rule'"
    )
    assert [tuple(one) for one in kept] == [("stock_rule", "r", 1, "test")]
    again = await house.rule("r", "set_aside", {"sku": "A", "node_group": "east"}, percent=12.5,
                             from_=T0, reason="B2B")  # fmt: skip
    assert (again.changed, again.kept.value) == (False, told)


async def planned(house, entered):
    async with house.runtime.pool.acquire() as db, db.transaction():
        entered.set()
        return (await bases.chains(db, "main", ["A"], T0))["A"].nodes[0].sellable


@pytest.mark.parametrize("kind", ["rule", "node"])
async def test_who_plans_waits_for_a_document_that_is_being_changed(stocked, eventually, kind):
    """Else a SKU that comes to it in between is planned without it, and nobody notes it again."""
    # given: a rule and a node that are put, and wait at the lock that a reader of ours holds
    async with stocked.runtime.pool.acquire() as db, asyncio.TaskGroup() as tasks:
        reading = db.transaction()
        await reading.start()
        assert (await bases.chains(db, "main", ["A"], T0))["A"].nodes[0].sellable == 5
        put = (
            stocked.rule("r", "safety", units=2) if kind == "rule" else stocked.node("N", group="g")
        )
        putting = tasks.create_task(put)

        async def waiting():
            return await stocked.pg.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1

        await eventually(waiting)
        assert not putting.done()
        # when: a SKU comes to it that its statement must see, and the reader is done
        await stocked.count("C", 5)
        await reading.commit()
        await putting
    # then
    assert "C" in await stocked.changed()


async def test_who_changes_a_document_is_waited_for(stocked, eventually):
    async with stocked.runtime.pool.acquire() as db, asyncio.TaskGroup() as tasks:
        entered, changing = asyncio.Event(), db.transaction()
        await changing.start()
        await publishing.change_inputs(db, "main")
        told = RuleFields("safety", Match(), units=2)
        await RULES.insert(db, "main", "r", told, "test")
        plan = tasks.create_task(planned(stocked, entered))
        await entered.wait()
        assert await stocked.left("A") == {"A": {"N": 5}}, "who only looks does not wait"
        await eventually(
            lambda: stocked.pg.fetchval("SELECT count(*) = 1 FROM pg_locks WHERE NOT granted")
        )
        assert not plan.done()
        await changing.commit()
    assert plan.result() == 3
