"""Twelve drifts, put there one by one as a bug or a broken file would: each is found and named."""

import asyncio
import os
import random
import subprocess
import sys
from unittest.mock import ANY

import msgspec
import pytest

from engine import settings as settings_of
from engine.assurance.reconciling import cellside
from engine.assurance.reconciling import settled as settling
from engine.assurance.reconciling.checks import CHECKS
from engine.assurance.reconciling.reconciler import Reconciler
from engine.infra import keys
from engine.inventory.service import comparing as planning_of_plans
from engine.inventory.service.comparing import marks
from engine.kernel.types import CellId
from tests.conftest import eventually
from tests.fault.engines import campaign_of, certificate, house, id_of

CELL = CellId("1")
POOLS, HOLDS, DUE = (keys.of(CELL, name) for name in ("pools", "holds", "due"))
COUNTERS, RULES, STATE = (keys.of(CELL, name) for name in ("counters", "rules", "cell"))


async def open_sale(api, per_buyer, **stock):
    """A sale with limits a buyer, of each SKU and of all together; it also draws what is shared."""
    *documents, (path, campaign) = campaign_of(stock)
    campaign["limits"] = [{"scope": "campaign", "by": "buyer_id", "max": 50, "counts": "units"}]
    for one in campaign["skus"]:
        one |= {"per_buyer_limit": per_buyer, "draws_shared": True}
    shared = {"shared_cap": 40, "quota": 0, "channel": "mall"}
    policies = [
        (f"/v1/supply-policies/{sku}", {"sku": sku, "shared": 50, "channels": [shared]})
        for sku in stock
    ]
    for where, body in [*documents, *policies, (path, campaign)]:
        answer = await api.call("PUT", where, body)
        assert answer.status == 201, answer.document

    async def told():
        return await api.cell.redis.hlen(RULES) >= 2 * len(stock) + 2

    await eventually(told, within_s=20)
    await eventually(lambda: api.registry.authority("main", "mall"))


class Scene:
    """A sale with holds in every state, and nobody but us who would put anything right."""

    def __init__(self, here, api, pg, valkey):
        self.here, self.api, self.pg, self.valkey = here, api, pg, valkey
        self.reconciler = Reconciler(api.cell, api.process.pool, api.process.clock)

    async def check(self, *, repair=True, without=(), only=None):
        checks = [one for one in (only or CHECKS) if one not in without]
        passed = await self.reconciler.check(repair=repair, checks=checks)
        assert not passed.skipped, passed.skipped
        return passed

    async def kinds(self, **how):
        return {drift.kind for _, drift, _ in (await self.check(**how)).drifts}

    async def pool(self, sku="A"):
        return await self.pg.fetchval(
            "SELECT pool_id FROM pools WHERE sku = $1 AND campaign <> ''", sku
        )

    async def unpacked(self, key, name):
        return msgspec.msgpack.decode(await self.valkey.hget(key, name))

    async def packed(self, key, name, value):
        await self.valkey.hset(key, name, msgspec.msgpack.encode(value))

    async def change_pool(self, change):
        pool_id = await self.pool()
        values = await self.unpacked(POOLS, pool_id)
        change(values)
        await self.packed(POOLS, pool_id, values)

    async def at_rest(self):
        """Until everything is recorded and published."""

        async def calm():
            state = await self.api.cell.refresh()
            at = await self.pg.fetchval("SELECT last_id FROM cells")
            open_grants = await self.pg.fetchval(
                "SELECT count(*) FROM grants WHERE applied IS NULL"
            )
            open_rules = await self.pg.fetchval("SELECT count(*) FROM cell_rules WHERE NOT applied")
            return state and at == state.last_id and not open_grants and not open_rules

        await eventually(calm, within_s=20)


@pytest.fixture
async def scene(settings, pg, valkey):
    async with house(settings) as here:
        await here.worker("keeper", "sweeper", "settler")
        await here.worker("publisher", name="publisher")
        await here.worker("recorder", name="recorder")
        api = await here.api()
        await open_sale(api, 5, A=100, B=3)
        for n in range(6):
            assert (await api.buy(str(n), ("A", 1), ("B", 2))).status == 202
        await api.pay(id_of("1"), "p", 300)
        await api.cancel(id_of("2"), "c")
        one = Scene(here, api, pg, valkey)
        await one.at_rest()
        yield one


