"""A plan is tried beside the active one, on real servers: what its report says, and what not."""

import pytest

from engine.routing.service import current, shadowing
from tests.conftest import eventually
from tests.fault.engines import certificate
from tests.flow.fulfilment import NEAREST, brand


@pytest.fixture(autouse=True)
def time_enough(monkeypatch):
    """Let no order be left out because this machine is slow."""
    monkeypatch.setattr(shadowing, "_CREDIT_MAX_S", 10.0)


def by_node(name, node):
    """A plan that sends everything from one node."""
    rule = {
        "seq": 1, "name": "only", "filters": [{"field": "node", "value": node}],
        "scorers": [{"metric": "freight"}],
    }  # fmt: skip
    return {"plan": name, "stages": [{"seq": 1, "rules": [rule]}]}


async def shadow(one, plan):
    """Put a plan and have it tried; return where its report is."""
    kept = await one.put(f"/v1/routing-plans/{plan['plan']}", plan)
    path = f"/v1/routing-plans/{plan['plan']}/versions/{kept['version']}"
    await one.call("POST", f"{path}/shadow")
    return f"{path}/shadow-report"


async def routed(one, order_id):
    async def known():
        return await one.shipments(order_id)

    await eventually(known, within_s=30)
    return [sent["node"] for sent in await one.shipments(order_id)]


async def told(one, path, orders):
    """Wait for a report of so many orders, and return it."""

    async def all_of_them():
        return (await one.get(path))["total"]["orders"] == orders

    await eventually(all_of_them, within_s=20)
    return await one.get(path)


async def tried(one, *paths):
    """Buy until the router tries the plans, which takes it a second or two.

    Returns how many orders the first one's report has; each bought from then on is one more.
    """
    bought = 0

    async def all_try():
        nonlocal bought
        bought += 1
        await routed(one, await one.buy(f"try-{bought}", ("tea", 1)))
        reports = [await one.get(path) for path in paths]
        return all(report["total"]["orders"] or report["failed"] for report in reports)

    await eventually(all_try, within_s=30)
    last = await one.buy("tried", ("tea", 1))
    await routed(one, last)
    written = "SELECT 1 FROM shadow_decisions WHERE order_id = $1"
    await eventually(lambda: one.pg.fetchval(written, last), within_s=10)
    return (await one.get(paths[0]))["total"]["orders"]


def parcels(found, order_id, side):
    (seen,) = [each for each in found["largest"] if each["order_id"] == order_id]
    return [(sent["node"], sent["service"], sent["lines"]) for sent in seen[side]["parcels"]]


async def test_a_plan_that_differs_is_reported_and_binds_nothing(settings, pg):
    async with brand(settings, pg, eventually) as one:
        await one.receive("hangzhou", tea=80)
        await one.receive("beijing", tea=80)
        await one.activate(NEAREST)
        path = await shadow(one, by_node("north", "beijing"))
        empty = await one.get(path)
        assert (empty["status"], empty["total"]["orders"]) == ("SHADOW", 0)
        assert (empty["since"], empty["largest"]) == (None, [])
        before = await tried(one, path)
        last = await one.buy("last", ("tea", 2), ("cup", 1))
        assert await routed(one, last) == ["hangzhou"]
        found = await told(one, path, before + 1)
        total, freight = found["total"], 800 * (before + 1)
        assert (total["same"], total["comparable"]) == (0, before + 1)
        assert total["freight"] == {"CNY": {"decided": freight, "tried": freight}}
        assert (total["later"], total["earlier"], total["mean_shift_seconds"]) == (0, 0, 0)
        (region,), (against,), (rules,) = found["regions"], found["against"], found["rules"]
        assert (region["region"], region["comparison"]) == ("33", total)
        assert (against["plan"], against["version"]) == ("near", 1)
        assert rules["decided"] == rules["tried"] == {"stage": 1, "rule": 1}
        assert parcels(found, last, "decided") == [("hangzhou", "sf-std", {"1": 2, "2": 1})]
        assert parcels(found, last, "tried") == [("beijing", "sf-std", {"1": 2, "2": 1})]
        await certificate(one.api)


async def test_another_plan_is_activated_in_between_and_then_this_one(settings, pg):
    async with brand(settings, pg, eventually) as one:
        await one.receive("hangzhou", tea=80)
        await one.receive("beijing", tea=80)
        await one.activate(NEAREST)
        path = await shadow(one, by_node("north", "beijing"))
        before = await tried(one, path)
        await one.activate(by_node("capital", "beijing"))
        assert await routed(one, await one.buy("after", ("tea", 1))) == ["beijing"]
        found = await told(one, path, before + 1)
        against = [
            (each["plan"], each["comparison"]["orders"], each["comparison"]["same"])
            for each in found["against"]
        ]
        assert against == [("capital", 1, 1), ("near", before, 0)]
        await one.call("POST", path.replace("shadow-report", "activate"))
        assert await routed(one, await one.buy("own", ("tea", 1))) == ["beijing"]
        found = await one.get(path)
        assert (found["status"], found["total"]["orders"]) == ("ACTIVE", before + 1)
        await certificate(one.api)


async def test_one_that_raises_is_reported_and_disturbs_neither_routing_nor_another(
    settings, pg, monkeypatch
):
    compile_plan = current.compile_plan

    def compiled(fields, located=None, version=0):
        made = compile_plan(fields, located, version)
        if fields.plan != "broken":
            return made

        def judge(_facts):
            raise ZeroDivisionError("what a buyer wrote")

        return made._replace(plan=made.plan._replace(judge=judge))

    monkeypatch.setattr(current, "compile_plan", compiled)
    async with brand(settings, pg, eventually) as one:
        await one.receive("hangzhou", tea=80)
        await one.activate(NEAREST)
        broken = await shadow(one, by_node("broken", "beijing"))
        good = await shadow(one, by_node("north", "beijing"))
        await tried(one, good, broken)
        found = await one.get(broken)
        assert (found["total"]["orders"], found["last_failure"]) == (0, "ZeroDivisionError")
        assert found["failed"]
        assert (await one.get(good))["failed"] == 0
        nodes = await pg.fetch("SELECT DISTINCT node FROM shipments")
        assert [row["node"] for row in nodes] == ["hangzhou"]
        await certificate(one.api)


async def test_who_may_read_a_report_and_of_what(settings, pg):
    async with brand(settings, pg, eventually) as one:
        await one.put("/v1/routing-plans/near", NEAREST)
        path = "/v1/routing-plans/near/versions/{}/shadow-report"
        found = await one.get(path.format(1))
        assert (found["status"], found["total"]["orders"]) == ("DRAFT", 0)
        for number in ("2", "0", "x", "9" * 30):
            await one.call("GET", path.format(number), status=404)
        await one.call("GET", "/v1/routing-plans/none/versions/1/shadow-report", status=404)
