"""Plans over HTTP: put by version, checked, tried, activated, and what is refused on the way."""

import asyncio
from pathlib import Path

import pytest
import yaml

from engine.infra.http import keys
from engine.infra.runtime import RUNTIME
from engine.kernel.expressions import checking
from engine.routing.api import plans as api
from engine.routing.rules import lifecycle
from tests.flow.surface import Surface, served

ROOT = Path(__file__).parents[2]
NORTH = "/v1/routing-plans/north"
RULE = {"seq": 1, "name": "nearest", "scorers": [{"metric": "distance"}]}
PLAN = {"plan": "north", "stages": [{"seq": 1, "match": "total > 0", "rules": [RULE]}]}
GOOD = {"order": {"lines": {"a": 1}, "facts": {"total": 5}}, "nodes": {"N": {}},
        "stock": {"a": {"N": 1}}, "expect": {"parts": {"N": {"1": 1}}}}  # fmt: skip


def plan(name="north", **more):
    return PLAN | {"plan": name} | more


class House(Surface):
    async def move(self, word, version, status=200, plan="north"):
        path = f"/v1/routing-plans/{plan}/versions/{version}/{word}"
        return await self.call("POST", path, status=status)

    async def statuses(self, path=NORTH):
        listed = await self.call("GET", f"{path}/versions")
        return [(one["version"], one["status"]) for one in listed["items"]]

    async def activations(self):
        rows = await self.app[RUNTIME].pool.fetch(
            "SELECT data FROM events WHERE kind = 'plan.activated' ORDER BY id"
        )
        return [row["data"] for row in rows]


@pytest.fixture
async def house(settings, database_url):
    async with served(settings, database_url, (keys, api), House) as one:
        yield one


async def test_a_draft_is_replaced_and_everything_else_stays(house):
    made = await house.call("PUT", NORTH, PLAN, 201)
    assert (made["plan"], made["version"], made["status"]) == ("north", 1, "DRAFT")
    assert made["stages"][0]["rules"][0]["assignment"] == "MIN_SPLIT"
    assert (await house.call("PUT", NORTH, PLAN))["version"] == 1, "it says the same"
    assert (await house.call("PUT", NORTH, plan(max_hops=2)))["version"] == 2
    await house.call("GET", f"{NORTH}/versions/1", status=404)
    assert await house.statuses() == [(2, "DRAFT")]
    await house.move("activate", 2)
    assert (await house.call("PUT", NORTH, plan(max_hops=4)))["status"] == "DRAFT"
    assert await house.statuses() == [(3, "DRAFT"), (2, "ACTIVE")]
    assert (await house.call("GET", f"{NORTH}/versions/2"))["max_hops"] == 2
    assert (await house.call("GET", NORTH))["max_hops"] == 4
    listed = await house.call("GET", "/v1/routing-plans")
    assert [(one["plan"], one["version"]) for one in listed["items"]] == [("north", 3)]


async def test_activating_one_archives_the_other_and_tells_of_it(house):
    for name in ("north", "south"):
        await house.call("PUT", f"/v1/routing-plans/{name}", plan(name), 201)
    first = await house.move("activate", 1)
    assert (first["status"], first["effective_to"]) == ("ACTIVE", None)
    assert first["activated_by"]
    assert await house.move("activate", 1) == first, "it is already"
    await house.move("activate", 1, plan="south")
    (old,) = (await house.call("GET", f"{NORTH}/versions"))["items"]
    assert old["status"] == "ARCHIVED"
    assert old["effective_from"] == first["effective_from"]
    assert old["effective_to"] is not None
    back = await house.move("activate", 1)
    assert (back["status"], back["effective_to"]) == ("ACTIVE", None), "the way back"
    told = await house.activations()
    assert len(told) == 3
    assert '"plan":"south"' in told[1].replace(" ", "")
    await house.move("archive", 1)
    assert await house.statuses() == [(1, "ARCHIVED")]


async def test_two_that_activate_at_once_leave_one_active(house):
    names = [f"p{n}" for n in range(6)]
    for name in names:
        await house.call("PUT", f"/v1/routing-plans/{name}", plan(name), 201)
    await asyncio.gather(*(house.move("activate", 1, plan=name) for name in names))
    listed = await house.call("GET", "/v1/routing-plans")
    found = sorted(one["status"] for one in listed["items"])
    assert found == ["ACTIVE", *["ARCHIVED"] * 5]


async def test_a_shadow_stands_beside_the_active_one_and_not_in_its_place(house):
    await house.call("PUT", NORTH, PLAN, 201)
    await house.move("activate", 1)
    refused = await house.move("shadow", 1, 409)
    assert (refused["code"], refused["state"]) == ("conflict", "ACTIVE")
    for n in range(lifecycle.SHADOWS_MAX):
        await house.call("PUT", f"/v1/routing-plans/s{n}", plan(f"s{n}"), 201)
        await house.move("shadow", 1, plan=f"s{n}")
    await house.call("PUT", "/v1/routing-plans/more", plan("more"), 201)
    await house.move("shadow", 1, 409, plan="more")
    await house.move("archive", 1, plan="s0")
    await house.move("shadow", 1, plan="more")
    assert await house.statuses() == [(1, "ACTIVE")]


