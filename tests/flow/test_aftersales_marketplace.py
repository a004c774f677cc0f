"""Refunds and blocks of orders that a marketplace sold: it tells twice, in any order."""

import pytest

from engine.aftersales.types import WAITS_FOR_SNAPSHOT
from engine.kernel.ids import line_id
from tests.fault.engines import certificate
from tests.fault.marketplace import (
    id_of,
    line,
    open_shops,
    pools_of,
    recorded,
    snapshot,
    synced,
)


@pytest.fixture
async def api(here):
    """A shop that sold one order of 3 A."""
    one = await here.api()
    await open_shops(one, A=10)
    assert await synced(one, sold(1)) == ["created"]
    return one


def sold(version, refunded=0, **more):
    return snapshot("t", version, "paid", line("A", 3, refunded_quantity=refunded), **more)


async def refund(api, state="done", units=1, refund_id="r1", **fields):
    body = {
        "refund_id": refund_id,
        "kind": "cancel",
        "state": state,
        "amount": {"amount": 100 * (units or 1), "currency": "CNY"},
        "lines": [{"line_id": line_id(id_of("t"), 1), "quantity": units}] if units else [],
        **fields,
    }
    answer = await api.call("POST", f"/v1/orders/{id_of('t')}/refunds", body)
    assert answer.status == 200, answer.document
    return answer.document["state"]


async def stands(api):
    """The reasons of its blocks, its payment state, and the units that it took."""
    await recorded(api)
    shown = (await api.order(id_of("t"))).document
    taken = sum(held + out for _, _, _, held, out in (await pools_of(api)).values())
    return [one["reason"] for one in shown["blocks"]], shown["payment_state"], taken


async def test_a_refund_before_its_snapshot_waits_for_it_and_moves_nothing(api):
    await refund(api, "requested")
    assert await stands(api) == (["refund r1 is requested"], "paid", 3)
    await refund(api)
    assert await stands(api) == ([WAITS_FOR_SNAPSHOT], "partly_refunded", 3)
    assert await synced(api, sold(2, refunded=1)) == ["updated"]
    assert await stands(api) == ([], "partly_refunded", 2)
    assert await refund(api, "requested") == "done"
    assert await stands(api) == ([], "partly_refunded", 2)
    await certificate(api)


async def test_a_snapshot_that_does_not_tell_of_the_refund_lifts_nothing(api):
    """It may well be older than the refund; what it does not show is still here to be shipped."""
    await refund(api)
    assert await synced(api, sold(2, seller_note="a memo")) == ["updated"]
    assert await stands(api) == ([WAITS_FOR_SNAPSHOT], "partly_refunded", 3)
    assert await synced(api, sold(3, refunded=1)) == ["updated"]
    assert await stands(api) == ([], "partly_refunded", 2)


async def test_a_snapshot_before_its_refund_leaves_nothing_to_wait_for(api):
    await refund(api, "requested")
    await synced(api, sold(2, refunded=1))
    assert (await stands(api))[0] == ["refund r1 is requested"]
    await refund(api)
    assert await stands(api) == ([], "partly_refunded", 2)
    await certificate(api)


async def test_all_of_it_refunded_and_then_closed(api):
    await refund(api, units=3)
    assert await stands(api) == ([WAITS_FOR_SNAPSHOT], "refunded", 3)
    closed = sold(2, refunded=3, payment={"status": "paid"}) | {"source_status": "closed"}
    assert await synced(api, closed) == ["updated"]
    assert await stands(api) == ([], "refunded", 0)
    assert (await api.order(id_of("t"))).document["state"] == "cancelled"
    await certificate(api)


async def test_what_a_person_blocked_no_snapshot_lifts(api):
    body = {"code": "address_change", "reason": "the buyer called"}
    await api.call("POST", f"/v1/orders/{id_of('t')}/blocks", body)
    await synced(api, sold(2, refunded=1))
    assert (await stands(api))[0] == ["the buyer called"]


@pytest.mark.parametrize("is_recorded", [False, True])
async def test_nobody_pays_or_cancels_here_what_is_sold_there(api, is_recorded):
    if is_recorded:
        await recorded(api)
    for refused in (await api.pay(id_of("t"), "p9", 300), await api.cancel(id_of("t"), "c")):
        assert (refused.status, refused.code) == (422, "wrong_call")
        assert refused.document["detail"] == "orders of this channel change by POST /v1/orders:sync"
    assert await stands(api) == ([], "paid", 3)