# what a grant of five units would have been made for
FIVE_MORE = """
UPDATE campaign_skus SET document = jsonb_set(document, '{quota,mall}', '105') WHERE sku = 'A';
UPDATE campaigns SET document = jsonb_set(document, '{skus,0,quota,mall}', '105')
"""


async def lost_grant(scene):
    """The publisher believes that it was sent, and will not send it again for a long time."""
    await scene.here.stop("publisher")
    await scene.pg.execute(
        "INSERT INTO grants (pool_id, seq, delta, reason, sent_at)"
        " VALUES ($1, 2, 5, 'test', now() + interval '1 day')", await scene.pool(),
    )  # fmt: skip
    await scene.pg.execute(FIVE_MORE)


async def doubled_grant(scene):
    def change(pool):
        pool[0] += 100
        pool[2] += 100

    await scene.change_pool(change)


async def reordered_grant(scene):
    """A later number came first: the cell will take the earlier one for a repeat."""

    def change(pool):
        pool[5] += 1

    await scene.change_pool(change)


async def hold_without_order(scene):
    await scene.pg.execute("DELETE FROM orders WHERE order_id = $1", id_of("3"))


async def order_without_hold(scene):
    await scene.valkey.hdel(HOLDS, id_of("1"))


async def counter_off(scene):
    for name in await scene.valkey.hkeys(COUNTERS):
        if name.startswith(b"b\x1f") and name.endswith(b"b-4") and b"\x1fA\x1f" in name:
            await scene.valkey.hincrby(COUNTERS, name, 3)
            return
    raise AssertionError(await scene.valkey.hgetall(COUNTERS))


async def orphan_expiry(scene):
    await scene.valkey.zadd(DUE, {"nobody": 9_999_999_999_999})


async def policy_drift(scene):
    name = next(one for one in await scene.valkey.hkeys(RULES) if one.startswith(b"offer"))
    rule = await scene.unpacked(RULES, name)
    rule[2] += 5  # more a buyer than the campaign allows
    await scene.packed(RULES, name, rule)


async def ledger_gap(scene):
    await scene.pg.execute(
        "DELETE FROM ledger WHERE kind = 'reserved' AND reference = $1 AND pool_id = $2",
        id_of("0"),
        await scene.pool(),
    )


async def stale_epoch(scene):
    await scene.pg.execute("UPDATE cells SET epoch = epoch - 1")


async def trimmed_log(scene):
    """The log was cut beyond what Postgres has, as after a restore to an earlier point."""
    await scene.here.stop("recorder")
    assert (await scene.api.buy("late", ("A", 1))).status == 202
    last = (await scene.api.cell.refresh()).last_id
    await scene.api.cell.call("trim", [last])
    ms, seq = last.split("-")
    await scene.valkey.hset(STATE, "trimmed_to", f"{ms}-{int(seq) + 1}")


async def listing_drift(scene):
    """A shop confirmed 5 and then shows 7: it sells what is not there for it."""
    await scene.pg.execute(
        "INSERT INTO publications (tenant, channel, item_id, sku_id, sku, units_per, state, number,"
        " published, acked_number, acked, acked_at, seen, seen_at)"
        " VALUES ('main', 'tmall', '900', '1', 'A', 1, 'on_sale', 3, 5, 3, 5, now(), 7, now())"
    )


DRIFTS = {
    one.__name__: (one, check)
    for one, check in [
        (lost_grant, "pools"),
        (doubled_grant, "pools"),
        (reordered_grant, "pools"),
        (hold_without_order, "holds"),
        (order_without_hold, "orders"),
        (counter_off, "counters"),
        (orphan_expiry, "expiries"),
        (policy_drift, "rules"),
        (ledger_gap, "ledger"),
        (stale_epoch, "positions"),
        (trimmed_log, "positions"),
        (listing_drift, "listings"),
    ]
}


