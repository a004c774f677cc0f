"""Two shops of ours, one of them hot: units follow the orders while these run."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from engine.elastic.consumer import Rebalancer
from engine.kernel.errors import Closed, NotFound, OutcomeUnknown
from engine.simulation.elastic import past
from engine.simulation.elastic.play import play
from engine.simulation.elastic.run import Options, run
from tests.fault.engines import certificate, house

OTHERS = ("recorder", "sweeper", "keeper", "publisher", "settler")
ELASTIC = {"floor": {"mini": 30}, "step": 20, "cool_down_seconds": 1, "horizon_seconds": 20}


@pytest.fixture
async def here(settings):
    async with house(settings) as one:
        yield one


async def open_sale(api, eventually, elastic=ELASTIC, **channels):
    """A sale of 100 units for each shop; those given here are not the plain ones of ours."""
    await api.call("PUT", "/v1/skus/A", {"name": "A"})
    for channel in ("mall", "mini"):
        fields = {"name": channel, "hold_seconds": 600, **channels.get(channel, {})}
        await api.call("PUT", f"/v1/channels/{channel}", fields)
    now = datetime.now(UTC)
    answer = await api.call(
        "PUT",
        "/v1/campaigns/sale",
        {
            "name": "Sale", "starts_at": (now - timedelta(hours=1)).isoformat(),
            "ends_at": (now + timedelta(hours=1)).isoformat(), "hold_seconds": 600,
            "skus": [{"sku": "A", "quota": {"mall": 100, "mini": 100}}], "elastic": elastic,
        },
    )  # fmt: skip
    assert answer.status == 201, answer.document
    assert answer.document["elastic"]["observe_only"] is elastic.get("observe_only", False)

    async def recorded():
        return [row["available"] for row in await pools(api)] == [100, 100]

    await eventually(recorded, within_s=20)
    await eventually(lambda: api.registry.authority("main", "mini"), within_s=20)


async def pools(api):
    return await api.process.pool.fetch(
        "SELECT channel, granted, available, held FROM pools WHERE campaign = 'sale'"
        " ORDER BY channel"
    )


async def events(api):
    rows = await api.process.pool.fetch("SELECT data FROM events WHERE kind = 'quota_moved'")
    return [msgspec.json.decode(row["data"]) for row in rows]


async def shown(api):
    answer = await api.call("GET", "/v1/campaigns/sale/elastic?limit=500")
    assert answer.status == 200, answer.document
    return answer.document


async def buy(api, numbers, units):
    for number in numbers:
        answer = await api.buy(f"o{number}", ("A", units))
        assert answer.status == 202, answer.document


async def folded(api, eventually, units):
    async def held():
        return sum(row["held"] for row in await pools(api)) == units

    await eventually(held, within_s=20)


async def sold_fast(api, eventually):
    """Have a rebalancer look, a shop sell 95 of its units, and return the rebalancer."""
    rebalancer = Rebalancer(api.process, api.cell)
    await rebalancer.look()
    await buy(api, range(19), 5)
    await folded(api, eventually, 95)
    return rebalancer


async def in_a_sale(here, eventually, *terms):
    """Return an API process whose campaign has sold so, and the rebalancer that has seen it."""
    await here.worker(*OTHERS)
    api = await here.api()
    await open_sale(api, eventually, *terms)
    return api, await sold_fast(api, eventually)


async def test_units_follow_the_orders_while_these_run(here, eventually):
    await here.worker()
    await here.worker("rebalancer", name="another")  # of two, one decides
    api = await here.api()
    await open_sale(api, eventually)
    taken = 0
    async with asyncio.timeout(60):
        for number in range(100_000):
            answer = await api.buy(f"o{number}", ("A", 2))
            taken += 2 * (answer.status == 202)
            assert answer.status == 202 or answer.code == "sold_out", answer.document
            if taken == 170:
                break
            await asyncio.sleep(0.02)
    await folded(api, eventually, 170)
    await certificate(api)
    mall, mini = await pools(api)
    assert (mall["granted"], mall["available"]) == (170, 0)
    assert (mini["granted"], mini["available"]) == (30, 30)  # its floor
    told = await events(api)
    assert sum(one["units"] for one in told) == 70
    assert {(one["from"], one["to"], one["sku"]) for one in told} == {("mini", "mall", "A")}
    assert all("mall" in one["reason"] and "/s; mini has" in one["reason"] for one in told)
    page = await shown(api)
    assert [one["state"] for one in page["items"]] == ["done"] * len(told)
    assert {one["channel"]: one["available"] for one in page["shops"]} == {"mall": 0, "mini": 30}
    await pages(api, page)


async def pages(api, whole):
    first = (await api.call("GET", "/v1/campaigns/sale/elastic?limit=1")).document
    assert first["items"] == whole["items"][:1]
    assert len(first["shops"]) == 1
    after = f"/v1/campaigns/sale/elastic?limit=1&cursor={first['next_cursor']}"
    assert (await api.call("GET", after)).document["items"] == whole["items"][1:2]
    assert (await api.call("GET", "/v1/campaigns/sale/elastic?sku=B")).document["shops"] == []


@pytest.mark.parametrize("failure", [OutcomeUnknown, Closed])
async def test_a_decision_is_done_once_whoever_is_killed(here, eventually, monkeypatch, failure):
    api, first = await in_a_sale(here, eventually)
    call = api.cell.call

    async def broken(script, claims, *rest):
        if script == "move" and failure is OutcomeUnknown:
            await call(script, claims, *rest)  # done, and nobody was told
        if script == "move":
            raise failure
        return await call(script, claims, *rest)

    monkeypatch.setattr(api.cell, "call", broken)
    with pytest.raises(failure):
        await first.look()
    assert await events(api) == []
    monkeypatch.undo()
    # decided already: it is done and not decided again
    assert await first.look()
    assert [one["units"] for one in await events(api)] == [20]
    other = await here.worker("recorder", name="other")
    second = Rebalancer(other, api.cell)
    assert not await second.look(), "it is the first one's duty"
    await other.pool.execute("UPDATE duties SET until = now() - interval '1 s'")
    assert await second.look()

    async def moved():
        return [row["granted"] for row in await pools(api)] == [120, 80]

    await eventually(moved, within_s=20)
    assert len(await events(api)) == 1
    await certificate(api)


async def test_what_is_only_observed_is_not_done(here, eventually):
    api, rebalancer = await in_a_sale(here, eventually, ELASTIC | {"observe_only": True})
    await rebalancer.look()
    (one,) = (await shown(api))["items"]
    assert (one["state"], one["units"], one["source"]) == ("observed", 20, "mini")
    assert [row["granted"] for row in await pools(api)] == [100, 100]
    assert await events(api) == []


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_marketplace_lends_only_what_it_has_confirmed(here, eventually, accepted):
    api = await beside_a_marketplace(here, eventually)
    rebalancer = await sold_fast(api, eventually)
    await rebalancer.look()
    (one,) = (await shown(api))["items"]
    assert (one["how"], one["state"], one["units"]) == ("drain", "requested", 20)
    asked = await published(api, eventually, 80)
    await rebalancer.look()
    assert [row["granted"] for row in await pools(api)] == [100, 100], "asked is not lent"
    assert await events(api) == []
    await told(api, "ack", {**asked, "accepted": accepted})

    async def ended():
        await rebalancer.look()
        (one, *_) = reversed((await shown(api))["items"])
        return one if one["state"] in {"done", "refused"} else None

    one = await eventually(ended, within_s=20)
    if accepted:
        assert (one["state"], one["units"]) == ("done", 20)
        assert [told["units"] for told in await events(api)] == [20]
        await eventually(lambda: moved_to(api, [120, 80]), within_s=20)
    else:
        assert (one["state"], one["detail"]) == ("refused", "not_reducible")
        assert await events(api) == []
        assert [row["granted"] for row in await pools(api)] == [100, 100]
    await certificate(api)


async def beside_a_marketplace(here, eventually):
    """A sale of which one shop is a marketplace that has confirmed what it shows."""
    await here.worker(*OTHERS, "shelver")
    api = await here.api()
    await open_sale(api, eventually, mini={"authority": "external"})
    link = {"channel": "mini", "item_id": "1", "sku_id": "s"}
    body = {"listings": [link | {"sku": "A", "units_per": 1}]}
    answer = await api.call("POST", "/v1/listings", body)
    assert answer.status == 200, answer.document
    settings = {"item_id": "1", "sku_id": "s", "lag_seconds": 0}
    await told(api, "settings", settings, method="PUT")
    await told(api, "ack", {**(await published(api, eventually, 100)), "accepted": True})
    return api


async def moved_to(api, granted):
    return [row["granted"] for row in await pools(api)] == granted


async def published(api, eventually, units):
    """The listing's number, once it says so many units."""

    async def it_says():
        answer = await api.call("GET", "/v1/publications")
        rows = [one for one in answer.document["items"] if one["published"] == units]
        return {name: rows[0][name] for name in ("item_id", "sku_id", "number")} if rows else None

    return await eventually(it_says, within_s=20)


