"""Why a shop may sell so many: terms sum up, and what is suggested frees what it says."""

import asyncio
import os
import subprocess
import sys

import pytest

from engine import settings as settings_of
from tests.fault.engines import ADMIN, certificate, house

POLICY = {
    "sku": "tea",
    "channels": [
        {"channel": "mall", "quota": 10, "shared_cap": 15},
        {"channel": "app", "ratio": 0.25, "draw_order": ["own"]},
    ],
}
CAMPAIGN = {
    "name": "sale",
    "starts_at": "2020-01-01T00:00:00Z",
    "ends_at": "2099-01-01T00:00:00Z",
    "skus": [{"sku": "tea", "quota": {"mall": 6}}],
    "waves": [{"at": "2098-01-01T00:00:00Z", "quota": {"mall": 4}}],
}


@pytest.fixture
async def api(settings, eventually):
    """100 on hand at a node of ours, 40 at one that is switched off."""
    async with house(settings) as here:
        await here.worker()
        one = await here.api()
        for path, body in {
            "skus/tea": {"name": "Tea"},
            "skus/milk": {"name": "Milk"},
            "channels/mall": {"name": "mall"},
            "channels/app": {"name": "app"},
            "nodes/N": {"name": "N"},
            "nodes/M": {"name": "M", "enabled": False},
            "stock-rules/safe": {"kind": "safety", "match": {"sku": "tea"}, "units": 8},
            "stock-rules/b2b": {"kind": "set_aside", "match": {"node": "N"}, "percent": 10},
            "supply-policies/tea": POLICY,
            "campaigns/sale": CAMPAIGN,
        }.items():
            await put(one, f"/v1/{path}", body)
        await count(one, "r1", "N", {"sku": "tea", "quantity": 100, "locked": 7},
                    {"sku": "tea", "quantity": 5, "condition": "defective"})  # fmt: skip
        await count(one, "r2", "M", {"sku": "tea", "quantity": 40})
        await settled(one, eventually)
        yield one


async def put(api, path, body, status=201, **headers):
    answer = await api.call("PUT", path, body, **headers)
    assert answer.status == status, answer.document
    return answer.document


async def count(api, report, node, *lines):
    body = {"report": report, "node": node, "basis": "on_hand", "lines": lines,
            "as_of": "2026-01-02T00:00:00Z"}  # fmt: skip
    answer = await api.call("POST", "/v1/inventory/counts", body)
    assert answer.status == 200, answer.document


async def explained(api, channel="mall", campaign=""):
    answer = await api.call("GET", f"/v1/stock/tea?channel={channel}")
    assert answer.status == 200, answer.document
    return next(one for one in answer.document["channel"] if one["campaign"] == campaign)


async def settled(api, eventually):
    """Wait until all that was asked for is in the cell and recorded."""

    async def quiet():
        await certificate(api)
        for channel in ("mall", "app"):
            one = await explained(api, channel)
            assert "on_its_way" not in [term["kind"] for term in one["terms"]], one
        return True

    await eventually(quiet, within_s=20)


def capped_at(cap):
    mall, app = POLICY["channels"]
    return "/v1/supply-policies/tea", POLICY | {"channels": [mall | {"shared_cap": cap}, app]}


def told(one):
    return [(term["kind"], term["about"], term["units"]) for term in one["terms"]]


async def test_the_chain_of_a_channel(api, eventually):
    answer = await api.buy("1", ("tea", 3), campaign="", channel="mall")
    assert answer.status == 202, answer.document
    await settled(api, eventually)
    one = await explained(api)
    assert one["start"] == 145
    assert told(one) == [
        ("disabled", "M", 40),
        ("locked", "", 7),
        ("condition", "defective", 5),
        ("safety", "safe", 8),
        ("set_aside", "b2b", 9),  # a tenth of 85, rounded up
        ("held", "", 3),
        ("waves", "", 4),
        ("pool", "app", 14),  # a quarter of the 56 that no quota takes
        ("pool", "mall in sale", 6),
        ("cap", "shared", 27),
    ]
    assert one["sellable"] == 22
    left = one["start"]
    for term in one["terms"]:
        left -= term["units"]
        assert term["left"] == left
    listed = await api.call("GET", "/v1/stock?channel=mall&sku=tea")
    assert [each["sellable"] for each in listed.document["items"]] == [22, 6]


async def test_what_binds_and_each_suggestion_frees_what_it_says(api, eventually):
    one = await explained(api)
    assert one["binding"]["kind"] == "cap"
    said = {change["change"]: change for change in one["changes"]}
    assert set(said) == {"raise_cap", "move_units"}  # more shared units are beyond the cap, too
    before = one["sellable"]
    frees = said["raise_cap"]["frees"]
    await put(api, *capped_at(15 + frees), 200, If_Match='"1"')
    await settled(api, eventually)
    assert (await explained(api))["sellable"] == before + frees

    await put(api, *capped_at(None), 200, If_Match='"2"')
    await settled(api, eventually)
    one = await explained(api)
    assert (one["binding"]["kind"], one["binding"]["about"]) == ("disabled", "M")

    for change, about, path, body in (
        ("disable_rule", "safe", "stock-rules/safe",
         {"kind": "safety", "match": {"sku": "tea"}, "units": 8, "enabled": False}),
        ("disable_rule", "b2b", "stock-rules/b2b",
         {"kind": "set_aside", "match": {"node": "N"}, "percent": 10, "enabled": False}),
        ("count_node", "M", "nodes/M", {"name": "M"}),
    ):  # fmt: skip
        one = await explained(api)
        before, (frees,) = one["sellable"], [
            each["frees"] for each in one["changes"]
            if (each["change"], each["about"]) == (change, about)
        ]  # fmt: skip
        await put(api, f"/v1/{path}", body, 200)
        await settled(api, eventually)
        assert (await explained(api))["sellable"] == before + frees, change