REPAIRED = [
    "lost_grant", "reordered_grant", "counter_off", "orphan_expiry", "policy_drift", "stale_epoch",
]  # fmt: skip
STOPPED = ["doubled_grant", "trimmed_log"]
COUNT = "SELECT count(*) FROM events WHERE kind = $1 AND data ->> 'kind' = $2"


@pytest.mark.parametrize("kind", DRIFTS)
async def test_a_drift_is_found_by_its_check_alone(scene, kind):
    inject, check = DRIFTS[kind]
    assert await scene.kinds() == set(), "the control: nothing was injected"
    await inject(scene)
    only = ["positions"] if kind == "trimmed_log" else None
    without = await scene.kinds(repair=False, without={check}, only=only)
    assert kind not in without, "found without the check that is to find it"
    assert kind in await scene.kinds(repair=False, only=only)
    assert not await scene.pg.fetchval("SELECT count(*) FROM drifts"), "a dry run wrote"


@pytest.mark.parametrize("kind", DRIFTS)
async def test_a_drift_is_raised_and_repaired_or_stopped(scene, kind):
    inject, _ = DRIFTS[kind]
    await inject(scene)
    passed = await scene.check(only=["positions"] if kind == "trimmed_log" else None)
    ((_, drift, done),) = [one for one in passed.drifts if one[1].kind == kind]
    assert drift.repair == ("safe" if kind in REPAIRED else "manual")
    assert bool(done) == (kind in REPAIRED + STOPPED)
    row = await scene.pg.fetchrow("SELECT * FROM drifts WHERE kind = $1", kind)
    told = (row["subject"], row["detail"], row["unsafe"], row["resolved_at"])
    assert told == (drift.subject, drift.detail, kind in STOPPED, None)
    assert await scene.pg.fetchval(COUNT, "drift_found", kind) == 1
    adjustments = await scene.pg.fetch("SELECT * FROM adjustments WHERE kind = $1", kind)
    assert [one["actor"] for one in adjustments] == ["reconciler"] * bool(done)
    assert all(drift.detail in one["reason"] for one in adjustments)
    answer = await scene.api.call("GET", "/v1/drifts")
    assert kind in {one["kind"] for one in answer.document["items"]}
    ready = await scene.api.call("GET", "/readyz")
    assert ("drifts" in ready.document.get("noted", {})) == (kind in STOPPED)


@pytest.mark.parametrize("kind", REPAIRED)
async def test_a_repaired_drift_is_gone_with_the_next_pass(scene, kind):
    inject, _ = DRIFTS[kind]
    await inject(scene)
    assert kind in await scene.kinds()
    if kind == "lost_grant":
        await scene.here.worker("publisher", name="publisher")
    await scene.at_rest()
    assert await scene.kinds() == set()
    assert await scene.pg.fetchval("SELECT resolved_at FROM drifts") is not None
    assert await scene.pg.fetchval(COUNT, "drift_resolved", kind) == 1
    await certificate(scene.api)


async def count(api, units):
    """Have SKU A counted at a node of ours, with these units."""
    await api.call("PUT", "/v1/nodes/N", {"name": "N"})
    lines = [{"sku": "A", "quantity": units}]
    body = {"report": "r", "node": "N", "basis": "on_hand", "as_of": "2026-01-01T00:00:00Z"}
    answer = await api.call("POST", "/v1/inventory/counts", body | {"lines": lines})
    assert answer.status == 200, answer.document


async def planned(scene):
    await eventually(
        lambda: scene.pg.fetchval("SELECT count(*) = 0 FROM stock_changes"), within_s=20
    )
    await scene.at_rest()


async def policy(scene, **says):
    etag = (await scene.api.call("GET", "/v1/supply-policies/A")).headers["ETag"]
    body = {"sku": "A", "shared": 50, "channels": [{"channel": "mall", **says}]}
    answer = await scene.api.call("PUT", "/v1/supply-policies/A", body, If_Match=etag)
    assert answer.status == 200, answer.document