async def told(api, verb, item, method="POST"):
    body = {"channel": "mini", "items": [item]}
    answer = await api.call(method, f"/v1/publications:{verb}", body)
    assert answer.status == 200, answer.document


async def test_a_lender_that_sold_meanwhile_keeps_its_floor(here, eventually, monkeypatch):
    api, rebalancer = await in_a_sale(here, eventually)
    call = api.cell.call

    async def late(script, claims, *rest):
        if script == "move":  # between the look and the move
            answer = await api.buy("late", ("A", 60), channel="mini")
            assert answer.status == 202, answer.document
        return await call(script, claims, *rest)

    monkeypatch.setattr(api.cell, "call", late)
    await rebalancer.look()
    (one,) = (await shown(api))["items"]
    assert (one["state"], one["detail"]) == ("refused", "only 10 units were free by then")
    assert [row["granted"] for row in await pools(api)] == [100, 100]
    assert await events(api) == []


async def test_a_paused_sale_lends_nothing(here, eventually):
    api, rebalancer = await in_a_sale(here, eventually)
    await api.call("POST", "/v1/skus/A/pause", {"reason": "wrong price"})

    async def paused():
        return await api.process.pool.fetchval("SELECT count(*) FROM pauses")

    await eventually(paused, within_s=20)
    await rebalancer.look()
    assert (await shown(api))["items"] == []
    await api.call("POST", "/v1/skus/A/resume", {"reason": ""})

    async def resumed():
        return not await paused()

    await eventually(resumed, within_s=20)
    await rebalancer.look()
    assert len((await shown(api))["items"]) == 1


