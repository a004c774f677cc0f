"""Profiles of nodes over HTTP, and what they come to."""

from datetime import date

import pytest

from engine.infra.http import keys
from engine.infra.runtime import RUNTIME
from engine.physical import api as physical
from engine.places import api
from engine.places.rules import calendars, profiles
from engine.places.service import places
from engine.places.types.calendars import ALWAYS
from engine.places.types.regions import Region
from tests.flow.surface import Surface, served

PROFILE = "/v1/nodes/N/profile"
WEEKDAYS = ["09:00-12:00", "13:00-18:00"]
BODY = {
    "week": {"mon": WEEKDAYS, "sat": [], "sun": []}, "holidays": "CN",
    "exceptions": [{"date": "2026-12-31", "reason": "盘点"},
                   {"date": "2026-10-03", "slots": ["10:00-16:00"]}],
    "overrides": [{"from": "2026-11-10", "to": "2026-11-12", "campaign": "d11",
                   "slots": ["00:00-24:00"], "capacity": {"orders": 90_000}}],
    "cutoffs": {"sf-air": "18:30", "*": "16:00"},
    "handling": [{"load": 500, "minutes": 240}, {"load": 0, "minutes": 60}],
    "capacity": {"orders": 5_000, "grams": 0}, "modes": ["pickup", "ship", "pickup"],
    "point_of_no_return": "picked", "wms": {"language": "plain", "url": "https://wms.example/in"},
}  # fmt: skip


@pytest.fixture
async def here(settings, database_url):
    async with served(settings, database_url, (keys, physical, api), Surface) as one:
        address = {"country": "CN", "region_code": "330110"}
        await one.call("PUT", "/v1/nodes/N", {"name": "N", "address": address}, 201)
        yield one


async def test_a_profile_is_put_shown_and_changed(here):
    missing = await here.call("GET", PROFILE, status=404)
    assert missing["detail"] == "there is no such node profile"
    made = await here.call("PUT", PROFILE, BODY, 201)
    assert (made["node"], made["version"], made["modes"]) == ("N", 1, ["pickup", "ship"])
    assert [one["date"] for one in made["exceptions"]] == ["2026-10-03", "2026-12-31"]
    assert made["week"]["tue"] == ["00:00-24:00"]
    assert await here.call("GET", PROFILE) == made
    assert (await here.call("PUT", PROFILE, BODY))["version"] == 1
    again = await here.call("PUT", PROFILE, BODY | {"modes": ["ship"]})
    assert (again["version"], again["modes"]) == (2, ["ship"])
    nobody = await here.call("PUT", "/v1/nodes/X/profile", {}, 404)
    assert nobody["detail"] == "there is no such node"


WRONG = [
    ({"week": {"mon": ["09:00-08:00"]}}, "/week/mon/0"),
    ({"week": {"mon": ["09:00-25:00"]}}, "/week/mon/0"),
    ({"week": {"mon": ["09:00-12:00", "11:00-13:00"]}}, "/week/mon"),
    ({"holidays": "C1"}, "/holidays"),
    ({"holidays": "XX"}, "/holidays"),
    ({"exceptions": [{"date": "2026-02-30"}]}, "/exceptions/0/date"),
    ({"exceptions": [{"date": "2026-02-03"}, {"date": "2026-02-03"}]}, "/exceptions/1/date"),
    ({"overrides": [{"from": "2026-02-03", "to": "2026-02-02"}]}, "/overrides/0/to"),
    ({"overrides": [{"from": "2026-02-03", "to": "2028-02-02"}]}, "/overrides/0/to"),
    ({"cutoffs": {"*": "24:00"}}, "/cutoffs/*"),
    ({"cutoffs": {"": "12:00"}}, "/cutoffs/"),
    ({"handling": [{"load": 1, "minutes": 2}, {"load": 1, "minutes": 3}]}, "/handling"),
    ({"wms": {"language": "plain"}}, "/wms/url"),
    ({"wms": {"language": "plain", "url": "file:///etc/passwd"}}, "/wms/url"),
    ({"wms": {"url": "https://a"}}, "/wms/url"),
    ({"wms": {"codes": {"S01": "maybe"}}}, "/wms/codes"),
    ({"wms": {"owner": "\x01"}}, "/wms/owner"),
    ({"modes": ["fly"]}, "/modes/0"),
    ({"point_of_no_return": "soon"}, "/point_of_no_return"),
    ({"tags": ["\x01"]}, "/tags/0"),
    ({"metrics": {"a\x00": 1}}, "/metrics/a\x00"),
]


