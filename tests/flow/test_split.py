"""A cart split into orders over HTTP, and where that leaves both of them in Postgres."""

import asyncio

import pytest

from tests.fault.engines import certificate, id_of, open_sale
from tests.flow.test_payments import close, open_again

CART = (("A", 2), ("B", 1), ("C", 3))


@pytest.fixture
async def api(here):
    one = await here.api()
    await open_sale(one, A=10, B=10, C=10)
    return one


def from_(source):
    return {"relations": [{"kind": "split_from", "channel_order_id": source}]}


async def split(api, number, *lines, source="cart", **fields):
    return await api.buy(number, *lines, **{"buyer_id": "b-cart", **from_(source), **fields})


async def shown(api, number):
    return (await api.order(id_of(number))).document


async def stock(api):
    """Held and sold of each SKU, as the cell's pools have it in Postgres."""
    await certificate(api)
    rows = await api.process.pool.fetch("SELECT sku, held, sold FROM pools ORDER BY sku")
    return {row["sku"]: (row["held"], row["sold"]) for row in rows if row["held"] + row["sold"]}


async def test_one_part_is_paid_and_the_other_ends(here, eventually):
    api = await here.api()
    await open_sale(api, A=10, B=10, C=10, hold_s=3, grace_s=0)
    first = await api.buy("cart", *CART)
    new = await split(api, "new", ("A", 1), ("C", 3))
    assert new.status == 202, new.document
    assert new.document["pay_by"] == first.document["pay_by"]
    assert new.document["payable"]["amount"] == 400
    again = await split(api, "new", ("A", 1), ("C", 3))
    assert (again.status, again.document["status"]) == (200, "pending_payment")
    assert (await api.pay(id_of("new"), "p", 400)).document["state"] == "applied"

    async def over():
        document = await shown(api, "cart")
        return document["recorded"] and document["status"] == "expired"

    await eventually(over, within_s=15)
    assert await stock(api) == {"A": (0, 1), "C": (0, 3)}
    cart, paid = await shown(api, "cart"), await shown(api, "new")
    assert [(one["quantity"], one["open_quantity"]) for one in cart["lines"]] == [
        (2, 1), (1, 1), (3, 0),
    ]  # fmt: skip
    assert cart["payable"]["amount"] == 200
    (told,) = [one for one in cart["timeline"] if one["kind"] == "order.split"]
    assert told["data"] == {"into": id_of("new")}
    assert (paid["status"], paid["payable"]["amount"]) == ("paid", 400)
    assert paid["document"]["relations"] == from_("cart")["relations"]


async def test_a_cart_in_three_parts_is_cancelled_itself(api):
    await api.buy("cart", *CART)
    for number, line in zip("123", CART, strict=True):
        assert (await split(api, number, line)).status == 202
    assert await stock(api) == {"A": (2, 0), "B": (1, 0), "C": (3, 0)}
    cart = await shown(api, "cart")
    assert (cart["status"], cart["payable"]["amount"]) == ("cancelled", 0)
    again = await api.buy("cart", *CART)
    assert (again.status, again.document["status"]) == (200, "cancelled")
    paid = (await api.pay(id_of("cart"), "p", 600)).document
    assert (paid["state"], paid["reason"]) == ("refund_due", "cancelled")
    for number, amount in (("1", 200), ("2", 100)):
        assert (await api.pay(id_of(number), "p", amount)).document["state"] == "applied"
    await api.cancel(id_of("3"), "c")
    assert await stock(api) == {"A": (0, 2), "B": (0, 1)}


async def test_a_part_is_split_again_and_what_is_left_of_the_cart_is_paid(api):
    await api.buy("cart", *CART)
    assert (await split(api, "1", ("C", 3), ("A", 1))).status == 202
    assert (await split(api, "2", ("C", 2), source="1")).status == 202
    for number, amount in (("cart", 200), ("1", 200), ("2", 200)):
        wrong = await api.pay(id_of(number), "x", amount + 1)
        assert wrong.document["expected"]["amount"] == amount
        assert (await api.pay(id_of(number), "p", amount)).document["state"] == "applied"
    assert await stock(api) == {"A": (0, 2), "B": (0, 1), "C": (0, 3)}


async def test_many_at_once_take_no_unit_twice(here, api):
    """The cart is paid, cancelled, and split by many at once: one of them has each unit."""
    other = await here.api()
    await api.buy("cart", ("A", 5), ("B", 5))
    answers = await asyncio.gather(
        *(
            split(api if n % 2 else other, f"n{n}", ("A" if n % 4 < 2 else "B", 1))
            for n in range(20)
        )
    )
    taken = [one for one in answers if one.status == 202]
    assert len(taken) == 10
    assert {(one.status, one.code) for one in answers if one.status != 202} == {(409, "conflict")}
    assert await stock(api) == {"A": (5, 0), "B": (5, 0)}


