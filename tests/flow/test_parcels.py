"""Parcels over HTTP: a marketplace is told, a carrier tells, the order is delivered."""

from datetime import timedelta

import pytest

from engine.kernel.clock import instant, rfc3339
from engine.shipments import service
from engine.shipments.types.shipments import Line, Package, Planned, Told
from tests.conftest import eventually
from tests.fault.marketplace import TMALL, id_of, open_shops, snapshot, synced

PARCEL = "SF100"


class Post:
    """A marketplace's order that its node has handed over in one box."""

    def __init__(self, api):
        self.api, self.order_id = api, id_of("1")
        self.now_ms = api.process.clock.now_ms() - 48 * 3_600_000  # it left two days ago

    async def ship(self):
        pool, now = self.api.process.pool, instant(self.now_ms)
        day = timedelta(days=1)
        one = Planned(
            "main", self.order_id, 1, "N", 1, (Line(1, "A", 1, 0),), service="sf-std",
            region="310115", promised_ship_by=now + day, promised_deliver_by=now + 3 * day,
        )  # fmt: skip
        async with pool.acquire() as tx, tx.transaction():
            await service.plan(tx, [one], now)
        for kind, boxes in (("sent", ()), ("shipped", (Package("sf", PARCEL, ((1, 1),)),))):
            said = Told(kind, kind, now, reply=kind == "sent", packages=boxes)
            async with pool.acquire() as tx, tx.transaction():
                await service.report_consignment(tx, one.shipment_id, said, now)

    def item(self, milestone, hours, **more):
        at = rfc3339(self.now_ms + hours * 3_600_000)
        return {"waybill": PARCEL, "carrier": "sf", "milestone": milestone, "at": at} | more

    async def get(self, path):
        return (await self.api.call("GET", path)).document

    async def post(self, path, *items, **more):
        answer = await self.api.call("POST", path, {"items": list(items)} | more)
        assert answer.status == 200, answer.document
        return answer.document["results"]


@pytest.fixture
async def post(here):
    api = await here.api()
    await open_shops(api, A=10)
    assert await synced(api, snapshot("1", 1, "paid")) == ["created"]

    async def recorded():
        found = "SELECT 1 FROM orders WHERE order_id = $1"
        return await api.process.pool.fetchval(found, id_of("1"))

    await eventually(recorded, within_s=10)
    return Post(api)


async def test_from_the_node_to_the_buyer(post):
    await post.ship()
    given = []

    async def due():
        given.extend((await post.get(f"/v1/acks?channel={TMALL}&due=true"))["items"])
        return given

    await eventually(due, within_s=10)
    (ack,) = given
    assert (ack["waybill"], ack["channel_order_id"]) == (PARCEL, "1")
    assert [one["quantity"] for one in ack["items"]] == [1]
    told = {"parcel_id": ack["parcel_id"], "version": ack["version"], "accepted": True}
    results = await post.post(
        "/v1/acks:result", told, told, told | {"version": 9}, told | {"parcel_id": "x"},
        {"parcel_id": "x"}, channel=TMALL,
    )  # fmt: skip
    assert [one.get("result") for one in results] == ["acked", "repeated", "stale", "unknown", None]
    assert results[-1]["status"] == 400
    assert (await post.get("/v1/acks?pending=true"))["items"] == []
    assert [one["state"] for one in (await post.get("/v1/acks?pending=false"))["items"]] == [
        "acked"
    ]  # fmt: skip

    way = [post.item("delivered", 40), post.item("collected", 2), post.item("delivered", 40)]
    results = await post.post("/v1/tracking", *way, post.item("lost", 1, waybill="X"), {"at": 1})
    assert [one.get("result") for one in results] == [
        "recorded", "recorded", "repeated", "waits", None
    ]  # fmt: skip
    shown = await post.get(f"/v1/parcels/{PARCEL}")
    (parcel,) = shown["items"]
    assert parcel["milestone"] == "delivered"
    assert {one["leg"]: one["state"] for one in parcel["legs"]} == {
        "pickup": "met", "transit": "met", "last_mile": "met"
    }  # fmt: skip
    order = (await post.api.order(post.order_id)).document
    assert order["fulfilment_state"] == "delivered"
    ((sent,),) = (one["parcels"] for one in order["fulfilments"])
    assert (sent["waybill"], sent["milestone"]) == (PARCEL, "delivered")
    assert [one["milestone"] for one in sent["tracking"]] == ["collected", "delivered"]
    (card,) = (await post.get("/v1/carriers/scorecard?service=sf-std"))["items"]
    assert (card["parcels"], card["on_time"], card["minutes"]) == (1, 1, 40 * 60)


@pytest.mark.parametrize(
    ("hours", "more", "pointer"),
    [
        (20 * 8_766, {}, "/at"), (-20 * 8_766, {}, "/at"), (1, {"carrier": "s\nf"}, "/carrier"),
        (1, {"waybill": "SF\x00"}, "/waybill"),
    ],
)  # fmt: skip
async def test_what_cannot_be_of_a_parcel_is_refused_with_its_field(post, hours, more, pointer):
    await post.ship()
    odd, good = await post.post(
        "/v1/tracking", post.item("delivered", hours, **more), post.item("collected", 1)
    )
    assert (odd["status"], odd["errors"][0]["pointer"]) == (400, pointer)
    assert good["result"] == "recorded"
    (parcel,) = (await post.get(f"/v1/parcels/{PARCEL}"))["items"]
    assert parcel["milestone"] == "collected"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/acks?due=true", 400), ("/v1/acks?due=yes", 400), ("/v1/parcels/X", 404),
        ("/v1/carriers/scorecard?since=yesterday", 400), ("/v1/carriers/scorecard?limit=0", 400),
    ],
)  # fmt: skip
async def test_what_is_asked_wrongly_is_said(post, path, status):
    assert (await post.api.call("GET", path)).status == status