@pytest.mark.parametrize(("body", "pointer"), WRONG, ids=lambda one: str(one)[:40])
async def test_what_is_wrong_is_told_at_its_place(here, body, pointer):
    refusal = await here.call("PUT", PROFILE, body, 400)
    assert [one["pointer"] for one in refusal["errors"]] == [pointer]
    await here.call("GET", PROFILE, status=404)


async def test_a_node_is_a_site_with_its_calendar_and_its_place(here):  # noqa: PLR0915 - one node
    await here.call("PUT", "/v1/nodes/A", {"name": "A", "kind": "STORE", "address": {
        "latitude": 30.25, "longitude": 120.17}}, 201)  # fmt: skip
    await here.call("PUT", "/v1/nodes/Z", {"name": "Z", "enabled": False}, 201)
    await here.call("PUT", "/v1/nodes/Y", {"name": "Y", "controlled_by": "channel"}, 201)
    await here.call("PUT", PROFILE, BODY, 201)
    now = 1_790_000_000_000  # 2026-09-21
    pool = here.app[RUNTIME].pool
    async with pool.acquire() as db:
        async with db.transaction():
            own = [
                Region("330110", "余杭区", 30.42, 120.30),
                Region("US-CA", "California", None, None),
            ]
            assert await places.keep_regions(db, "main", [own[0]._replace(name="?"), *own]) == 2
            assert await places.keep_regions(db, "main", own) == 0
            assert await places.keep_regions(db, "main", []) == 0
        known = await places.all_regions(db, "main")
        plain, one = await places.sites(db, "main", now, known)
    assert (plain.node, plain.calendar, plain.kind) == ("A", ALWAYS, "STORE")
    assert (plain.latitude, plain.longitude, plain.region) == (30.25, 120.17, "")
    assert (one.latitude, one.longitude, one.region) == (30.42, 120.30, "330110")
    assert known.name("US-CA") == "California"
    assert known.name("440100") == "广州市"
    day = date(2026, 10, 3).toordinal()
    assert calendars.slots(one.calendar, day) == ((600, 960),)
    assert calendars.slots(one.calendar, day + 1) == ()
    assert calendars.slots(one.calendar, date(2026, 10, 10).toordinal()) == (
        (540, 720),
        (780, 1080),
    )
    assert 2027 not in one.calendar.holidays.known
    assert one.handling == ((0, 60), (500, 240))
    assert profiles.cutoff(one.profile, "sf-air") == 18 * 60 + 30
    assert profiles.cutoff(one.profile, "other") == 16 * 60
    assert profiles.cutoff(plain.profile, "other") is None
    sale = date(2026, 11, 11).toordinal()
    assert profiles.limits(one.profile, sale)["orders"] == 90_000
    assert profiles.limits(one.profile, sale + 2) == {
        "orders": 5_000, "lines": None, "units": None, "grams": 0
    }  # fmt: skip


async def test_keys_that_are_bound_or_lack_the_scope_are_refused(here):
    async def key(channel, *scopes):
        body = {"name": "a", "scopes": scopes, "channel": channel}
        return (await here.call("POST", "/v1/keys", body, 201))["key"]

    bound = await key("mall", "stock:read", "stock:write")
    reader, writer = await key("", "stock:read"), await key("", "stock:write")
    await here.call("PUT", PROFILE, BODY, 201, key=writer)
    for one, method in ((bound, "PUT"), (bound, "GET"), (reader, "PUT"), (writer, "GET")):
        await here.call(method, PROFILE, BODY if method == "PUT" else None, 403, key=one)
    assert (await here.call("GET", PROFILE, key=reader))["version"] == 1