# what the pools should have is put aside, by so many units, without a word to the planner
DECLARED = "UPDATE supply_policies SET planned = jsonb_set(planned, '{shared}', '57')"
SOLD = "UPDATE campaign_skus SET document = jsonb_set(document, '{quota,mall}', '107')"
COUNTED = "UPDATE stock_balances SET counted = counted + 7"
# each thing that a plan is made from, changed, and as it was
GRANT = """
UPDATE grants SET applied = %d
WHERE seq = 1 AND pool_id = (SELECT pool_id FROM pools WHERE sku = 'A' AND campaign <> '')
"""
OWN = "UPDATE supply_policies SET planned = jsonb_set(planned, '{channels,0,quota}', '%d')"
NODE = 'UPDATE nodes SET document = document || \'{"controlled_by": "%s"}\''
RULE = """
INSERT INTO stock_rules (tenant, rule, version, document, actor) VALUES
  ('main', 'r', 1, '{"kind": "safety", "units": 3, "enabled": true, "match": {}}', 't')
"""
BY_HAND = [
    (COUNTED, "UPDATE stock_balances SET counted = counted - 7"),
    (f"{SOLD} WHERE sku = 'A'", f"{SOLD} WHERE sku = 'A'".replace("107", "100")),
    (OWN % 5, OWN % 0),
    (GRANT % 99, GRANT % 100),
    (NODE % "channel", NODE % "us"),
    (RULE, "DELETE FROM stock_rules"),
    ("DELETE FROM campaign_skus WHERE sku = 'A'", "SELECT 1"),
]


@pytest.mark.parametrize(
    ("stock", "says", "inject", "subjects"),
    [
        (0, {}, DECLARED, {"shared"}),
        (0, {}, SOLD, {"campaign"}),
        (200, {}, COUNTED, {"shared"}),
        (200, {}, SOLD, {"campaign", "shared"}),
        (200, {"ratio": 0.4}, COUNTED, {"all"}),
        (200, {"floor": 9, "priority": 1}, COUNTED, {"all"}),
        (60, {"quota": 80}, COUNTED, {"all"}),  # too few for all quotas
    ],
)
async def test_pools_that_are_not_as_planned_are_planned_anew(scene, stock, says, inject, subjects):
    if says:
        await policy(scene, **says)
    if stock:
        await count(scene.api, stock)
    await planned(scene)
    for n in range(10, 14):  # sales that what the pools should have may follow, or not
        assert (await scene.api.buy(str(n), ("A", 2))).status == 202
    await scene.at_rest()
    assert await scene.kinds() == set(), "the control"
    await scene.pg.execute(inject + ("" if inject == COUNTED else " WHERE sku = 'A'"))
    assert await scene.kinds(repair=False, without={"plans", "documents"}) <= {"balance_off"}
    passed = await scene.check(repair=False, only=["plans"])
    words = {"shared": "the shared units", "campaign": "channel mall in campaign",
             "all": "all pools together"}  # fmt: skip
    found = [drift for _, drift, _ in passed.drifts]
    assert {(one.kind, one.units) for one in found} == {("policy_drift", 7)}
    assert len(found) == len(subjects)
    assert all(any(words[one] in drift.detail for drift in found) for one in subjects)
    await scene.check(only=["plans"])
    assert await scene.pg.fetchval(COUNT, "drift_found", "policy_drift") == len(subjects)
    await planned(scene)
    await scene.check()
    assert await scene.pg.fetchval(COUNT, "drift_resolved", "policy_drift") == len(subjects)
    assert (await scene.check(only=["plans"])).drifts == []
    await certificate(scene.api)


async def test_what_waits_to_be_planned_is_no_drift(scene):
    await scene.here.stop("publisher")
    await policy(scene, quota=5)
    await scene.pg.execute("INSERT INTO stock_changes (tenant, sku) VALUES ('main', 'A')")
    await scene.pg.execute(DECLARED)
    found = (await scene.check(only=["plans"])).drifts
    assert {drift.subject.split("\x1f")[1] for _, drift, _ in found} == {"B"}


