"""`orders:batch`: many orders in one request, each judged and answered by itself."""

from io import BytesIO

import pytest

from engine.kernel.limits import LINES_PER_BATCH_MAX, ORDERS_PER_BATCH_MAX
from tests.fault.engines import ADMIN, an_order, certificate, id_of, open_sale


@pytest.fixture
async def api(here):
    one = await here.api()
    await open_sale(one, A=5, B=100)
    return one


async def batch(api, *orders):
    answer = await api.call("POST", "/v1/orders:batch", {"orders": list(orders)})
    assert answer.status == 200, answer.document
    return answer.document["results"]


async def test_each_is_answered_as_the_single_call_would(api):
    good = an_order("1", ("A", 2))
    results = await batch(
        api,
        good,
        an_order("2", ("A", 9)),
        {**an_order("3"), "colour": "red"},
        an_order("4", ("ghost", 1)),
        good,
        {**an_order("1", ("A", 3))},
        {**an_order("5"), "channel": "fair"},
        an_order("6", ("B", 1)),
        "not an order",
    )
    found = [(one["status"], one.get("code", "")) for one in results]
    assert found == [
        (202, ""), (409, "sold_out"), (400, "validation_failed"), (422, "unknown_sku"), (200, ""),
        (422, "idempotency_conflict"), (400, "validation_failed"), (202, ""),
        (400, "validation_failed"),
    ]  # fmt: skip
    assert results[2]["errors"][0]["pointer"] == "/colour"
    single = await api.buy("1", ("A", 2))
    assert (single.status, results[0]["order"]) == (200, single.document)
    assert results[4]["order"] == single.document
    assert {**results[1], "status": 409} == (await api.buy("2", ("A", 9))).document
    await certificate(api)


async def test_twins_and_racing_orders_of_one_batch_are_judged_one_after_the_other(api):
    results = await batch(api, *[an_order(f"{n}") for n in range(8)], *[an_order("0")] * 3)
    assert [one["status"] for one in results] == [202] * 5 + [409] * 3 + [200] * 3
    await certificate(api)


_LONG_ORDERS = LINES_PER_BATCH_MAX // 200 + 1
TOO_MUCH = {
    "no orders": ({"orders": []}, 400),
    "too many": ({"orders": [{}] * (ORDERS_PER_BATCH_MAX + 1)}, 400),
    "no list": ({"orders": {}}, 400),
    "another field": ({"orders": [{}], "more": 1}, 400),
    "too many lines": (
        {"orders": [an_order(f"{n}", *[("B", 1)] * 200) for n in range(_LONG_ORDERS)]},
        400,
    ),
}


@pytest.mark.parametrize("case", TOO_MUCH)
async def test_a_request_that_is_too_much_changes_nothing(api, case):
    body, status = TOO_MUCH[case]
    answer = await api.call("POST", "/v1/orders:batch", body)
    assert answer.status == status, answer.document
    await certificate(api)
    assert await api.process.pool.fetchval("SELECT count(*) FROM orders") == 0


async def test_a_body_that_is_too_long_is_not_read(api):
    headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
    body = BytesIO(b'{"orders": [' + b" " * 1_048_576)
    answer = await api.client.post("/v1/orders:batch", data=body, headers=headers)
    assert answer.status == 413


async def test_one_order_that_is_too_long_spoils_nothing(api):
    long = an_order("1", extensions={"x": "y" * 70_000})
    results = await batch(api, long, an_order("2"))
    assert [one["status"] for one in results] == [413, 202]


async def test_an_outcome_that_is_not_known_says_so(api, here):
    """While the cell is away nobody can say what became of what was sent."""
    await here.stop("worker")
    api.cell.epoch += 7  # as if it had been opened anew since: nothing is done
    results = await batch(api, an_order("1"), {"bad": 1}, an_order("2"))
    assert [(one["status"], one["code"]) for one in results] == [
        (503, "closed"), (400, "validation_failed"), (503, "closed"),
    ]  # fmt: skip


async def test_a_key_of_a_channel_writes_only_there(api):
    body = {"name": "k", "scopes": ["orders:write"], "channel": "mall"}
    key = (await api.call("POST", "/v1/keys", body)).document["key"]
    orders = {"orders": [an_order("1"), {**an_order("2"), "channel": "app"}]}
    answer = await api.call("POST", "/v1/orders:batch", orders, Authorization=f"Bearer {key}")
    assert [one["status"] for one in answer.document["results"]] == [202, 403]
    other = await api.call("POST", "/v1/orders:sync", orders, Authorization=f"Bearer {key}")
    assert other.status == 403
    assert (await api.order(id_of("1"))).status == 200
