"""Refunds over HTTP: money that goes back, the units that go with it, and what the cell is told."""

import asyncio
from datetime import timedelta

import pytest

from engine.aftersales.types import WAITS_FOR_SNAPSHOT
from engine.kernel.errors import OutcomeUnknown
from engine.kernel.ids import line_id
from engine.orders.service import Access
from tests.conftest import eventually
from tests.fault.engines import certificate, id_of, open_sale
from tests.flow.test_payments import close, open_again
from tests.flow.test_presale import is_now, open_presale


@pytest.fixture
async def api(here):
    one = await here.api()
    await open_sale(one, A=10, B=10)
    return one


@pytest.fixture
async def paid(api):
    """An order of 2 A and 1 B, paid with 300."""
    await api.buy("1", ("A", 2), ("B", 1))
    assert (await api.pay(id_of("1"), "p", 300)).document["state"] == "applied"
    await certificate(api)
    return api


async def refund(api, state="done", amount=100, refund_id="r1", number="1", **fields):
    body = {
        "refund_id": refund_id,
        "kind": "cancel",
        "state": state,
        "amount": {"amount": amount, "currency": "CNY"},
        "lines": [],
        **fields,
    }
    return await api.call("POST", f"/v1/orders/{id_of(number)}/refunds", body)


def of(n, units, number="1"):
    return {"line_id": line_id(id_of(number), n), "quantity": units}


async def shown(api, number="1"):
    return (await api.order(id_of(number))).document


async def axes(api, number="1"):
    found = await shown(api, number)
    return found["state"], found["payment_state"], found["stock_state"], found["attention"]


async def blocks(api, number="1"):
    return [(one["code"], one["reason"]) for one in (await shown(api, number))["blocks"]]


async def told(api, number="1"):
    return [one["kind"] for one in (await shown(api, number))["timeline"]]


async def pools(api):
    rows = await api.process.pool.fetch("SELECT available, held, sold FROM pools ORDER BY sku")
    return [tuple(row) for row in rows]


async def test_a_request_blocks_and_a_rejection_lets_it_go_on(paid):
    asked = await refund(paid, "requested", lines=[of(2, 1)])
    assert (asked.status, asked.document["state"]) == (200, "requested")
    assert await blocks(paid) == [("refund_requested", "refund r1 is requested")]
    assert (await shown(paid))["status"] == "needs_attention"
    assert (await refund(paid, "requested", lines=[of(2, 1)])).document == asked.document
    assert (await refund(paid, "rejected", lines=[of(2, 1)])).document["state"] == "rejected"
    assert await blocks(paid) == []
    assert await axes(paid) == ("open", "paid", "committed", "")
    late = await refund(paid, "requested", lines=[of(2, 1)])
    assert (late.document["state"], await blocks(paid)) == ("rejected", [])
    assert (await told(paid))[2:] == [
        "order.refund_requested", "order.blocked", "order.refund_rejected", "order.unblocked",
    ]  # fmt: skip
    await certificate(paid)


async def test_a_line_that_is_refunded_goes_back_to_sale_once(paid):
    before = await pools(paid)
    for state in ("requested", "done", "done"):
        answer = await refund(paid, state, lines=[of(1, 1), of(2, 1)], amount=200)
        assert (answer.status, answer.document["state"]) == (200, state)
    assert answer.document["lines"] == [of(1, 1), of(2, 1)]
    assert await axes(paid) == ("open", "partly_refunded", "committed", "")
    assert await blocks(paid) == []
    found = await shown(paid)
    assert found["payable"]["amount"] == 100
    assert [one["open_quantity"] for one in found["lines"]] == [1, 0]
    await eventually(lambda: returned(paid, before, (1, 1)))
    await certificate(paid)
    rest = await refund(paid, amount=100, refund_id="r2", lines=[of(1, 1)])
    assert rest.status == 200, rest.document
    assert await axes(paid) == ("cancelled", "refunded", "released", "")
    await eventually(lambda: returned(paid, before, (2, 1)))
    await certificate(paid)
    assert (await shown(paid))["status"] == "cancelled"


async def returned(api, before, units):
    return await pools(api) == [
        (free + back, held, sold - back)
        for (free, held, sold), back in zip(before, units, strict=True)
    ]


async def test_the_same_refund_at_once_a_hundred_times_is_one(paid, here):
    other, before = await here.api(), await pools(paid)
    answers = await asyncio.gather(*(
        refund(paid if n % 2 else other, "done" if n % 3 else "requested", lines=[of(1, 1)])
        for n in range(100)
    ))  # fmt: skip
    assert {one.status for one in answers} == {200}
    assert (await refund(paid, lines=[of(1, 1)])).document["state"] == "done"
    await eventually(lambda: returned(paid, before, (1, 0)))
    await certificate(paid)
    assert (await told(paid)).count("order.refunded") == 1
    assert await axes(paid) == ("open", "partly_refunded", "committed", "")
    assert await blocks(paid) == []