async def test_every_pass_finds_what_is_not_as_planned_and_plans_only_what_changed(
    scene, monkeypatch
):
    """Whatever a plan is made from, changed by hand and told to nobody, is found by the next pass.

    The control: a pass after which nothing changed plans no SKU but those whose turn it is.
    """
    await count(scene.api, 200)
    await planned(scene)
    seen = []

    async def watched(db, cell, tenant, skus):
        seen.extend(skus)
        return await compare(db, cell, tenant, skus)

    compare = planning_of_plans.compare
    monkeypatch.setattr(planning_of_plans, "compare", watched)
    monkeypatch.setattr(settling, "_EVERY_PASSES", 10**9)
    await scene.here.stop("publisher")
    assert (await scene.check(only=["plans"])).drifts == []
    assert sorted(seen) == ["A", "B"]
    for change, back in BY_HAND:
        assert (await scene.check(only=["plans"], repair=False)).drifts == []
        seen.clear()
        assert (await scene.check(only=["plans"], repair=False)).drifts == []
        assert seen == [], "nothing changed"
        await scene.pg.execute(change)
        found = (await scene.check(only=["plans"], repair=False)).drifts
        assert "A" in {drift.subject.split("\x1f")[1] for _, drift, _ in found}, change
        again = (await scene.check(only=["plans"], repair=False)).drifts
        assert len(again) == len(found), "what is off stays in doubt"
        await scene.pg.execute(back)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE supply_policies SET document = jsonb_set(document, '{shared}', '57')",
        "UPDATE campaigns SET document = jsonb_set(document, '{skus,0,quota,mall}', '107')",
        "DELETE FROM campaign_skus",
    ],
)
async def test_a_document_that_is_not_what_was_planned_is_raised(scene, change):
    """Told to nobody, it would be planned one day, by whoever writes its next version."""
    assert (await scene.check(only=["documents"])).drifts == [], "the control"
    await scene.pg.execute(change)
    found = [drift for _, drift, _ in (await scene.check(only=["documents"])).drifts]
    assert {(one.kind, one.repair) for one in found} == {("policy_drift", "manual")}


async def test_an_offer_that_is_written_down_otherwise_is_planned_anew(scene):
    """The cell is told of it as of any other rule: it would sell by it for ever."""
    row = await scene.pg.fetchrow(
        "SELECT field, body FROM cell_rules WHERE field LIKE 'offer%A' AND field LIKE '%sale%'"
    )
    body = msgspec.msgpack.decode(row["body"])
    body[2] += 5  # more a buyer than the campaign allows
    assert (await scene.check(only=["plans"])).drifts == [], "the control"
    await scene.pg.execute(
        "UPDATE cell_rules SET body = $2 WHERE field = $1", row["field"],
        msgspec.msgpack.encode(body),
    )  # fmt: skip
    passed = await scene.check(only=["rules", "plans"])
    assert {drift.repair for _, drift, _ in passed.drifts} == {"safe"}
    await planned(scene)
    assert (await scene.check(only=["rules", "plans"])).drifts == []
    assert (await scene.unpacked(RULES, row["field"]))[2] == body[2] - 5


async def test_a_sale_alone_puts_no_plan_in_doubt(scene, monkeypatch):
    """The mark of a SKU is not changed by what most orders do: or each pass would plan them all."""
    monkeypatch.setattr(settling, "_EVERY_PASSES", 10**9)
    await scene.check(only=["plans"])
    before = await marks(scene.api.process.pool, CELL)
    assert (await scene.api.buy("more", ("A", 3))).status == 202
    await scene.at_rest()
    assert await marks(scene.api.process.pool, CELL) == before


async def test_a_plan_that_only_time_changes_is_looked_at_when_it_does(scene, monkeypatch):
    """The planner's own note of the instant is lost with it, and no row changes."""
    monkeypatch.setattr(settling, "_EVERY_PASSES", 10**9)
    await scene.here.stop("publisher")
    assert (await scene.check(only=["plans"])).drifts == []
    await scene.pg.execute(
        "UPDATE campaign_skus SET waves = json_build_array(json_build_array("
        "(extract(epoch FROM now() + interval '4 s') * 1000)::bigint, '{\"mall\": 7}'::json))"
        " WHERE sku = 'A'"
    )
    assert (await scene.check(only=["plans"], repair=False)).drifts == [], "it is to come"

    async def found():
        return [d.units for _, d, _ in (await scene.check(only=["plans"], repair=False)).drifts]

    await eventually(found, within_s=20)
    assert await found() == [7]


