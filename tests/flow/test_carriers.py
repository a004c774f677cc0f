"""Services, rate cards and regions switched off, over HTTP, and what is chosen by them."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.carriers import api
from engine.carriers.rules import quoting
from engine.carriers.service import fleet
from engine.infra.http import keys
from engine.infra.runtime import RUNTIME
from engine.physical import api as physical
from engine.places import api as profiles
from engine.places.service import places
from tests.flow.surface import Surface, served

AIR, CARD = "/v1/carriers/air", "/v1/rate-cards/air-2026"
SERVICE = {
    "carrier": "sf", "tier": "next_day", "zones": {"310000": "near", "*": "far"},
    "days": {"near": 1, "far": 2}, "cutoffs": {"*": "17:00"}, "pauses": [
        {"from": "2027-02-05", "to": "2027-02-08", "reason": "春节"}],
    "divisor": 6000, "cod": True, "insured_max": 500_000, "tags_not": ["hazmat"],
    "capacity": {"orders": 2_000}, "ratio": 60,
}  # fmt: skip
RATES = {
    "service": "air", "effective_from": "2026-01-01T00:00:00+08:00", "divisor": 0,
    "lines": [{"dest": "near", "first_grams": 1000, "first": 1200, "step_grams": 1000, "step": 200},
              {"first_grams": 1000, "first": 1800, "step_grams": 500, "step": 300, "least": 1900}],
    "surcharges": [{"kind": "remote", "fixed": 500, "regions": ["650000"]},
                   {"kind": "cod", "basis_points": 100, "least": 300}],
}  # fmt: skip


def later(**delta):
    return (datetime.now(UTC) + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


class House(Surface):
    async def fleet(self, ahead_ms=0):
        runtime = self.app[RUNTIME]
        now = runtime.clock.now_ms() + ahead_ms
        async with runtime.pool.acquire() as db:
            sites = await places.sites(db, "main", now, places.regions())
            return await fleet.load(db, "main", sites, now), now

    async def price(self, grams, dest, ahead_ms=0):
        found, now = await self.fleet(ahead_ms)
        (air,) = found.services
        one = quoting.quote(found.cards, air, "330110", dest, grams, 0, 0, 0, now)
        return one.card, one.version, one.price

    async def told(self, kind):
        rows = await self.app[RUNTIME].pool.fetch(
            "SELECT data FROM events WHERE kind = $1 ORDER BY id", kind
        )
        return [row["data"] for row in rows]


@pytest.fixture
async def house(settings, database_url):
    slices = (keys, physical, profiles, api)
    async with served(settings, database_url, slices, House) as one:
        await one.call("PUT", AIR, SERVICE, 201)
        yield one


async def test_a_service_is_put_shown_changed_and_listed(house):
    made = await house.call("GET", AIR)
    assert (made["service"], made["version"], made["by"]) == ("air", 1, "20:00")
    assert (await house.call("PUT", AIR, SERVICE))["version"] == 1
    assert (await house.call("PUT", AIR, SERVICE | {"ratio": 40}))["version"] == 2
    await house.call("PUT", "/v1/carriers/road", SERVICE | {"tier": "standard"}, 201)
    listed = await house.call("GET", "/v1/carriers")
    assert [one["service"] for one in listed["items"]] == ["air", "road"]
    found, _ = await house.fleet()
    assert found.limits == {
        ("air", "orders"): 2_000, ("air", "grams"): None, ("road", "orders"): 2_000,
        ("road", "grams"): None,
    }  # fmt: skip


WRONG_SERVICE = [
    ({"days": {"near": 1}}, "/days"),
    ({"days": {"near": 1, "far": 1, "moon": 1}}, "/days/moon"),
    ({"minutes": {"moon": 1}}, "/minutes/moon"),
    ({"by": "24:00"}, "/by"),
    ({"cutoffs": {"N": "7:00h"}}, "/cutoffs/N"),
    ({"grams_min": 2, "grams_max": 1}, "/grams_max"),
    ({"timezone": "Moon"}, "/timezone"),
    ({"pauses": [{"from": "2027-02-05", "to": "2027-02-04"}]}, "/pauses/0/to"),
    ({"pauses": [{"from": "2027-02-30", "to": "2027-03-04"}]}, "/pauses/0"),
    ({"zones": {"": "far", "1": "near"}}, "/zones"),
    ({"tier": "soon"}, "/tier"),
    ({"carrier": "\x01"}, "/carrier"),
]


@pytest.mark.parametrize(("more", "pointer"), WRONG_SERVICE, ids=lambda one: str(one)[:40])
async def test_what_is_wrong_with_a_service_is_told_at_its_place(house, more, pointer):
    refusal = await house.call("PUT", AIR, SERVICE | more, 400)
    assert [one["pointer"] for one in refusal["errors"]] == [pointer]
    assert (await house.call("GET", AIR))["version"] == 1


async def test_a_card_is_priced_by_and_what_took_effect_stays(house):
    made = await house.call("PUT", CARD, RATES, 201)
    assert (made["card"], made["version"], made["currency"]) == ("air-2026", 1, "CNY")
    assert await house.price(1500, "310104") == ("air-2026", 1, 1400)
    assert await house.price(1500, "650100") == ("air-2026", 1, 2100 + 500)
    assert (await house.call("PUT", CARD, RATES))["version"] == 1
    dearer = [RATES["lines"][0] | {"first": 1500}]
    for at in (RATES["effective_from"], later(seconds=-1)):
        refusal = await house.call(
            "PUT", CARD, RATES | {"effective_from": at, "lines": dearer}, 409
        )
        assert refusal["code"] == "immutable"
    assert await house.price(1500, "310104") == ("air-2026", 1, 1400)


async def test_a_version_of_later_is_replaced_until_it_takes_effect(house):
    await house.call("PUT", CARD, RATES, 201)
    for version, first in ((2, 1500), (3, 1600)):
        body = RATES | {"effective_from": later(days=version), "lines": [
            RATES["lines"][0] | {"first": first}]}  # fmt: skip
        assert (await house.call("PUT", CARD, body))["version"] == version
    assert (await house.call("GET", CARD))["version"] == 3
    assert await house.price(500, "310104") == ("air-2026", 1, 1200)
    day = 86_400_000
    assert await house.price(500, "310104", 2 * day + day // 2) == ("air-2026", 1, 1200)
    assert await house.price(500, "310104", 3 * day + day // 2) == ("air-2026", 3, 1600)
    assert await house.price(500, "650100", 3 * day + day // 2) == ("", 0, 0), "left out"
    versions = await house.call("GET", f"{CARD}/versions", limit=1)
    assert [one["version"] for one in versions["items"]] == [3]
    versions = await house.call("GET", f"{CARD}/versions", cursor=versions["next_cursor"])
    assert [(one["version"], one["lines"][0]["first"]) for one in versions["items"]] == [(1, 1200)]
    await house.call("GET", "/v1/rate-cards/none/versions", status=404)
    listed = await house.call("GET", "/v1/rate-cards")
    assert [(one["card"], one["version"]) for one in listed["items"]] == [("air-2026", 3)]
    kept = await house.app[RUNTIME].pool.fetch("SELECT version FROM rate_cards ORDER BY 1")
    assert [row["version"] for row in kept] == [1, 3]


WRONG_CARD = [
    ({"service": "none"}, "/service"),
    ({"currency": "cny"}, "/currency"),
    ({"lines": []}, "/lines"),
    ({"lines": RATES["lines"][1:] * 2}, "/lines/1"),
    ({"lines": [{"first_grams": 1, "first": 1, "step": 1}]}, "/lines/0/step_grams"),
    ({"lines": [{"first_grams": 1, "first": -1}]}, "/lines/0/first"),
    ({"effective_until": "2026-01-01T00:00:00+08:00"}, "/effective_until"),
    ({"surcharges": [{"kind": "cod", "least": 9, "most": 8}]}, "/surcharges/0/most"),
    ({"surcharges": [{"kind": "joy"}]}, "/surcharges/0/kind"),
    ({"surcharges": [{"kind": "peak", "from": "2026-11-11T00:00:00Z",
                      "until": "2026-11-11T00:00:00Z"}]}, "/surcharges/0/until"),
    ({"rounding": "UP"}, "/rounding"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "pointer"), WRONG_CARD, ids=lambda one: str(one)[:40])
async def test_what_is_wrong_with_a_card_is_told_at_its_place(house, more, pointer):
    refusal = await house.call("PUT", CARD, RATES | more, 400)
    assert [one["pointer"] for one in refusal["errors"]] == [pointer]
    await house.call("GET", CARD, status=404)


async def test_cards_have_one_currency_and_keep_their_service(house):
    await house.call("PUT", CARD, RATES, 201)
    await house.call("PUT", "/v1/carriers/road", SERVICE, 201)
    other = RATES | {"effective_from": later(days=1)}
    refusal = await house.call("PUT", CARD, other | {"service": "road"}, 400)
    assert refusal["errors"][0]["pointer"] == "/service"
    refusal = await house.call("PUT", "/v1/rate-cards/b", other | {"currency": "USD"}, 400)
    assert "as of air-2026" in refusal["errors"][0]["detail"]


async def test_a_region_is_switched_off_at_once_and_on_again(house):
    region = f"{AIR}/regions/650000"
    await house.call("PUT", "/v1/carriers/none/regions/650000", {}, 404)
    made = await house.call("PUT", region, {"reason": "大雪封山"}, 201)
    assert (made["state"], made["reason"], made["region"]) == ("off", "大雪封山", "650000")
    again = await house.call("PUT", region, {"reason": "snow"})
    assert again["since"] == made["since"]
    await house.call("PUT", f"{AIR}/regions/*", {}, 201)
    listed = (await house.call("GET", f"{AIR}/regions"))["items"]
    assert [one["region"] for one in listed] == ["*", "650000"]
    found, _ = await house.fleet()
    assert found.off == {("air", "650000"), ("air", "")}
    on = await house.call("DELETE", region)
    assert on["state"] == "on"
    await house.call("DELETE", region)
    assert (await house.fleet())[0].off == {("air", "")}
    assert len(await house.told("carrier.region_off")) == 2
    assert len(await house.told("carrier.region_on")) == 1


async def test_cut_offs_of_a_node_count_before_those_of_the_service(house):
    for node, cutoffs in (("A", {"air": "18:30"}), ("B", {"*": "15:00"}), ("C", {})):
        await house.call("PUT", f"/v1/nodes/{node}", {"name": node}, 201)
        await house.call("PUT", f"/v1/nodes/{node}/profile", {"cutoffs": cutoffs}, 201)
    (air,) = (await house.fleet())[0].services
    assert air.cutoffs == {"": 1020, "A": 1110, "B": 900}
    assert len(air.pauses) == 4


async def test_only_an_admin_may_change_and_no_bound_key_may_read(house):
    async def key(channel, *scopes):
        body = {"name": "a", "scopes": scopes, "channel": channel}
        return (await house.call("POST", "/v1/keys", body, 201))["key"]

    writer, reader = await key("", "stock:write"), await key("", "stock:read")
    bound = await key("mall", "stock:read")
    for path, body in ((AIR, SERVICE), (CARD, RATES), (f"{AIR}/regions/1", {})):
        await house.call("PUT", path, body, 403, key=writer)
    await house.call("DELETE", f"{AIR}/regions/1", None, 403, key=writer)
    for path in (AIR, "/v1/carriers", "/v1/rate-cards", f"{AIR}/regions", f"{CARD}/versions"):
        await house.call("GET", path, None, 403, key=bound)
        status = 404 if path.startswith(CARD) else 200
        await house.call("GET", path, status=status, key=reader)