async def test_a_refund_of_what_a_cancel_took_back_takes_nothing_more(paid):
    cut = {"cancel_id": "c", "lines": [of(1, 1)]}
    await paid.call("POST", f"/v1/orders/{id_of('1')}/cancel", cut)
    assert (await axes(paid))[3] == "a refund is due for cancelled lines"
    for part, left in ((40, "a refund is due for cancelled lines"), (60, "")):
        answer = await refund(paid, amount=part, refund_id=f"r{part}", kind="allowance")
        assert answer.status == 200
        assert await axes(paid) == ("open", "partly_refunded", "committed", left)
    again = await refund(paid, amount=1, refund_id="of it", lines=[of(1, 1)])
    assert again.status == 200
    assert [one["open_quantity"] for one in (await shown(paid))["lines"]] == [1, 1]
    await paid.cancel(id_of("1"), "all")
    assert await axes(paid) == ("cancelled", "refund_due", "released", "")
    assert (await refund(paid, amount=199, refund_id="rest")).status == 200
    assert await axes(paid) == ("cancelled", "refunded", "released", "")
    await certificate(paid)


async def test_a_second_payment_is_given_back_and_the_order_stays_paid(paid):
    await paid.pay(id_of("1"), "p2", 300)
    await certificate(paid)
    assert (await axes(paid))[3] == "a refund is due for a second payment"
    assert (await refund(paid, amount=300, kind="allowance")).status == 200
    assert await axes(paid) == ("open", "paid", "committed", "")
    await certificate(paid)


async def test_another_trouble_of_the_order_is_still_to_be_looked_at(paid):
    await paid.process.pool.execute("UPDATE orders SET attention = 'return: NO_POOL'")
    assert (await refund(paid, lines=[of(1, 1)])).status == 200
    assert await axes(paid) == ("open", "partly_refunded", "committed", "return: NO_POOL")


async def test_two_requests_block_until_both_are_answered(paid):
    for name in ("r1", "r2"):
        await refund(paid, "requested", refund_id=name, kind="allowance")
    await refund(paid, "done", refund_id="r1", kind="allowance")
    assert await blocks(paid) == [("refund_requested", "refund r2 is requested")]
    await refund(paid, "rejected", refund_id="r2", kind="allowance")
    assert await blocks(paid) == []


async def test_what_is_refused_changes_nothing(paid):
    await refund(paid, amount=100, lines=[of(1, 1)])

    async def back():
        return "stock.returned" in await told(paid)

    await eventually(back)
    changes = {
        "another amount": ({"amount": 99, "lines": [of(1, 1)]}, 422, "idempotency_conflict"),
        "other lines": ({"lines": [of(2, 1)]}, 422, "idempotency_conflict"),
        "another kind": ({"kind": "return", "lines": [of(1, 1)]}, 422, "idempotency_conflict"),
        "rejected after all": ({"state": "rejected", "lines": [of(1, 1)]}, 409, "conflict"),
        "too much": ({"refund_id": "r2", "amount": 201}, 422, "wrong_amount"),
        "requested too much": (
            {"refund_id": "r2", "amount": 201, "state": "requested"}, 422, "wrong_amount",
        ),
        "too many units": ({"refund_id": "r2", "lines": [of(1, 2)]}, 409, "conflict"),
        "no such line": ({"refund_id": "r2", "lines": [of(3, 1)]}, 409, "conflict"),
        "another's line": ({"refund_id": "r2", "lines": [of(1, 1, "2")]}, 400, "validation_failed"),
        "nothing": ({"refund_id": "r2", "amount": 0}, 400, "validation_failed"),
        "no such kind": ({"refund_id": "r2", "kind": "gift"}, 400, "validation_failed"),
    }  # fmt: skip
    before = await shown(paid)
    for why, (fields, status, code) in changes.items():
        answer = await refund(paid, **fields)
        assert (answer.status, answer.code) == (status, code), why
    other = {"refund_id": "r2", "kind": "allowance", "state": "done"}
    money = {"amount": {"amount": 1, "currency": "USD"}}
    foreign = await paid.call("POST", f"/v1/orders/{id_of('1')}/refunds", {**other, **money})
    assert (foreign.status, foreign.document["accepted"]["currency"]) == (422, "CNY")
    most = await refund(paid, refund_id="r2", amount=201)
    assert most.document["accepted"] == {"amount": 200, "currency": "CNY"}
    assert await shown(paid) == before
    stolen = {"cancel_id": "refund:r9"}
    refused = await paid.call("POST", f"/v1/orders/{id_of('1')}/cancel", stolen)
    assert (refused.status, refused.code) == (400, "validation_failed")