async def test_a_sku_that_could_be_sold_twice_is_paused_once(scene):
    """A person who resumes it knows why."""
    await doubled_grant(scene)
    assert await scene.kinds() == {"doubled_grant"}
    assert (await scene.api.buy("more", ("A", 1))).code == "paused"
    await scene.at_rest()
    assert (await scene.api.call("POST", "/v1/skus/A/resume", {"reason": "seen"})).status == 200
    assert "doubled_grant" in await scene.kinds()
    assert (await scene.api.buy("more", ("A", 1))).status == 202


async def test_a_cell_whose_log_lacks_something_is_closed(scene):
    await trimmed_log(scene)
    assert await scene.kinds(only=["positions"]) == {"trimmed_log"}
    assert (await scene.api.buy("more", ("A", 1))).status == 503


async def test_a_pending_hold_without_a_deadline_gets_it_back(scene):
    before = await scene.valkey.zscore(DUE, id_of("5"))
    await scene.valkey.zrem(DUE, id_of("5"))
    assert await scene.kinds() == {"lost_expiry"}
    assert await scene.valkey.zscore(DUE, id_of("5")) == before
    assert await scene.kinds() == set()


async def test_a_pause_that_one_side_does_not_know_is_told_to_it(scene):
    """One that the cell has forgotten lets it sell what must not be sold: it is unsafe."""
    assert (await scene.api.call("POST", "/v1/skus/A/pause", {"reason": "look"})).status == 200
    await scene.at_rest()
    assert await scene.kinds() == set()
    await scene.valkey.hdel(RULES, "pause\x1fmain\x1fsku\x1fA")
    assert await scene.kinds() == {"pause_drift"}
    assert await scene.pg.fetchval("SELECT unsafe FROM drifts")
    await scene.at_rest()
    assert (await scene.api.buy("more", ("A", 1))).code == "paused"
    assert await scene.kinds() == set()
    await scene.pg.execute("DELETE FROM pauses")
    assert await scene.kinds() == {"pause_drift"}
    assert await scene.pg.fetchval("SELECT count(*) FROM pauses") == 1
    assert await scene.kinds() == set()


async def test_debts_that_nobody_is_owed_are_found(scene):
    await scene.pg.execute(
        "INSERT INTO shorts VALUES ($1, $2, 1, 3, now())", id_of("0"), await scene.pool()
    )
    assert await scene.kinds() == {"owed_off"}


async def test_a_hold_that_is_not_as_recorded_is_found(scene):
    await scene.pg.execute(
        "UPDATE orders SET held_until = held_until + interval '1 s' WHERE order_id = $1", id_of("3")
    )
    assert await scene.kinds() == {"hold_off"}


async def test_a_grant_that_is_marked_as_applied_is_sent_again(scene):
    """Neither the cell nor the ledger knows of it: its number makes that harmless."""
    await scene.pg.execute(
        "INSERT INTO grants (pool_id, seq, delta, reason, sent_at, applied, log_id)"
        " VALUES ($1, 2, 5, 'test', now(), 5, '7-0')", await scene.pool(),
    )  # fmt: skip
    await scene.pg.execute(FIVE_MORE)
    assert "lost_grant" in await scene.kinds()
    await scene.at_rest()
    assert await scene.kinds() == set()
    pool = await scene.unpacked(POOLS, await scene.pool())
    assert (pool[0], pool[5]) == (105, 2)
    await certificate(scene.api)


async def reconcile(scene, *words):
    """Run the command as a process of its own."""
    environment = settings_of.environment(scene.here.settings)
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "engine", "reconcile", *words],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


