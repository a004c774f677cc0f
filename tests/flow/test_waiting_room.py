"""A campaign with a waiting room, over HTTP: a turn, a ticket, an order; and who got what."""

import pytest

from tests.fault.engines import an_order, house

ROOM = {"per_second": 2, "ticket_seconds": 60}


@pytest.fixture
async def api(settings, eventually):
    async with house(settings) as here:
        await here.worker("keeper", "publisher", "recorder")
        one = await here.api()
        campaign = {
            "name": "Busy", "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2036-01-01T00:00:00Z",
            "skus": [{"sku": "A", "quota": {"mall": 100}}], "waiting_room": ROOM,
        }  # fmt: skip
        for path, body in (
            ("channels/mall", {"name": "Mall"}),
            ("skus/A", {"name": "A"}),
            ("campaigns/busy", campaign),
            ("campaigns/open", campaign | {"waiting_room": None}),
        ):
            answer = await one.call("PUT", f"/v1/{path}", body)
            assert answer.status == 201, answer.document

        async def published():
            shown = await one.call("GET", "/v1/campaigns/open")
            return shown.document["published"]

        await eventually(published, within_s=20)
        yield one


async def turn(api, buyer, campaign="busy", **more):
    return await api.call("POST", f"/v1/campaigns/{campaign}/tickets", {"buyer_id": buyer, **more})


async def buy(api, number, buyer, **more):
    body = an_order(number, ("A", 1), buyer_id=buyer, campaign="busy", **more)
    return await api.call("POST", "/v1/orders", body)


async def test_a_buyer_takes_a_turn_waits_for_it_and_orders(api, eventually):
    answer = await buy(api, "0", "b1")
    assert (answer.status, answer.code) == (409, "ticket_needed")
    assert answer.document["reason"] == "none"

    first, second = await turn(api, "b1"), await turn(api, "b2")
    assert (first.status, second.status) == (200, 202)
    assert (await buy(api, "1", "b1", ticket=first.document["ticket"])).status == 202
    stolen = await buy(api, "2", "b2", ticket=first.document["ticket"])
    assert (stolen.code, stolen.document["reason"]) == ("ticket_needed", "invalid")

    place = second.document["place"]
    assert (second.document["ahead"], second.headers["Retry-After"]) == (1, "1")

    async def its_turn():
        answer = await turn(api, "b2", place=place)
        return answer if answer.status == 200 else None

    ticket = (await eventually(its_turn)).document["ticket"]
    batch = {"orders": [
        an_order(number, ("A", 1), buyer_id="b2", campaign="busy", ticket=ticket)
        for number in "23"
    ]}  # fmt: skip
    answer = await api.call("POST", "/v1/orders:batch", batch)
    assert [one["status"] for one in answer.document["results"]] == [202, 202]
    assert (await buy(api, "1", "b1")).status == 200  # the same order again needs none


async def test_what_is_wrong_with_a_request_is_said(api):
    nowhere, unknown = await turn(api, "b1", "open"), await turn(api, "b1", "unheard-of")
    assert [(one.status, one.code) for one in (nowhere, unknown)] == [(409, "conflict")] * 2
    for body, pointer in (
        ({}, "/buyer_id"),
        ({"buyer_id": ""}, "/buyer_id"),
        ({"buyer_id": "b1", "place": "0.forged"}, "/place"),
        ({"buyer_id": "b1", "rate": 1}, "/rate"),
    ):
        answer = await api.call("POST", "/v1/campaigns/busy/tickets", body)
        assert (answer.status, answer.code) == (400, "validation_failed"), answer.document
        assert answer.document["errors"][0]["pointer"] == pointer, answer.document
    refused = await api.call(
        "PUT", "/v1/campaigns/bad", {
            "name": "x", "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2036-01-01T00:00:00Z",
            "waiting_room": {"per_second": 0},
        },
    )  # fmt: skip
    assert refused.document["errors"][0]["pointer"] == "/waiting_room/per_second"


async def test_the_fairness_of_a_campaign_is_told(api, eventually):
    async def fairness():
        return (await api.call("GET", "/v1/campaigns/open/fairness")).document

    nothing = await fairness()
    assert (nothing["buyers"], nothing["units"], nothing["top_share"]) == (0, 0, 0)
    for n in range(150):
        quantity = 10 if n < 2 else 1 if n < 20 else 0
        if quantity:
            await api.call("POST", "/v1/orders", an_order(
                f"f{n}", ("A", quantity), buyer_id=f"b{n}", campaign="open"
            ))  # fmt: skip
    await api.call("POST", "/v1/orders", an_order("none", ("A", 5), buyer_id="", campaign="open"))
    found = await eventually(lambda: all_of(fairness, 43), within_s=20)
    assert (found["buyers"], found["units"], found["unnamed_units"]) == (20, 38, 5)
    assert (found["top_buyers"], found["top_units"]) == (1, 10)
    assert (found["top_share"], found["most_of_one_buyer"]) == (0.2632, 10)


async def all_of(fairness, units):
    found = await fairness()
    return found if found["units"] + found["unnamed_units"] == units else None
