"""From an order as posted to a claim: money, identity, and what is refused with which pointer."""

# ruff: noqa: E501 - tables are read by their columns

import pytest

from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.limits import AMOUNT_MAX
from engine.reservation import rules
from engine.reservation.types import decode_order

NOW = 1_762_800_000_000


def cny(amount, currency="CNY"):
    return {"amount": amount, "currency": currency}


def line(sku="A", quantity=1, price=100, **more):
    return {"sku": sku, "quantity": quantity, "unit_price": cny(price), **more}


def order(*lines, **more):
    body = {"channel": "mall", "channel_order_id": "1", "lines": list(lines) or [line()], **more}
    return decode_order(codec.encode(body))


def claim(*lines, **more):
    return rules.claim_of(order(*lines, **more), tenant="main", actor="key-1", now_ms=NOW)


def off(amount, currency="CNY", bearer="seller"):
    return {"kind": "coupon", "bearer": bearer, "amount": cny(amount, currency)}


# fmt: off
#                              lines                                              amounts                                   of lines        total
PAYABLE = {
    "one unit":               ([line()],                                          {},                                       [100],          100),
    "price times quantity":   ([line(quantity=3), line("B", price=7)],            {},                                       [300, 7],       307),
    "a discount comes off":   ([line(quantity=2, discounts=[off(30), off(20, bearer="platform")])], {},                     [150],          150),
    "all of it is discount":  ([line(discounts=[off(100)])],                      {},                                       [0],            0),
    "a line says its own":    ([line(payable=cny(80), discounts=[off(99)])],      {},                                       [80],           80),
    "a gift costs nothing":   ([line(), line("G", price=0, kind="gift")],         {},                                       [100, 0],       100),
    "shipping is the order's": ([line()],                                         {"shipping": cny(12)},                    [100],          112),
    "so is tax":              ([line()],                                          {"shipping": cny(12), "tax": cny(3)},     [100],          115),
    "given and equal":        ([line()],                                          {"payable": cny(100)},                    [100],          100),
    "given with shipping":    ([line()],                                          {"payable": cny(110), "shipping": cny(10)}, [100],        110),
    "given less: apportioned": ([line(price=200), line("B", price=100)],          {"payable": cny(100)},                    [67, 33],       100),
    "given more: apportioned": ([line(price=200), line("B", price=100)],          {"payable": cny(301)},                    [201, 100],     301),
    "less, beside shipping":  ([line(price=200), line("B", price=100)],           {"payable": cny(110), "shipping": cny(10)}, [67, 33],     110),
    "less, beside tax":       ([line(price=200), line("B", price=100)],           {"payable": cny(110), "tax": cny(10)},    [67, 33],       110),
    "own payables stay":      ([line(payable=cny(50)), line("B", payable=cny(30))], {"payable": cny(100)},                  [50, 30],       100),
    "one own payable stays":  ([line(payable=cny(50)), line("B")],                {"payable": cny(180)},                    [50, 100],      180),
    "free lines share evenly": ([line(price=0), line("B", price=0)],              {"payable": cny(5)},                      [3, 2],         5),
    "nothing is asked":       ([line()],                                          {"payable": cny(0)},                      [0],            0),
    "as much as there may be": ([line(price=AMOUNT_MAX)],                         {},                                       [AMOUNT_MAX],   AMOUNT_MAX),
    "free goods, unclear shipping": ([line(price=0)],                             {"payable": cny(5), "shipping": cny(9)},  [0],            5),
}
# fmt: on


@pytest.mark.parametrize(("lines", "amounts", "units", "total"), PAYABLE.values(), ids=PAYABLE)
def test_what_is_asked_of_each_line_and_of_the_order(lines, amounts, units, total):
    assert rules.payable(order(*lines, amounts=amounts)) == (units, total)
    taken = claim(*lines, amounts=amounts)
    assert ([one[2] for one in taken.lines], taken.total) == (units, total)