async def test_what_pools_will_change_among_each_other_is_on_no_way(api, eventually):
    """A share by ratio follows the units with the next change, and none is missing until then."""
    answer = await api.buy("1", ("tea", 5), campaign="", channel="app")
    assert answer.status == 202, answer.document
    await settled(api, eventually)
    kinds = {(term["kind"], term["units"]) for term in (await explained(api, "app"))["terms"]}
    assert ("waves", 4) in kinds


async def test_units_of_another_shop_are_moved(api, eventually):
    one = await explained(api)
    change = next(each for each in one["changes"] if each["about"] == "app")
    assert change["change"] == "move_units"
    body = {"move_id": "m", "sku": "tea", "units": change["frees"],
            "from": {"channel": "app"}, "to": {"channel": "mall"}}  # fmt: skip
    answer = await api.call("POST", "/v1/pools:move", body)
    assert answer.status == 200, answer.document
    await settled(api, eventually)
    assert (await explained(api))["sellable"] == one["sellable"] + change["frees"]


async def test_a_pause_keeps_everything_and_says_so(api, eventually):
    before = (await explained(api))["sellable"]
    await api.call("POST", "/v1/skus/tea/pause", {})
    await settled(api, eventually)
    one = await explained(api)
    assert (one["sellable"], one["binding"]["kind"]) == (0, "paused_sku")
    assert [(each["change"], each["frees"]) for each in one["changes"]] == [("resume", before)]
    await api.call("POST", "/v1/skus/tea/resume", {})
    await settled(api, eventually)
    assert (await explained(api))["sellable"] == before


async def test_units_that_are_not_there_are_in_the_chain(api, eventually):
    answer = await api.buy("1", ("tea", 20), campaign="", channel="mall")
    assert answer.status == 202, answer.document
    body = {"reference": "fire", "kind": "damage",
            "lines": [{"node": "N", "sku": "tea", "quantity": 90}]}  # fmt: skip
    assert (await api.call("POST", "/v1/inventory/movements", body)).status == 200
    await settled(api, eventually)
    one = await explained(api)
    assert ("short", "", -20) in told(one) or one["terms"][-1]["left"] == one["sellable"] == 0
    page = await api.call("GET", "/v1/stock/tea")
    assert page.document["logical"]["groups"][0]["lacking"] == -next(
        term["units"] for term in one["terms"] if term["kind"] == "short"
    )


async def test_many_terms_of_a_kind_are_one_until_a_channel_is_asked_for(api):
    for n in range(9):
        await put(api, f"/v1/nodes/closed-{n}", {"name": "M", "enabled": False})
        await count(api, f"r3{n}", f"closed-{n}", {"sku": "tea", "quantity": n + 1})

    def switched_off(one):
        return [(term["about"], term["units"]) for term in one["terms"]
                if term["kind"] == "disabled"]  # fmt: skip

    among = (await api.call("GET", "/v1/stock/tea")).document["channel"]
    assert all(one["more"] and len(switched_off(one)) == 9 for one in among)
    assert ("2 others", 3) in switched_off(among[0])
    alone = await explained(api)
    assert not alone["more"]
    assert len(switched_off(alone)) == 10


async def test_what_nobody_counted_is_declared(api, eventually):
    policy = {"sku": "milk", "shared": 9, "channels": [{"channel": "mall", "quota": 2}]}
    await put(api, "/v1/supply-policies/milk", policy)

    async def there():
        page = (await api.call("GET", "/v1/stock/milk")).document
        assert page["physical"] == {"counted": False, "on_hand": 0, "nodes": []}
        (one,) = page["channel"]
        assert (one["start"], one["sellable"], one["binding"]) == (11, 11, None)
        return True

    await eventually(there, within_s=20)


async def test_a_bound_key_sees_what_it_may_sell_and_no_reasons(api):
    body = {"name": "shop", "scopes": ["stock:read"], "channel": "mall"}
    key = (await api.call("POST", "/v1/keys", body)).document["key"]
    mine = (await api.call("GET", "/v1/stock/tea", Authorization=f"Bearer {key}")).document
    assert {one["channel"] for one in mine["channel"]} == {"mall"}
    assert [mine[layer] for layer in ("physical", "logical", "shared")] == [None] * 3
    assert all(not one["terms"] and not one["changes"] for one in mine["channel"])
    unsold = await api.call("GET", "/v1/stock/milk", Authorization=f"Bearer {key}")
    assert (unsold.status, unsold.code) == (404, "not_found")
    other = await api.call("GET", "/v1/stock/tea?channel=app", Authorization=f"Bearer {key}")
    assert other.status in {403, 404}
    assert (await api.call("GET", "/v1/stock/none", Authorization=f"Bearer {ADMIN}")).status == 404


@pytest.mark.usefixtures("api")
async def test_the_command_draws_it(settings):
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "engine", "stock", "explain", "tea", "--channel", "mall"],
        env={**os.environ, **settings_of.environment(settings)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("tea  as of ")
    assert any("safety stock safe" in line and " -8 │" in line for line in lines)
    assert any(line.endswith("<") and "beyond the cap of shared" in line for line in lines)
    assert any("for sale" in line for line in lines)
