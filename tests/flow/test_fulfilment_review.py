"""Review on real servers: what rules hold, what lets it go, and orders of people nobody may see."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.simulation.warehouse import languages
from tests.conftest import eventually
from tests.flow.fulfilment import SHIP_TO, brand

PERSON = ("张三", "13800000000", "中山路")
HIDDEN = {"region_code": "330200", "consignee_id": "oaid-7f3a"}
# Everything that is kept of an order on its way, but the order itself.
KEPT = (
    "routing_queue", "routing_decisions", "jobs", "reviews", "events", "shipments",
    "shipment_reports", "wms_callbacks",
)  # fmt: skip


async def hold(one, *rules):
    kept = [{"reason": "looked at"} | rule for rule in rules]
    await one.put("/v1/review-rules", {"rules": kept})


async def waits(one, order_id, *wanted):
    async def there():
        return await one.queued(order_id) == wanted

    await eventually(there, within_s=20)


async def ships(one, order_id):
    async def there():
        return await one.fulfilment(order_id) == "shipped"

    await eventually(there, within_s=20)


async def told(one, order_id, kind):
    found = (await one.get(f"/v1/orders/{order_id}"))["timeline"]
    return [(each["actor"], each["data"]) for each in found if each["kind"] == kind]


async def test_rules_may_ask_for_the_channel_and_for_the_text_of_the_address(settings, pg):
    async with brand(settings, pg, eventually) as one:
        await one.activate()
        await one.put("/v1/channels/live", {"name": "live"})
        policy = {"sku": "cup", "channels": [{"channel": "mall"}, {"channel": "live"}]}
        changed = await one.api.call("PUT", "/v1/supply-policies/cup", policy, If_Match="*")
        assert changed.status == 200, changed.document
        await eventually(lambda: one.api.registry.authority("main", "live"))
        await hold(
            one,
            {"name": "locker", "when": 'address.contains("菜鸟驿站")'},
            {"name": "live", "when": 'channel == "live"'},
        )
        locker = await one.buy("1", ("tea", 1), ship_to=SHIP_TO | {"address": "菜鸟驿站 3 号"})
        live = await one.buy("2", ("cup", 1), channel="live")
        free = await one.buy("3", ("tea", 1))
        await ships(one, free)
        for order_id, rule in ((locker, "locker"), (live, "live")):
            await waits(one, order_id, "HELD_RISK", "review")
            ((actor, said),) = await told(one, order_id, "order.reviewed")
            assert (actor, said["verdict"], said["rule"]) == ("review", "block", rule)
            assert await one.shipments(order_id) == []
        ((_, said),) = await told(one, free, "order.reviewed")
        assert (said["verdict"], said["rule"], said["rules_version"]) == ("approve", "", 1)


async def test_what_a_rule_holds_for_a_time_is_let_go_by_it(settings, pg):
    async with brand(settings, pg, eventually) as one:
        await one.activate()
        await hold(one, {"name": "big", "when": "units > 1", "hold_minutes": 30})
        order_id = await one.buy("1", ("tea", 2))
        await waits(one, order_id, "HELD_RISK", "review")
        until = await pg.fetchval("SELECT until FROM blocks WHERE order_id = $1", order_id)
        due = await pg.fetchval("SELECT due_at FROM routing_queue WHERE order_id = $1", order_id)
        assert due == until
        assert timedelta(minutes=29) < until - datetime.now(UTC) <= timedelta(minutes=30)
        # half an hour passes, for this order
        await pg.execute("UPDATE blocks SET until = until - interval '30 minutes'")
        await pg.execute("UPDATE routing_queue SET due_at = due_at - interval '30 minutes'")
        await ships(one, order_id)
        assert [said["rule"] for _, said in await told(one, order_id, "order.reviewed")] == ["big"]
        assert await told(one, order_id, "order.unblocked") == []  # nobody did it


async def test_who_let_an_order_pass_can_be_read(settings, pg):
    async with brand(settings, pg, eventually) as one:
        await one.activate()
        await hold(one, {"name": "big", "when": "units > 1"})
        order_id = await one.buy("1", ("tea", 2))
        await waits(one, order_id, "HELD_RISK", "review")
        body = {"name": "desk", "scopes": ["orders:write", "orders:read"]}
        desk = await one.call("POST", "/v1/keys", body)
        path = f"/v1/orders/{order_id}/blocks/review?reason=called+him"
        lifted = await one.api.call("DELETE", path, Authorization=f"Bearer {desk['key']}")
        assert lifted.status == 200, lifted.document
        await ships(one, order_id)
        ((actor, said),) = await told(one, order_id, "order.unblocked")
        assert (actor, said["code"], said["reason"]) == (desk["key_id"], "review", "called him")
        assert await pg.fetchval("SELECT released_by FROM reviews") == desk["key_id"]


async def kept_of(pg):
    """All that is kept on the way, as text; bytes as they are."""
    found = b""
    for table in KEPT:
        for row in await pg.fetch(f"SELECT * FROM {table}"):  # noqa: S608 - of the list above
            for value in row.values():
                found += value if isinstance(value, bytes) else str(value).encode()
    return found


@pytest.mark.parametrize("language", ["plain", "qimen"])
async def test_nobody_has_to_know_a_buyer_to_send_him_something(
    settings, pg, language, monkeypatch, capsys
):
    """A marketplace's buyer is an id and a region; the id goes to the warehouse, and to nobody."""
    bodies = []
    reading = getattr(languages, f"{language}_call")

    def read(*said):
        bodies.append(said[-1].decode())
        return reading(*said)

    monkeypatch.setattr(languages, f"{language}_call", read)
    async with brand(settings, pg, eventually, language=language) as one:
        await one.activate()
        await hold(one, {"name": "hidden", "when": "encrypted && !has_address"})
        hidden = await one.buy("1", ("tea", 1), ship_to=HIDDEN)
        seen = await one.buy("2", ("tea", 1))
        await ships(one, hidden)
        await ships(one, seen)
        (sent,) = await one.shipments(hidden)
        assert (sent["node"], sent["service"], sent["quote"]) == ("hangzhou", "sf-std", 800)
        (asked,) = [body for body in bodies if sent["consignment_id"] in body]
        assert all(word in asked for word in (HIDDEN["consignee_id"], "浙江省", "宁波市"))
        assert not any(word in asked for word in PERSON)
        (other,) = [body for body in bodies if f"{seen}-s1" in body]
        assert all(word in other for word in PERSON)
        kept = await kept_of(pg)
    said = kept.decode(errors="replace") + "".join(capsys.readouterr())
    assert hidden in said
    assert not any(word in said for word in (*PERSON, HIDDEN["consignee_id"]))