WRONG = [
    ({"stages": [{"seq": 1, "match": "totl > 0", "rules": [RULE]}]},
     "/stages/0/match", "is it total?", (1, 1)),
    ({"stages": [{"seq": 1, "match": "units > 1 &&\n  total > 'x'", "rules": [RULE]}]},
     "/stages/0/match", "is not for", (2, 9)),
    ({"stages": [{"seq": 1, "rules": [RULE | {"scorers": [{"metric": "joy"}]}]}]},
     "/stages/0/rules/0/scorers/0/metric", "is no metric", (1, 1)),
    ({"stages": [{"seq": 1, "rules": [RULE, RULE]}]},
     "/stages/0/rules/1/seq", "is given twice", (1, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("more", "pointer", "detail", "place"), WRONG, ids=str)
async def test_what_does_not_compile_is_told_at_its_place_and_not_kept(
    house, more, pointer, detail, place
):
    refused = await house.call("PUT", NORTH, plan(**more), 422)
    assert refused["code"] == "plan_invalid"
    (error,) = refused["errors"]
    assert error["pointer"] == pointer
    assert detail in error["detail"]
    assert (error["line"], error["column"]) == place
    await house.call("GET", NORTH, status=404)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (plan("south"), "/plan"),
        (plan(stages=[]), "/stages"),
        (plan(joy=1), "/joy"),
        (plan(stages=[{"seq": 1, "rules": [RULE | {"name": "\x00"}]}]), "/stages/0/rules/0/name"),
        (plan(examples=[{"order": {"lines": {"a": 1}, "priority": 10**30}, "expect": {}}]), ""),
    ],
    ids=["other name", "no stages", "no such field", "U+0000", "a number of 100 bits"],
)
async def test_what_is_no_plan_is_refused_at_its_place(house, body, pointer):
    refused = await house.call("PUT", NORTH, body, 400)
    assert [one["pointer"] for one in refused["errors"]] == [pointer]
    await house.call("GET", NORTH, status=404)


async def test_examples_are_decided_by_check_and_before_a_plan_is_active(house):
    other = GOOD | {
        "name": "off",
        "expect": {"parts": {"M": {"1": 1}}},
        "nodes": {"N": {}, "M": {}},
    }
    await house.call("PUT", NORTH, plan(examples=[GOOD, other]), 201)
    found = await house.move("check", 1)
    assert (found["valid"], found["examples"], found["errors"]) == (False, 2, [])
    assert [(one["example"], one["name"]) for one in found["failed"]] == [(2, "off")]
    refused = await house.move("activate", 1, 422)
    assert [one["pointer"] for one in refused["errors"]] == ["/examples/1"]
    assert await house.statuses() == [(1, "DRAFT")]
    await house.move("shadow", 1)
    await house.call("PUT", NORTH, plan(examples=[GOOD]))
    assert (await house.move("check", 2))["valid"]
    await house.move("activate", 2)
    assert await house.statuses() == [(2, "ACTIVE"), (1, "SHADOW")]


@pytest.mark.parametrize("name", ["shopify", "hotwax", "sterling"])
async def test_the_plans_in_the_tree_are_kept_as_they_are_written(house, name):
    text = (ROOT / "plans" / f"{name}.yaml").read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    path = f"/v1/routing-plans/{name}"
    made = await house.call("PUT", path, document, 201)
    found = await house.move("check", 1, plan=name)
    assert (found["valid"], found["examples"]) == (True, len(document["examples"]))
    again = {key: value for key, value in made.items() if key in document}
    assert (await house.call("PUT", path, again))["version"] == 1, "it reads what it answers"


async def test_a_version_that_cannot_be_is_not_found(house):
    await house.call("PUT", NORTH, PLAN, 201)
    for number in ("2", "0", "-1", "x", "9" * 30):
        await house.call("GET", f"{NORTH}/versions/{number}", status=404)
        for word in ("check", "activate", "shadow", "archive"):
            await house.move(word, number, 404)
    await house.call("GET", "/v1/routing-plans/none/versions", status=404)


async def test_a_change_of_another_version_is_refused(house):
    await house.call("PUT", NORTH, PLAN, 201)
    answer = await house.client.put(
        NORTH, json=plan(max_hops=1),
        headers={"Authorization": "Bearer an-admin-key-of-the-tests", "If-Match": '"7"'},
    )  # fmt: skip
    assert answer.status == 412
    assert (await house.call("GET", NORTH))["max_hops"] == 3


async def test_without_the_library_of_conditions_the_answer_says_so(house, monkeypatch):
    await house.call("PUT", NORTH, PLAN, 201)
    monkeypatch.setattr(checking, "cel", None)
    refused = await house.call("PUT", NORTH, plan(max_hops=1), 501)
    assert refused["code"] == "not_installed"
    assert "cel-expr-python" in refused["detail"]
    for word in ("check", "activate"):
        assert (await house.move(word, 1, 501))["code"] == "not_installed"
    await house.move("archive", 1)
    assert (await house.call("GET", NORTH))["status"] == "ARCHIVED"


async def test_only_an_admin_reads_or_changes_plans(house):
    await house.call("PUT", NORTH, PLAN, 201)
    body = {"name": "a", "scopes": ["stock:write", "stock:read", "orders:read"]}
    key = (await house.call("POST", "/v1/keys", body, 201))["key"]
    await house.call("PUT", NORTH, PLAN, 403, key=key)
    for path in (NORTH, "/v1/routing-plans", f"{NORTH}/versions", f"{NORTH}/versions/1"):
        await house.call("GET", path, status=403, key=key)
    for word in ("check", "activate", "shadow", "archive"):
        await house.call("POST", f"{NORTH}/versions/1/{word}", status=403, key=key)