async def test_right_after_the_payment_the_money_is_known(api):
    for n in range(10):
        await api.buy(str(n))
        await api.pay(id_of(str(n)), "p", 100)
        answer = await refund(api, number=str(n), lines=[of(1, 1, str(n))])
        assert answer.status == 200, answer.document
        assert await axes(api, str(n)) == ("cancelled", "refunded", "released", "")
    await certificate(api)


# what the cell still counts ----------------------------------------------------------------


async def deposited(api, number="1"):
    await api.buy(number, ("A", 2), ("B", 1))
    assert (await api.pay(id_of(number), "d", 60)).document["state"] == "applied"
    await certificate(api)


async def test_a_refunded_deposit_ends_the_order_and_a_balance_is_due_back(here):
    api = await here.api()
    await open_presale(api)
    await deposited(api)
    assert (await refund(api, "requested", amount=60)).status == 200
    assert (await axes(api))[:3] == ("open", "deposit_paid", "held")
    assert (await refund(api, amount=60)).document["state"] == "done"
    assert await axes(api) == ("cancelled", "refunded", "released", "")
    assert await pools(api) == [(10, 0, 0), (10, 0, 0)]
    late = (await api.pay(id_of("1"), "rest", 240)).document
    assert (late["state"], late["reason"]) == ("refund_due", "cancelled")
    await certificate(api)
    assert await axes(api) == ("cancelled", "refund_due", "released", "")
    assert (await refund(api, amount=240, refund_id="r2")).status == 200
    assert await axes(api) == ("cancelled", "refunded", "released", "")
    await certificate(api)


async def sum_of(api, *accounts):
    """Over all pools: the campaign has ended, and its units went to those it shared."""
    rows = await api.process.pool.fetch("SELECT held, sold FROM pools")
    return sum(sum(row[account] for account in accounts) for row in rows)


async def with_expired_deposits(api, *numbers):
    await open_presale(api, lasts=timedelta(seconds=5), balance=timedelta(seconds=6), hold_s=2)
    for number in numbers:
        await deposited(api, number)
    for number in numbers:
        await is_now(api, "refund_due", number)
        assert (await axes(api, number))[0] == "closed"


async def test_a_balance_after_the_refund_of_an_expired_deposit_confirms_nothing(here):
    """Else all of it would be sold for the balance alone; beside it one that is not refunded."""
    api = await here.api()
    await with_expired_deposits(api, "1", "control")
    assert (await refund(api, amount=60)).status == 200
    assert await axes(api) == ("cancelled", "refunded", "released", "")
    late = (await api.pay(id_of("1"), "rest", 240)).document
    assert (late["state"], late["reason"]) == ("refund_due", "cancelled")
    await certificate(api)
    assert await sum_of(api, "held", "sold") == 0
    assert (await api.pay(id_of("control"), "rest", 240)).document["state"] == "applied"
    await certificate(api)
    assert (await shown(api))["status"] == "refund_due"
    assert await sum_of(api, "sold") == 3
    # the deposit by its expiry, and the balance
    assert (await told(api)).count("payment.refund_due") == 2


@pytest.mark.parametrize("end", ["pending", "expired"])
async def test_a_crash_between_the_cell_and_postgres_is_mended_by_the_same_call(
    here, end, monkeypatch
):
    api = await here.api()
    if end == "expired":
        await with_expired_deposits(api, "1")
    else:
        await open_presale(api)
        await deposited(api)

    async def crash(_self):
        raise OutcomeUnknown("killed when the cell had done its part")

    monkeypatch.setattr(Access, "require_caught_up", crash)
    assert (await refund(api, amount=60)).status == 503
    monkeypatch.undo()
    await certificate(api)
    # the money is due back, and a person sees it
    assert await axes(api) == ("cancelled", "refund_due", "released", "")
    late = (await api.pay(id_of("1"), "rest", 240)).document
    assert (late["state"], late["reason"]) == ("refund_due", "cancelled")
    await certificate(api)
    for _ in range(2):
        assert (await refund(api, amount=60)).document["state"] == "done"
    assert await axes(api) == ("cancelled", "refund_due", "released", "")
    assert (await refund(api, amount=240, refund_id="r2")).document["state"] == "done"
    assert await axes(api) == ("cancelled", "refunded", "released", "")
    assert (await told(api)).count("order.refunded") == 2
    await certificate(api)


async def test_the_balance_against_the_refund_of_the_deposit_has_one_winner(here):
    api = await here.api()
    await open_presale(api)
    numbers = [str(n) for n in range(3)]
    for number in numbers:
        await deposited(api, number)
    for number in numbers:
        back, rest = await asyncio.gather(
            refund(api, amount=60, number=number, kind="allowance"),
            api.pay(id_of(number), "rest", 240),
        )
        assert (back.status, rest.status) == (200, 200)
        await certificate(api)
        won = rest.document["state"] == "applied"
        assert await axes(api, number) == (
            ("open", "partly_refunded", "committed", "") if won
            else ("cancelled", "refund_due", "released", "")
        )  # fmt: skip