# fmt: off
REFUSED = {
    "a discount above the price":  ({"lines": [line(discounts=[off(101)])]},                        "/lines/0"),
    "a negative price":            ({"lines": [line(), line("B", price=-1)]},                       "/lines/1"),
    "a negative price, own total": ({"lines": [line(price=-1, payable=cny(0))]},                    "/lines/0"),
    "a negative total of a line":  ({"lines": [line(payable=cny(-1))]},                             "/lines/0"),
    "too much for one line":       ({"lines": [line(quantity=2, price=AMOUNT_MAX)]},                "/lines/0"),
    "too much for one order":      ({"lines": [line(price=AMOUNT_MAX), line("B")]},                 "/amounts/payable"),
    "a negative total":            ({"amounts": {"payable": cny(-1)}},                              "/amounts/payable"),
    "negative shipping":           ({"amounts": {"shipping": cny(-1)}},                             "/amounts/payable"),
    "less than its own lines":     ({"lines": [line(payable=cny(50))], "amounts": {"payable": cny(49)}}, "/amounts/payable"),
    "less than its shipping":      ({"amounts": {"payable": cny(5), "shipping": cny(9)}},           "/amounts/payable"),
    "another currency in a line":  ({"lines": [line(), {**line("B"), "unit_price": cny(1, "USD")}]}, "/lines/1/unit_price/currency"),
    "in a line's own total":       ({"lines": [line(payable=cny(1, "USD"))]},                       "/lines/0/payable/currency"),
    "in a discount":               ({"lines": [line(), line("B", discounts=[off(1), off(1, "USD")])]}, "/lines/1/discounts/1/amount/currency"),
    "in a line's tax":             ({"lines": [line(tax=cny(1, "USD"))]},                           "/lines/0/tax/currency"),
    "in the order's total":        ({"amounts": {"payable": cny(100, "USD")}},                      "/amounts/payable/currency"),
    "in shipping":                 ({"amounts": {"shipping": cny(1, "USD")}},                       "/amounts/shipping/currency"),
    "in tax":                      ({"amounts": {"tax": cny(1, "USD")}},                            "/amounts/tax/currency"),
    "in the sum of items":         ({"amounts": {"items": cny(1, "USD")}},                          "/amounts/items/currency"),
    "in the sum of discounts":     ({"amounts": {"discount": cny(1, "USD")}},                       "/amounts/discount/currency"),
    "a discount that adds":        ({"lines": [line(discounts=[off(-1)])]},                         "/lines/0/discounts/0/amount"),
    "a control in the channel":    ({"channel": "a\x1fb"},                                          "/channel"),
    "a control in its order":      ({"channel_order_id": "\n"},                                     "/channel_order_id"),
    "a control in the buyer":      ({"buyer_id": "a\x7f"},                                          "/buyer_id"),
    "a control in the campaign":   ({"campaign": "\x00"},                                           "/campaign"),
    "a control in a SKU":          ({"lines": [line(), line("\x1f")]},                              "/lines/1/sku"),
    "a control in a payment's id": ({"payment": {"status": "paid"}, "payments": [{"payment_id": "\x1f", "amount": cny(100)}]}, "/payments/0/payment_id"),
    "owing is not for a gate":     ({"lines": [line(), line("B", on_short="owe")]},                 "/lines/1/on_short"),
    "paid less":                   ({"payment": {"status": "paid"}, "payments": [{"payment_id": "p", "amount": cny(99)}]}, "/payments/0/amount"),
    "paid in other money":         ({"payment": {"status": "paid"}, "payments": [{"payment_id": "p", "amount": cny(100, "USD")}]}, "/payments/0/amount"),
    "placed after all years":      ({"placed_at": "9999-12-31T23:59:59-12:00"},                     "/placed_at"),
    "placed before all years":     ({"placed_at": "0001-01-01T00:00:00+14:00"},                     "/placed_at"),
    "paid after all years":        ({"payment": {"status": "paid"}, "payments": [{"payment_id": "p", "amount": cny(100), "paid_at": "9999-12-31T23:59:59-12:00"}]}, "/payments/0/paid_at"),
}
# fmt: on


