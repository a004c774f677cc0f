"""The rules of review over HTTP."""

import pytest

from engine.infra.http import keys
from engine.kernel.expressions import checking
from engine.review import api
from tests.flow.surface import served

RULES = "/v1/review-rules"
RISK = {"name": "risk", "when": "risk >= 80", "reason": "risk score", "hold_minutes": 60}


@pytest.fixture
async def house(settings, database_url):
    async with served(settings, database_url, (keys, api)) as one:
        yield one


async def test_rules_are_put_shown_and_changed(house):
    await house.call("GET", RULES, status=404)
    made = await house.call("PUT", RULES, {"rules": [RISK]}, 201)
    assert (made["name"], made["version"], made["rules"][0]["do"]) == ("main", 1, "block")
    assert (await house.call("PUT", RULES, {"rules": [RISK]}))["version"] == 1
    assert (await house.call("PUT", RULES, {"rules": []}))["version"] == 2
    assert (await house.call("GET", RULES))["rules"] == []


@pytest.mark.parametrize(
    ("rule", "pointer"),
    [
        ({"when": "rsik > 1"}, "/rules/0/when"),
        ({"when": ""}, "/rules/0/when"),
        ({"reason": " "}, "/rules/0/reason"),
        ({"reason": "\x00"}, "/rules/0/reason"),
        ({"do": "lose"}, "/rules/0/do"),
        ({"hold_minutes": -1}, "/rules/0/hold_minutes"),
        ({"name": ""}, "/rules/0/name"),
    ],
    ids=str,
)
async def test_what_is_wrong_is_told_at_its_place(house, rule, pointer):
    refused = await house.call("PUT", RULES, {"rules": [RISK | rule]}, 400)
    assert [one["pointer"] for one in refused["errors"]] == [pointer]
    await house.call("GET", RULES, status=404)


async def test_without_the_library_of_conditions_the_answer_says_so(house, monkeypatch):
    monkeypatch.setattr(checking, "cel", None)
    refused = await house.call("PUT", RULES, {"rules": [RISK]}, 501)
    assert refused["code"] == "not_installed"
    await house.call("PUT", RULES, {"rules": []}, 201)


async def test_only_an_admin_reads_or_changes_them(house):
    body = {"name": "a", "scopes": ["stock:write", "stock:read", "orders:read"]}
    key = (await house.call("POST", "/v1/keys", body, 201))["key"]
    await house.call("PUT", RULES, {"rules": []}, 403, key=key)
    await house.call("GET", RULES, status=403, key=key)