async def test_a_recorded_sale_is_played_again(here, eventually):
    await here.worker(*OTHERS)
    api = await here.api()
    await open_sale(api, eventually)
    await buy(api, range(20), 5)
    answer = await api.buy("mini-1", ("A", 3), channel="mini")
    assert answer.status == 202, answer.document
    await api.cancel((await api.buy("late", ("A", 4), channel="mini")).document["order_id"], "c1")
    await folded(api, eventually, 103)
    async with api.process.pool.acquire() as connection:
        found, policy = await past.of_campaign(connection, "main", "sale")
        with pytest.raises(NotFound):
            await past.of_campaign(connection, "main", "fair")
    assert msgspec.to_builtins(policy) == msgspec.to_builtins(policy) | ELASTIC
    assert found.quotas == {"A": {"mall": 100, "mini": 100}}
    assert [(wish.shop, wish.units) for wish in found.wishes] == [("mall", 5)] * 20 + [("mini", 3)]
    assert 3600 <= found.wishes[0].at_s <= found.lasts_s < 3700
    assert play(found, policy).sold == {"mall": 100, "mini": 3}


async def test_a_move_by_hand_may_keep_some_too(here, eventually):
    await here.worker(*OTHERS)
    api = await here.api()
    await open_sale(api, eventually)
    source, target = ({"channel": name, "campaign": "sale"} for name in ("mini", "mall"))
    move = {"move_id": "m1", "sku": "A", "units": 71, "keep": 30, "from": source, "to": target}
    answer = await api.call("POST", "/v1/pools:move", move)
    assert (answer.status, answer.document["available"]) == (409, 70)
    answer = await api.call("POST", "/v1/pools:move", move | {"move_id": "m2", "units": 70})
    assert answer.status == 200, answer.document
    answer = await api.call("POST", "/v1/pools:move", move | {"move_id": "m3", "keep": -1})
    assert (answer.status, answer.document["errors"][0]["pointer"]) == (400, "/keep")


async def test_the_command_plays_a_recorded_sale(here, eventually, settings, capsys):
    await here.worker(*OTHERS)
    api = await here.api()
    await open_sale(api, eventually)
    assert await run(settings, Options(campaign="sale")) == 1
    assert "nothing was sold" in capsys.readouterr().err
    await buy(api, range(5), 5)
    await folded(api, eventually, 25)
    assert await run(settings, Options(campaign="sale")) == 0
    told = capsys.readouterr().out
    assert told.startswith("campaign sale: 3,6")
    assert "static split: 25 units sold; elastic: 25 (+0) by 0 moves" in told