@pytest.mark.parametrize(("fields", "pointer"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_together_is_refused_where_it_stands(fields, pointer):
    body = {"channel": "mall", "channel_order_id": "1", "lines": [line()], **fields}
    with pytest.raises(ValidationFailed) as refusal:
        rules.claim_of(decode_order(codec.encode(body)), tenant="main", actor="key-1", now_ms=NOW)
    assert [one["pointer"] for one in refusal.value.extra["errors"]] == [pointer]


BASE = {"channel": "mall", "channel_order_id": "1", "buyer_id": "b", "campaign": "d11"}

# fmt: off
#                          changed                                                      the same order?
FINGERPRINTS = {
    "nothing":            ({},                                                          True),
    "the channel":        ({"channel": "app"},                                          False),
    "the buyer":          ({"buyer_id": "c"},                                           False),
    "the campaign":       ({"campaign": "d12"},                                         False),
    "a SKU":              ({"lines": [line("B"), line("B", quantity=2)]},               False),
    "a quantity":         ({"lines": [line(), line("B", quantity=3)]},                  False),
    "a price":            ({"lines": [line(price=99), line("B", quantity=2)]},          False),
    "the order of lines": ({"lines": [line("B", quantity=2), line()]},                  False),
    "one line more":      ({"lines": [line(), line("B", quantity=2), line("C")]},       False),
    "what is apportioned": ({"amounts": {"payable": cny(200)}},                         False),
    "price and discount that come to the same": ({"lines": [line(price=110, discounts=[off(10)]), line("B", quantity=2)]}, True),
    "shipping":           ({"amounts": {"shipping": cny(9)}},                           True),
    "the note":           ({"buyer_note": "at the door"},                               True),
    "the address":        ({"ship_to": {"city": "Shenzhen"}},                           True),
    "on_short":           ({"lines": [line(on_short="drop"), line("B", quantity=2)]},   True),
    "when it was placed": ({"placed_at": "2026-11-11T00:00:00+08:00"},                  True),
    "how it is paid":     ({"payment": {"status": "pending", "method": "cod"}},         True),
    "extensions":         ({"extensions": {"a": 1}},                                    True),
}
# fmt: on


@pytest.mark.parametrize(("changed", "same"), FINGERPRINTS.values(), ids=FINGERPRINTS)
def test_what_makes_it_another_order(changed, same):
    lines = [line(), line("B", quantity=2)]

    def of(**more):
        one = decode_order(codec.encode({**BASE, "lines": lines, **more}))
        return rules.claim_of(one, tenant="main", actor="key-1", now_ms=NOW).fingerprint

    assert (of(**changed) == of()) is same


def test_a_claim_says_what_the_scripts_read():
    taken = claim(
        line(quantity=2, on_short="drop"),
        buyer_id="b",
        buyer_keys={"device": "d", "phone": "p"},
        campaign="d11",
        replace_unpaid=True,
        placed_at="2026-11-11T08:00:00.5+08:00",
        payment={"status": "pending", "method": "alipay"},
    )
    assert taken.lines == (("A", 2, 200, "drop"),)
    assert (taken.tenant, taken.channel, taken.campaign, taken.buyer) == (
        "main",
        "mall",
        "d11",
        "b",
    )
    assert (taken.currency, taken.total, taken.settle, taken.method) == ("CNY", 200, "", "alipay")
    assert (taken.replace, taken.payment, taken.actor) == (1, (), "key-1")
    assert taken.buyer_keys == (("phone", "p"), ("device", "d"))
    assert taken.placed_at == 1_794_355_200_500


def test_an_order_that_does_not_say_was_placed_now():
    assert claim().placed_at == NOW


def test_one_channel_order_has_one_id_whatever_it_says():
    assert claim().order_id == claim(line("B"), buyer_id="x").order_id
    assert claim().order_id != claim(channel_order_id="2").order_id


PAID = {
    "with its payment": (
        {
            "payment": {"status": "paid"},
            "payments": [
                {
                    "payment_id": "p",
                    "amount": cny(100),
                    "method": "wechat",
                    "paid_at": "2026-11-11T00:00:00Z",
                }
            ],
        },
        ("paid", ("p", 100, "CNY", "wechat", 1_794_355_200_000, "full", "key-1")),
    ),
    "with a payment that does not say when": (
        {"payment": {"status": "paid"}, "payments": [{"payment_id": "p", "amount": cny(100)}]},
        ("paid", ("p", 100, "CNY", "", 0, "full", "key-1")),
    ),
    "in one word": (
        {"payment": {"status": "paid", "method": "alipay"}},
        ("paid", ("posted", 100, "CNY", "alipay", 0, "full", "key-1")),
    ),
    "on delivery": ({"payment": {"status": "on_delivery"}}, ("on_delivery", ())),
}


@pytest.mark.parametrize(("fields", "wanted"), PAID.values(), ids=PAID)
def test_how_an_order_arrives_settled(fields, wanted):
    taken = claim(**fields)
    assert (taken.settle, taken.payment) == wanted


UNBOOKABLE = {
    "a payment of an order that says it is unpaid": {
        "payments": [{"payment_id": "p", "amount": cny(100)}]
    },
    "two payments at once": {
        "payment": {"status": "paid"},
        "payments": [{"payment_id": f"p{n}", "amount": cny(100)} for n in range(2)],
    },
}


@pytest.mark.parametrize("fields", UNBOOKABLE.values(), ids=UNBOOKABLE)
def test_a_payment_that_this_call_would_not_book_is_refused(fields):
    with pytest.raises(ValidationFailed) as refused:
        claim(**fields)
    assert refused.value.extra["errors"][0]["pointer"] == "/payments"


ORDER_ID = "0123456789abcdef0123456789"

LINE_IDS = {
    f"{ORDER_ID}-1": 1,
    f"{ORDER_ID}-200": 200,
    f"{ORDER_ID}-9999": 9_999,
    f"{ORDER_ID}-10000": 0,
    f"{ORDER_ID}-": 0,
    f"{ORDER_ID}--1": 0,
    f"{ORDER_ID}-x": 0,
    f"{ORDER_ID}-²": 0,
    f"{ORDER_ID}- 1": 0,
    ORDER_ID: 0,
    "another-1": 0,
    "1": 0,
    "": 0,
}


@pytest.mark.parametrize(("text", "number"), LINE_IDS.items(), ids=LINE_IDS)
def test_a_line_id_names_a_line_of_its_own_order(text, number):
    assert rules.line_number(ORDER_ID, text) == number


def split_from(*sources, **fields):
    relations = [{"kind": "split_from", "channel_order_id": one} for one in sources]
    return claim(relations=[{"kind": "exchange_of", "channel_order_id": "9"}, *relations], **fields)


def test_an_order_that_is_split_from_another_names_it_by_its_id():
    taken = split_from("cart")
    assert taken.split_from == claim(channel_order_id="cart").order_id
    assert taken.split_from != split_from("cart", channel="app").split_from
    assert (claim().split_from, split_from().split_from) == ("", "")
    assert taken[16] == taken.split_from, "the scripts read it as field 17"


def test_what_it_is_split_from_does_not_make_it_another_order():
    assert split_from("cart").fingerprint == claim().fingerprint


NOT_SPLIT = {
    "two sources": (lambda: split_from("1", "2"), "/relations/2"),
    "the same twice": (lambda: split_from("1", "1"), "/relations/2"),
    "paid already": (lambda: split_from("1", payment={"status": "paid"}), "/payment/status"),
    "on delivery": (lambda: split_from("1", payment={"status": "on_delivery"}), "/payment/status"),
    "in place of another": (
        lambda: split_from("1", buyer_id="b", replace_unpaid=True),
        "/replace_unpaid",
    ),
    "a control in its source": (lambda: split_from("\x1f"), "/relations/1/channel_order_id"),
}


@pytest.mark.parametrize(("made", "pointer"), NOT_SPLIT.values(), ids=NOT_SPLIT)
def test_what_cannot_be_split_is_refused_where_it_stands(made, pointer):
    with pytest.raises(ValidationFailed) as refusal:
        made()
    assert [one["pointer"] for one in refusal.value.extra["errors"]] == [pointer]
