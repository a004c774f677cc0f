"""A presale over HTTP: from the campaign to the balance in Postgres, and what may come between."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.infra import keys
from engine.kernel import codec
from tests.conftest import eventually
from tests.fault.engines import CHANNEL, campaign_of, certificate, house, id_of, open_sale
from tests.flow.test_payments import close, open_again
from tests.lua.builders import SEP, unpack

CART = (("A", 2), ("B", 1))  # 300 in all, 60 of it as a deposit


@pytest.fixture
async def api(here):
    one = await here.api()
    await open_presale(one)
    return one


async def open_presale(api, *, lasts=timedelta(hours=1), balance=timedelta(days=9), hold_s=600):
    """Sell ten of A, 30 a unit as a deposit, and ten of B that ask for none."""
    stock = {"A": 10, "B": 10}
    await open_sale(api, lasts=lasts, hold_s=hold_s, grace_s=0, **stock)
    *_, (path, body) = campaign_of(stock, lasts=lasts, hold_s=hold_s, grace_s=0)
    body["skus"][0]["deposit"] = {"amount": 30, "currency": "CNY"}
    body["balance_until"] = (datetime.now(UTC) + balance).isoformat()
    tag = (await api.call("GET", path)).headers["ETag"]
    answer = await api.call("PUT", path, body, If_Match=tag)
    assert answer.status == 200, answer.document
    rules = keys.of(api.cell.id, "rules")
    names = [
        SEP.join(("campaign", "main", "sale")),
        SEP.join(("offer", "main", "sale", CHANNEL, "A")),
    ]

    async def told():
        rule, offer = map(unpack, await api.cell.redis.hmget(rules, names))
        return rule[6] > 0 and offer[4] == 30

    await eventually(told, within_s=20)


def due(document):
    return [(one["stage"], one["amount"]["amount"], one["pay_by"]) for one in document["stages"]]


async def shown(api, number="1"):
    return (await api.order(id_of(number))).document


async def recorded(api, number="1"):
    """What Postgres has of an order, once it has all of it."""
    await certificate(api)
    row = await api.process.pool.fetchrow(
        "SELECT state, payment_state, stock_state, pay_by, stages FROM orders WHERE order_id = $1",
        id_of(number),
    )
    left = [one[0] for one in codec.decode_json(row["stages"])]
    return (row["state"], row["payment_state"], row["stock_state"]), row["pay_by"], left


async def is_now(api, status, number="1"):
    async def there():
        document = await shown(api, number)
        return document["recorded"] and document["status"] == status

    await eventually(there, within_s=20)


async def test_from_the_campaign_to_the_balance(api):
    bought = await api.buy("1", *CART)
    assert bought.status == 202, bought.document
    (_, deposit, first), (_, balance, last) = due(bought.document)
    assert (deposit, balance, first) == (60, 240, bought.document["pay_by"])
    assert (await recorded(api))[::2] == (("open", "unpaid", "held"), ["deposit", "balance"])
    before = await shown(api)
    assert (before["status"], due(before)) == ("pending_payment", due(bought.document))

    paid = await api.pay(id_of("1"), "d", 60)
    assert (paid.status, paid.document["state"]) == (200, "applied")
    again = await api.buy("1", *CART)
    assert (again.status, again.document["status"]) == (200, "pending_payment")
    assert (again.document["pay_by"], due(again.document)) == (last, [("balance", 240, last)])
    axes, pay_by, left = await recorded(api)
    assert (axes, left) == (("open", "deposit_paid", "held"), ["balance"])
    assert pay_by == datetime.fromisoformat(last)
    document = await shown(api)
    assert (document["status"], document["pay_by"]) == ("pending_payment", last)
    assert due(document) == [("balance", 240, last)]

    assert (await api.pay(id_of("1"), "r", 240)).document["state"] == "applied"
    assert (await recorded(api))[::2] == (("open", "paid", "committed"), [])
    document = await shown(api)
    assert (document["status"], document["stages"]) == ("paid", [])
    assert [(one["amount"]["amount"], one["state"]) for one in document["payments"]] == [
        (60, "applied"), (240, "applied"),
    ]  # fmt: skip
    kinds = [one["kind"] for one in document["timeline"]]
    assert kinds == ["order.reserved", "order.deposit_paid", "order.paid"]
    again = (await api.buy("1", *CART)).document
    assert (again["status"], "stages" in again) == ("paid", False)


async def test_all_of_it_at_once_and_what_asks_for_no_deposit(api):
    await api.buy("1", *CART)
    assert "stages" not in (await api.buy("2", ("B", 2))).document
    assert (await shown(api, "2"))["stages"] == []
    for number, amount in (("1", 300), ("2", 200)):
        assert (await api.pay(id_of(number), "w", amount)).document["state"] == "applied"
        assert (await recorded(api, number))[::2] == (("open", "paid", "committed"), [])


AMOUNTS = (("1", 59, 60), ("1", 240, 60), ("2", 60, 240), ("2", 300, 240))


@pytest.fixture
async def half_paid(api):
    """Order 1 waits for its deposit, order 2 for its balance."""
    await api.buy("1", *CART)
    await api.buy("2", *CART)
    await api.pay(id_of("2"), "d", 60)
    await certificate(api)
    return api


async def test_a_wrong_amount_is_told_what_is_due_now(half_paid):
    for number, amount, expected in AMOUNTS:
        wrong = await half_paid.pay(id_of(number), f"x-{amount}", amount)
        assert (wrong.status, wrong.code) == (422, "wrong_amount"), wrong.document
        assert wrong.document["expected"] == {"amount": expected, "currency": "CNY"}
    await certificate(half_paid)
    assert await half_paid.process.pool.fetchval("SELECT count(*) FROM payments") == 1


async def test_a_wrong_amount_while_the_cell_is_closed_is_given_back(half_paid):
    await close(half_paid)
    for number, amount, _ in AMOUNTS:
        waits = await half_paid.pay(id_of(number), f"x-{amount}", amount)
        assert (waits.status, waits.document["state"]) == (202, "received"), waits.document
    await open_again(half_paid)
    for number, amount, _ in AMOUNTS:

        async def settled(number=number, amount=amount):
            known = {one["payment_id"]: one for one in (await shown(half_paid, number))["payments"]}
            payment = known[f"x-{amount}"]
            return (payment["state"], payment["reason"]) == ("refund_due", "wrong_amount")

        await eventually(settled, within_s=15)
    assert (await recorded(half_paid))[::2] == (("open", "unpaid", "held"), ["deposit", "balance"])
    assert (await recorded(half_paid, "2"))[0] == ("open", "deposit_paid", "held")


async def test_stages_are_paid_while_the_cell_is_closed_and_applied_at_its_opening(
    half_paid,
):
    api = half_paid
    await close(api)
    for number, payment_id, amount in (("1", "d", 60), ("2", "r", 240)):
        for _ in range(2):
            waits = await api.pay(id_of(number), payment_id, amount)
            assert (waits.status, waits.document["state"]) == (202, "received"), waits.document
    await open_again(api)

    async def settled():
        payments = (await shown(api))["payments"] + (await shown(api, "2"))["payments"]
        return {one["state"] for one in payments} == {"applied"}

    await eventually(settled, within_s=15)
    assert (await recorded(api))[::2] == (("open", "deposit_paid", "held"), ["balance"])
    assert (await recorded(api, "2"))[::2] == (("open", "paid", "committed"), [])
    answer = await api.pay(id_of("1"), "d", 60)
    assert (answer.status, answer.document["state"]) == (200, "applied")


async def test_a_deposit_that_is_not_recorded_yet_is_shown_as_the_cell_has_it(settings):
    async with house(settings) as here:
        await here.worker("keeper", "sweeper", "publisher", name="worker")
        await here.worker("recorder", name="recorder")
        api = await here.api()
        await open_presale(api)
        await api.buy("1", *CART)
        await certificate(api)
        await here.stop("recorder")
        await api.pay(id_of("1"), "d", 60)
        again = (await api.buy("1", *CART)).document
        document = await shown(api)
        assert (document["payment_state"], document["pay_by"]) == ("deposit_paid", again["pay_by"])
        assert due(document) == due(again)


async def test_a_deadline_that_a_closing_moved_is_that_of_the_stage(api):
    bought = (await api.buy("1", *CART)).document
    await certificate(api)
    await close(api)
    now = int(await api.cell.redis.hget("tg:{c1}:cell", "now"))
    await api.cell.redis.hset("tg:{c1}:cell", "now", now + 3_600_000)
    await open_again(api)

    async def moved():
        document = await shown(api)
        return document["pay_by"] != bought["pay_by"] and document

    document = await eventually(moved, within_s=15)
    assert due(document)[0] == ("deposit", 60, document["pay_by"])

    async def answered():
        again = await api.buy("1", *CART)
        return again.status == 200 and again.document

    again = await eventually(answered, within_s=15)
    assert (again["pay_by"], due(again)) == (document["pay_by"], due(document))


async def test_a_cancel_after_the_deposit_gives_it_back(api):
    await api.buy("1", *CART)
    await api.pay(id_of("1"), "d", 60)
    one_line = {"cancel_id": "c1", "lines": [{"line_id": f"{id_of('1')}-1", "quantity": 1}]}
    refused = await api.call("POST", f"/v1/orders/{id_of('1')}/cancel", one_line)
    assert (refused.status, refused.code) == (409, "not_cancellable")
    assert (await api.cancel(id_of("1"), "c2")).status == 200
    assert (await recorded(api))[0] == ("cancelled", "refund_due", "released")
    document = await shown(api)
    assert (document["status"], document["stages"]) == ("refund_due", [])
    (owed,) = [one for one in document["timeline"] if one["kind"] == "payment.refund_due"]
    assert owed["data"] == {"amount": 60, "reason": "cancelled"}
    late = (await api.pay(id_of("1"), "r", 240)).document
    assert (late["state"], late["reason"]) == ("refund_due", "cancelled")
    await certificate(api)


async def test_a_cancelled_unit_takes_its_deposit_along(api):
    await api.buy("1", *CART)
    one_line = {"cancel_id": "c1", "lines": [{"line_id": f"{id_of('1')}-1", "quantity": 1}]}
    assert (await api.call("POST", f"/v1/orders/{id_of('1')}/cancel", one_line)).status == 200
    await certificate(api)
    assert [one[:2] for one in due(await shown(api))] == [("deposit", 30), ("balance", 170)]
    assert (await api.pay(id_of("1"), "d", 30)).document["state"] == "applied"
    assert (await api.pay(id_of("1"), "r", 170)).document["state"] == "applied"
    await certificate(api)


async def test_a_deposit_whose_balance_never_came_is_given_back_or_goes_on(here):
    api = await here.api()
    await open_presale(api, lasts=timedelta(seconds=5), balance=timedelta(seconds=6), hold_s=2)
    for number in ("1", "2"):
        assert (await api.buy(number, *CART)).status == 202
        assert (await api.pay(id_of(number), "d", 60)).document["state"] == "applied"
    for number in ("1", "2"):
        await is_now(api, "refund_due", number)
    assert (await recorded(api))[0] == ("closed", "refund_due", "released")
    document = await shown(api)
    kinds = [one["kind"] for one in document["timeline"]]
    assert (kinds[-2:], document["stages"]) == (["order.expired", "payment.refund_due"], [])
    late = await api.pay(id_of("2"), "r", 240)
    assert late.document["state"] == "applied", late.document
    assert (await recorded(api, "2"))[0] == ("open", "paid", "committed")
    document = await shown(api, "2")
    assert (document["status"], document["attempt"]) == ("paid", 2)


async def test_a_late_deposit_holds_again_until_the_balance(here):
    api = await here.api()
    await open_presale(api, hold_s=1)
    last = due((await api.buy("1", *CART)).document)[1][2]
    await is_now(api, "expired")
    assert (await shown(api))["stages"] == []
    assert (await api.pay(id_of("1"), "d", 60)).document["state"] == "applied"
    axes, pay_by, left = await recorded(api)
    assert (axes, left) == (("open", "deposit_paid", "held"), ["balance"])
    assert pay_by == datetime.fromisoformat(last)
    document = await shown(api)
    assert (document["status"], document["attempt"]) == ("pending_payment", 2)
    assert (await api.pay(id_of("1"), "r", 240)).document["state"] == "applied"
    assert (await recorded(api))[0] == ("open", "paid", "committed")


async def test_a_deposit_that_comes_after_the_balance_was_due_is_given_back(here):
    api = await here.api()
    await open_presale(api, lasts=timedelta(seconds=3), balance=timedelta(seconds=4), hold_s=1)
    last = due((await api.buy("1", *CART)).document)[1][2]

    def over():
        return datetime.now(UTC) > datetime.fromisoformat(last)

    await eventually(over, within_s=10)
    await is_now(api, "expired")
    late = (await api.pay(id_of("1"), "d", 60)).document
    assert (late["state"], late["reason"]) == ("refund_due", "too_late")
    assert (await recorded(api))[0] == ("closed", "refund_due", "released")