async def test_a_wrong_payment_goes_back_and_the_order_can_still_be_paid(api):
    """It was never counted, so nothing that is held rests on it."""
    await api.buy("1")
    await certificate(api)
    await close(api)
    await api.pay(id_of("1"), "wrong", 99)
    await open_again(api)

    async def judged():
        return [one["reason"] for one in (await shown(api))["payments"]] == ["wrong_amount"]

    await eventually(judged, within_s=15)
    assert (await refund(api, amount=99, kind="allowance")).status == 200
    assert await axes(api) == ("open", "unpaid", "held", "")
    assert (await api.pay(id_of("1"), "right", 100)).document["state"] == "applied"
    await certificate(api)
    assert await axes(api) == ("open", "paid", "committed", "")


async def test_while_the_cell_is_closed_only_what_it_need_not_end_is_refunded(api):
    await api.buy("1")
    await api.pay(id_of("1"), "p", 100)
    await certificate(api)
    await close(api)
    assert (await refund(api, lines=[of(1, 1)])).status == 200
    assert await axes(api) == ("cancelled", "refunded", "released", "")
    await open_again(api)
    await certificate(api)


async def test_a_deposit_is_not_refunded_while_the_cell_is_closed(here):
    api = await here.api()
    await open_presale(api)
    await deposited(api)
    await close(api)
    refused = await refund(api, amount=60)
    assert (refused.status, refused.code) == (503, "closed")
    assert "order.refunded" not in await told(api)
    await open_again(api)
    assert (await refund(api, amount=60)).status == 200
    assert await axes(api) == ("cancelled", "refunded", "released", "")
    await certificate(api)


async def test_an_unpaid_order_has_nothing_to_give_back(api):
    await api.buy("1")
    refused = await refund(api, amount=1)
    assert refused.document["accepted"] == {"amount": 0, "currency": "CNY"}
    assert (await shown(api))["state"] == "open"


# what a marketplace sold -------------------------------------------------------------------


@pytest.fixture
async def sold(paid):
    """An order as a snapshot leaves it."""
    await paid.process.pool.execute("UPDATE orders SET version = '7'")
    return paid


async def test_units_of_a_marketplace_wait_for_its_snapshot(sold):
    before = await pools(sold)
    assert (await refund(sold, "requested", lines=[of(1, 1)])).status == 200
    assert await blocks(sold) == [("refund_requested", "refund r1 is requested")]
    assert (await refund(sold, lines=[of(1, 1)])).status == 200
    assert await blocks(sold) == [("refund_requested", WAITS_FOR_SNAPSHOT)]
    found = await shown(sold)
    assert [one["open_quantity"] for one in found["lines"]] == [2, 1]
    assert found["payment_state"] == "partly_refunded"
    assert await pools(sold) == before
    assert await sold.process.pool.fetchval("SELECT count(*) FROM stock_returns") == 0
    await refund(sold, "rejected", refund_id="r2", lines=[of(1, 1)])
    assert await blocks(sold) == [("refund_requested", WAITS_FOR_SNAPSHOT)]


async def test_a_snapshot_that_came_before_its_refund_leaves_no_block(sold):
    await sold.process.pool.execute("UPDATE order_lines SET open_quantity = 1 WHERE line_no = 1")
    await refund(sold, "requested", lines=[of(1, 1)])
    assert (await refund(sold, lines=[of(1, 1)])).status == 200
    assert await blocks(sold) == []


@pytest.mark.parametrize("kind", ["return", "allowance"])
async def test_money_alone_waits_for_no_snapshot(sold, kind):
    await refund(sold, "requested", kind=kind)
    await refund(sold, kind=kind)
    assert await blocks(sold) == []


async def test_at_first_sight_done_it_blocks_too_and_any_amount_is_a_fact(sold):
    answer = await refund(sold, amount=999_999, lines=[of(1, 1)])
    assert answer.status == 200, answer.document
    assert await blocks(sold) == [("refund_requested", WAITS_FOR_SNAPSHOT)]


async def test_nobody_pays_or_cancels_here_what_is_sold_there(sold):
    await sold.cell.redis.hdel("tg:{c1}:holds", id_of("1"))  # the row alone knows it
    for refused in (await sold.pay(id_of("1"), "p9", 300), await sold.cancel(id_of("1"), "c")):
        assert (refused.status, refused.code) == (422, "wrong_call")
        assert refused.document["detail"] == "orders of this channel change by POST /v1/orders:sync"
