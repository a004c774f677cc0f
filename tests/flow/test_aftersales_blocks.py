"""Blocks over HTTP: who may set which, what the timeline says, and that nothing goes on then."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.infra import outbox
from engine.kernel.ids import line_id
from tests.fault.engines import certificate, house, id_of, open_sale

REASON = {"reason": "the buyer called"}


@pytest.fixture
async def api(here):
    one = await here.api()
    await open_sale(one, A=10)
    await one.buy("1", ("A", 2))
    return one


def path(number="1", code=""):
    return f"/v1/orders/{id_of(number)}/blocks" + (f"/{code}" if code else "")


async def put(api, code="review", number="1", **fields):
    return await api.call("POST", path(number), {"code": code, **REASON, **fields})


async def lift(api, code="review", number="1", **query):
    named = "&".join(f"{name}={value}" for name, value in {**REASON, **query}.items())
    return await api.call("DELETE", path(number, code) + "?" + named.replace(" ", "+"))


async def standing(api, number="1"):
    items = (await api.call("GET", path(number))).document["items"]
    return [(one["code"], one["line_id"], one["reason"]) for one in items]


async def timeline(api, number="1"):
    shown = (await api.order(id_of(number))).document["timeline"]
    return [(one["kind"], one["actor"], one["data"]) for one in shown if "block" in one["kind"]]


async def test_a_block_is_set_shown_and_lifted_with_actor_and_reason(api):
    made = await put(api)
    assert made.status == 200, made.document
    actor = made.document["by"]
    assert actor
    shown = (await api.order(id_of("1"))).document
    assert shown["status"] == "needs_attention"
    assert shown["blocks"] == [made.document]
    assert (await api.call("GET", path())).document == {"items": [made.document]}
    gone = await lift(api, reason="looked at it")
    assert (gone.status, gone.document) == (200, {"items": []})
    assert (await api.order(id_of("1"))).document["status"] == "pending_payment"
    of = {"code": "review", "line_id": ""}
    assert await timeline(api) == [
        ("order.blocked", actor, {**of, **REASON, "until": None}),
        ("order.unblocked", actor, {**of, "reason": "looked at it"}),
    ]


async def test_the_same_again_changes_nothing(api):
    first, again = await put(api), await put(api)
    assert (first.status, first.document) == (again.status, again.document)
    for _ in range(2):
        assert (await lift(api)).document == {"items": []}
    assert [kind for kind, *_ in await timeline(api)] == ["order.blocked", "order.unblocked"]


async def test_another_reason_or_end_is_told_and_keeps_its_beginning(api):
    first = (await put(api)).document
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="milliseconds")
    later = (await put(api, reason="and wrote", until=until)).document
    assert later["since"] == first["since"]
    assert (later["reason"], later["until"]) == ("and wrote", until.replace("+00:00", "Z"))
    assert [data["reason"] for _, _, data in await timeline(api)] == [*REASON.values(), "and wrote"]


async def test_a_block_ends_by_itself_and_may_be_set_anew(api, eventually):
    until = (datetime.now(UTC) + timedelta(seconds=0.4)).isoformat()
    first = await put(api, "cool_off", until=until)
    assert await standing(api) == [("cool_off", "", *REASON.values())]

    async def over():
        return not await standing(api)

    await eventually(over)
    again = await put(api, "cool_off", until=until)
    assert (again.status, again.document) == (200, first.document)  # the same: it has passed
    anew = (await put(api, "cool_off")).document
    assert anew["since"] > first.document["since"]


async def test_of_lines_and_of_all_of_a_code(api):
    line = line_id(id_of("1"), 1)
    await put(api, "manual", line_id=line)
    await put(api, "manual")
    await put(api, "review")
    left = await lift(api, "manual", line_id=line)
    assert [one["code"] for one in left.document["items"]] == ["manual", "review"]
    await put(api, "manual", line_id=line)
    assert [one["code"] for one in (await lift(api, "manual")).document["items"]] == ["review"]


async def test_what_the_engine_set_a_person_may_lift_but_not_set(api):
    other = line_id(id_of("1"), 1)
    await certificate(api)
    await api.process.pool.execute(
        "INSERT INTO blocks (order_id, code, line_id, by) VALUES ($1, 'short', $2, 'engine')",
        id_of("1"), other,
    )  # fmt: skip
    assert (await lift(api, "short")).document == {"items": []}
    (told,) = await timeline(api)
    assert (told[0], told[2]["line_id"]) == ("order.unblocked", other)
    for code in ("short", "unmapped_sku", "price", "presale", "refund_requested", "nonsense"):
        refused = await put(api, code)
        assert (refused.status, refused.code) == (400, "validation_failed")
        (fault,) = refused.document["errors"]
        assert fault["pointer"] == "/code"
        assert "review, cool_off, address_change, group_buy, channel_hold" in fault["detail"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"code": "review"}, "/reason"),
        ({"code": "review", "reason": ""}, "/reason"),
        ({"code": "review", "reason": "\u0000"}, "/reason"),
        ({"code": "review", **REASON, "line_id": "nonsense"}, "/line_id"),
        ({"code": "review", **REASON, "line_id": f"{id_of('1')}-2"}, "/line_id"),
        ({"code": "review", **REASON, "until": "2020-01-01T00:00:00Z"}, "/until"),
        ({"code": "review", **REASON, "until": "tomorrow"}, "/until"),
    ],
)
async def test_what_is_refused(api, body, pointer):
    refused = await api.call("POST", path(), body)
    assert (refused.status, refused.code) == (400, "validation_failed"), refused.document
    assert [one["pointer"] for one in refused.document["errors"]] == [pointer]
    assert await standing(api) == []


async def test_a_lift_needs_a_reason_and_a_code_and_a_line_that_is(api):
    for refused in (
        await api.call("DELETE", path(code="review")),
        await lift(api, reason="+"),
        await lift(api, "nonsense"),
        await lift(api, line_id="nonsense"),
    ):
        assert (refused.status, refused.code) == (400, "validation_failed")


async def test_another_channels_order_is_as_unknown_as_none(api):
    await put(api)
    body = {"name": "other shop", "scopes": ["orders:read", "orders:write"], "channel": "mall2"}
    await api.call("PUT", "/v1/channels/mall2", {"name": "Other"})
    bound = (await api.call("POST", "/v1/keys", body)).document["key"]
    key = {"Authorization": f"Bearer {bound}"}
    refund = {
        "refund_id": "r", "kind": "allowance", "state": "done",
        "amount": {"amount": 1, "currency": "CNY"},
    }  # fmt: skip
    for number in ("1", "unknown"):
        for method, where, posted in (
            ("GET", path(number), None),
            ("POST", path(number), {"code": "review", **REASON}),
            ("DELETE", path(number, "review") + "?reason=x", None),
            ("POST", f"/v1/orders/{id_of(number)}/refunds", refund),
        ):
            refused = await api.call(method, where, posted, **key)
            assert (refused.status, refused.document["detail"]) == (404, "no such order")
    assert len(await standing(api)) == 1


async def test_an_order_that_is_not_recorded_yet_says_so_and_soon_is(settings):
    async with house(settings) as here:
        await here.worker("keeper", "sweeper", "publisher", name="worker")
        await here.worker("recorder", name="recorder")
        api = await here.api()
        await open_sale(api, A=10)
        await here.stop("recorder")
        await api.buy("1")
        behind = await put(api)
        assert (behind.status, behind.code) == (503, "outcome_unknown")
        await here.worker("recorder", name="recorder-2")
        assert (await put(api)).status == 200
        assert [kind for kind, *_ in await timeline(api)] == ["order.blocked"]


async def test_downstream_sees_nothing_of_a_blocked_order_until_it_is_lifted(api):
    await api.buy("2")
    await put(api)
    await api.pay(id_of("1"), "p", 200)
    await certificate(api)

    async def read():
        async with api.process.pool.acquire() as tx, tx.transaction():
            found = await outbox.take(tx, "downstream", 100)
        return [(event.order_id, event.kind) for event in found if event.order_id]

    assert await read() == [(id_of("2"), "order.reserved")]
    assert await read() == []
    await lift(api)
    first, kinds = id_of("1"), ["order.reserved", "order.blocked", "order.paid", "order.unblocked"]
    assert await read() == [(first, kind) for kind in kinds]