async def test_by_hand(scene):
    assert (await reconcile(scene))[:2] == (0, ANY)
    await orphan_expiry(scene)
    await ledger_gap(scene)
    code, out, err = await reconcile(scene, "--dry-run", "--json")
    told = msgspec.json.decode(out)
    assert (code, told["open"]) == (1, 2)
    assert {one["kind"]: bool(one["would"]) for one in told["drifts"]} == {
        "orphan_expiry": True, "ledger_gap": False,
    }  # fmt: skip
    assert "ledger" in err
    code, out, _ = await reconcile(scene, "--json")
    assert (code, msgspec.json.decode(out)["open"]) == (1, 1)
    code, out, _ = await reconcile(scene)
    assert code == 1
    assert "ledger_gap" in out
    assert "1 of them open" in out


async def test_the_role_finds_it_by_itself_and_one_process_does(scene):
    await orphan_expiry(scene)
    for name in ("first", "second"):
        await scene.here.worker("reconciler", name=name)
    done = "SELECT count(*) FROM adjustments WHERE kind = 'orphan_expiry'"

    async def repaired():
        return await scene.pg.fetchval(done) == 1

    await eventually(repaired, within_s=60)
    assert await scene.pg.fetchval("SELECT count(*) FROM drifts") == 1


async def test_while_the_cell_is_closed_nothing_is_raised_but_its_position(scene):
    await scene.api.cell.call("close", ["by a test"], argument="0", epoch=scene.api.cell.epoch)
    passed = await scene.reconciler.check()
    assert passed.drifts == []
    assert {"pools"} <= passed.skipped.keys()
    assert "positions" not in passed.skipped


async def test_under_load_nothing_is_raised(settings, pg):
    """The control of all of them: a busy sale without a drift is silent."""
    async with house(settings) as here:
        await here.worker()
        api = await here.api()
        await open_sale(api, 9, A=3_000, B=3_000)
        seeded, done = random.Random(5), asyncio.Event()

        async def buyer(n):
            turn = 0
            while not done.is_set():
                number, turn = f"{n}-{turn}", turn + 1
                answer = await api.buy(number, ("A", 1), ("B", 2), buyer_id=f"b{n % 4}-{turn // 8}")
                if answer.status == 202:
                    if seeded.random() < 0.3:
                        await api.pay(id_of(number), "p", 300)
                    elif seeded.random() < 0.9:
                        await api.cancel(id_of(number), "c")

        reconciler = Reconciler(api.cell, api.process.pool, api.process.clock)
        passes = []
        async with asyncio.TaskGroup() as tasks:
            for n in range(8):
                tasks.create_task(buyer(n))
            while len(passes) < 5:
                passes.append(await reconciler.check())
            done.set()
        assert [one.drifts for one in passes] == [[]] * 5
        assert not any(one.skipped for one in passes)
        assert await pg.fetchval("SELECT count(*) FROM drifts") == 0
        assert await pg.fetchval("SELECT count(*) FROM orders") > 500


async def test_a_rule_that_is_told_while_it_is_looked_at_is_no_drift(scene, monkeypatch):
    """It is written down before the cell is told, and noted as told after."""
    field = await scene.pg.fetchval("SELECT field FROM cell_rules WHERE field LIKE 'campaign%'")
    read, told = cellside.rules, []

    async def told_meanwhile(cell, fields):
        if field in fields:
            sql = "SELECT version, body FROM cell_rules WHERE field = $1"
            version, body = await scene.pg.fetchrow(sql, field)
            rule = [version + 1, *msgspec.msgpack.decode(body)[1:-1], len(told)]
            told.append(rule)
            packed = msgspec.msgpack.encode(rule)
            await scene.pg.execute(
                "UPDATE cell_rules SET version = $2, body = $3, applied = false WHERE field = $1",
                field, version + 1, packed,
            )  # fmt: skip
            await scene.valkey.hset(RULES, field, packed)
            await scene.pg.execute("UPDATE cell_rules SET applied = true WHERE field = $1", field)
        return await read(cell, fields)

    monkeypatch.setattr(cellside, "rules", told_meanwhile)
    passed = await scene.check(only=["rules"], repair=False)
    assert passed.drifts == []
    assert len(told) > 1, "it was suspected"
