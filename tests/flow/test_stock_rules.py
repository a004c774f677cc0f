"""Stock rules over HTTP."""

import pytest

from engine.catalogue import api as catalogue
from engine.infra.http import keys
from engine.logical import api
from engine.physical import api as physical
from tests.flow.surface import Surface, served

RULES = "/v1/stock-rules"
SAFETY = {"kind": "safety", "match": {"category": "tea"}, "units": 3}


class House(Surface):
    """With node N and SKU A."""

    async def put(self, rule, body, status=200, **headers):
        answer = await self.client.put(
            f"{RULES}/{rule}", json=body, headers={"Authorization": f"Bearer {self.key}", **headers}
        )
        assert answer.status == status, await answer.text()
        return await answer.json(), answer.headers


@pytest.fixture
async def house(settings, database_url):
    async with served(settings, database_url, (keys, catalogue, physical, api), House) as one:
        one.key = "an-admin-key-of-the-tests"
        await one.call("PUT", "/v1/nodes/N", {"name": "N", "group": "east"}, 201)
        await one.call("PUT", "/v1/skus/A", {"name": "A", "category": "tea", "brand": "b"}, 201)
        yield one


async def test_a_rule_is_put_shown_changed_and_listed(house):
    whole = SAFETY | {"from": "2026-11-11T00:00:00+08:00", "until": "2026-11-12T00:00:00Z"}
    made, headers = await house.put("s", whole, 201)
    assert (headers["ETag"], headers["Location"]) == ('"1"', f"{RULES}/s")
    assert {name: made[name] for name in ("rule", "version", "kind", "units", "from", "until")} == {
        "rule": "s", "version": 1, "kind": "safety", "units": 3,
        "from": "2026-11-10T16:00:00.000Z", "until": "2026-11-12T00:00:00.000Z",
    }  # fmt: skip
    assert made["match"]["category"] == "tea"
    assert await house.call("GET", f"{RULES}/s") == made
    _, headers = await house.put("s", whole)
    assert headers["ETag"] == '"1"'
    told = {name: made[name] for name in made if name not in {"rule", "version", "updated_at"}}
    again, _ = await house.put("s", told | {"reason": "Double 11"}, **{"If-Match": '"1"'})
    assert (again["version"], again["reason"]) == (2, "Double 11")
    stale, _ = await house.put("s", SAFETY, 412, **{"If-Match": '"1"'})
    assert stale["code"] == "precondition_failed"
    for name in ("a", "z"):
        await house.put(name, SAFETY, 201)
    seen, cursor = [], ""
    while cursor is not None:
        page = await house.call("GET", RULES, limit=2, cursor=cursor)
        seen += [one["rule"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ["a", "s", "z"]
    missing = await house.call("GET", f"{RULES}/b", status=404)
    assert missing["detail"] == "there is no such stock rule"


async def test_what_is_wrong_is_told_at_its_place_and_nothing_is_kept(house):
    for body, pointer in (
        (SAFETY | {"days": 1}, "/days"),
        (SAFETY | {"match": {"sku": "X"}}, "/match/sku"),
        (SAFETY | {"match": {"sku": "A", "node": "X"}}, "/match/node"),
        (SAFETY | {"kind": "hold"}, "/kind"),
    ):
        refusal, _ = await house.put("r", body, 400)
        assert [one["pointer"] for one in refusal["errors"]] == [pointer]
    assert (await house.call("GET", RULES))["items"] == []
    for body, pointer in (({"group": "a\x01"}, "/group"), ({"timezone": "Moon"}, "/timezone")):
        refusal = await house.call("PUT", "/v1/nodes/N", {"name": "N"} | body, 400)
        assert refusal["errors"][0]["pointer"] == pointer
    refusal = await house.call("PUT", "/v1/skus/A", {"name": "A", "brand": "\x01"}, 400)
    assert refusal["errors"][0]["pointer"] == "/brand"


async def test_keys_that_are_bound_or_lack_the_scope_are_refused(house):
    async def key(channel, *scopes):
        body = {"name": "a", "scopes": scopes, "channel": channel}
        return (await house.call("POST", "/v1/keys", body, 201))["key"]

    bound = await key("mall", "stock:read", "stock:write")
    reader, writer = await key("", "stock:read"), await key("", "stock:write")
    await house.call("PUT", f"{RULES}/r", SAFETY, 201, key=writer)
    for one, calls in ((bound, "PUT GET LIST"), (reader, "PUT"), (writer, "GET LIST")):
        for call in calls.split():
            method, path = ("GET", RULES) if call == "LIST" else (call, f"{RULES}/r")
            body = SAFETY if call == "PUT" else None
            await house.call(method, path, body, 403, key=one)
    assert (await house.call("GET", f"{RULES}/r", key=reader))["units"] == 3