async def test_a_split_against_a_payment_has_one_winner(here, api):
    other = await here.api()
    for n in range(10):
        cart, new = f"cart-{n}", f"new-{n}"
        await api.buy(cart, ("A", 1), buyer_id="b-cart")
        done, paid = await asyncio.gather(
            split(api, new, ("A", 1), source=cart), other.pay(id_of(cart), "p", 100)
        )
        assert (done.status, paid.document["state"]) in {(202, "refund_due"), (409, "applied")}
    held, sold = (await stock(api))["A"]
    assert held + sold == 10


REFUSED = {
    "no such order": ("gone", {}, "the order it is split from is not known"),
    "paid": ("paid", {}, "the order it is split from is paid"),
    "cancelled": ("cancelled", {}, "the order it is split from is cancelled"),
    "more units": ("cart", {"quantity": 3}, "the order it is split from has fewer units of line 1"),
    "another buyer": (
        "cart",
        {"buyer_id": "b-other"},
        "the order it is split from is another buyer's sale, or partly paid",
    ),
    "an everyday sale": (
        "cart",
        {"campaign": ""},
        "the order it is split from is another buyer's sale, or partly paid",
    ),
}


@pytest.mark.parametrize(("source", "fields", "detail"), REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_split_is_in_conflict(api, source, fields, detail):
    await api.buy("cart", *CART)
    await api.buy("paid", ("A", 2), buyer_id="b-cart", payment={"status": "paid"})
    await api.buy("cancelled", ("A", 2), buyer_id="b-cart")
    await api.cancel(id_of("cancelled"), "c")
    before = await stock(api)
    quantity = {"quantity": 1, **fields}.pop("quantity")
    others = {name: value for name, value in fields.items() if name != "quantity"}
    answer = await split(api, "new", ("A", quantity), source=source, **others)
    assert (answer.status, answer.code) == (409, "conflict"), answer.document
    assert answer.document["detail"] == detail
    assert answer.document.get("line") == (1 if "quantity" in fields else None)
    assert (await api.order(id_of("new"))).status == 404
    assert await stock(api) == before


NOT_ASKED = {
    "two sources": (
        {"relations": from_("cart")["relations"] + from_("other")["relations"]},
        "/relations/1",
    ),
    "paid already": ({"payment": {"status": "paid"}}, "/payment/status"),
    "in place of another": ({"replace_unpaid": True}, "/replace_unpaid"),
}


@pytest.mark.parametrize(("fields", "pointer"), NOT_ASKED.values(), ids=NOT_ASKED)
async def test_what_does_not_go_with_a_split_is_refused_where_it_stands(api, fields, pointer):
    await api.buy("cart", *CART)
    answer = await split(api, "new", ("A", 1), **fields)
    assert (answer.status, answer.code) == (400, "validation_failed"), answer.document
    assert [one["pointer"] for one in answer.document["errors"]] == [pointer]
    assert await stock(api) == {"A": (2, 0), "B": (1, 0), "C": (3, 0)}


async def test_another_relation_splits_nothing(api):
    await api.buy("cart", *CART)
    fields = {"relations": [{"kind": "exchange_of", "channel_order_id": "cart"}]}
    assert (await api.buy("new", ("A", 1), **fields)).status == 202
    assert (await stock(api))["A"] == (3, 0)


async def test_a_sold_out_sale_is_still_split(api):
    await api.buy("cart", ("A", 10))
    assert (await api.buy("other", ("A", 1))).code == "sold_out"
    assert (await api.buy("other", ("A", 1))).code == "sold_out"
    assert (await split(api, "new", ("A", 4))).status == 202
    assert await stock(api) == {"A": (10, 0)}


async def test_a_closed_cell_splits_nothing_and_what_was_split_stays_so(api):
    await api.buy("cart", *CART)
    await split(api, "1", ("A", 1))
    await certificate(api)
    await close(api)
    refused = await split(api, "2", ("A", 1))
    assert (refused.status, refused.code) == (503, "closed")
    await open_again(api)
    await certificate(api)
    assert (await split(api, "2", ("A", 1))).status == 202
    await certificate(api)
    assert [one["open_quantity"] for one in (await shown(api, "cart"))["lines"]] == [0, 1, 3]
    assert await stock(api) == {"A": (2, 0), "B": (1, 0), "C": (3, 0)}
    assert (await api.pay(id_of("cart"), "p", 400)).document["state"] == "applied"
    assert await stock(api) == {"A": (2, 0), "B": (0, 1), "C": (0, 3)}
