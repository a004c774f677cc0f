"""CSV order lines: what is read, what is noted, what is refused."""

import pytest

from engine.simulation import orderfile
from engine.simulation.orderfile import MalformedFile
from engine.simulation.types import Cancel, Line, Pay

HEADER = "order_no,sku,name,quantity,placed_at,unit_price,buyer_id,country"


def row(order_no="1", sku="TEA", quantity="2", price="1.25", buyer="b1", **other):
    cells = {"name": "Tea", "placed_at": "2010-12-01T08:26", "country": "France", **other}
    return (
        f"{order_no},{sku},{cells['name']},{quantity},{cells['placed_at']},{price},{buyer},"
        f"{cells['country']}"
    )


def demand(*rows, header=HEADER):
    return orderfile.demand_of("t", *orderfile.parse([header, *rows]))


def cancels(found):
    return {
        (order.order_no, n, units)
        for order in found.orders
        for step in order.steps
        if isinstance(step, Cancel)
        for n, units in step.lines
    }


def test_lines_of_one_order_number_are_one_order_wherever_they_stand():
    found = demand(row("1", "TEA"), row("2", "CUP"), row("1", "POT", "3"))
    assert [order.order_no for order in found.orders] == ["1", "2"]
    assert [line.sku for line in found.orders[0].lines] == ["TEA", "POT"]
    assert found.orders[0].placed_at == "2010-12-01T08:26:00.000Z"
    assert found.orders[0].country == "France"
    assert found.currency == "GBP"
    assert found.notes == []


def test_a_missing_buyer_is_a_guest_of_that_order():
    assert demand(row("7", buyer="")).orders[0].buyer == "guest-7"


def test_the_dearest_line_decides_and_the_others_may_be_dropped():
    found = demand(row("1", "A", "9", "1"), row("1", "B", "1", "10"), row("2", "C"))
    assert [line.droppable for line in found.orders[0].lines] == [True, False]
    assert [line.droppable for line in found.orders[1].lines] == [False]


# fmt: off
STOCK = [
    # quantities asked for   units on the shelf: 0.9 of them, rounded down
    (["1"],                  0),
    (["2"],                  1),
    (["10"],                 9),
    (["7", "4"],             9),
    (["20", "-20"],          18),     # a cancel takes nothing from the demand
]
# fmt: on


@pytest.mark.parametrize(("quantities", "stock"), STOCK)
def test_stock_is_nine_tenths_of_the_demand(quantities, stock):
    found = demand(*(row(str(n), quantity=units) for n, units in enumerate(quantities)))
    assert found.stock == {"TEA": stock}


# fmt: off
PRICES = [
    # text      currency  minor units   noted
    ("2.55",    "GBP",    255,          False),
    ("165",     "GBP",    16500,        False),
    ("0",       "GBP",    0,            False),
    ("0.005",   "GBP",    1,            True),      # half a penny goes up
    ("0.001",   "GBP",    0,            True),
    ("1200",    "JPY",    1200,         False),
    ("1.5",     "JPY",    2,            True),
    ("1.234",   "KWD",    1234,         False),
]
# fmt: on


@pytest.mark.parametrize(("text", "currency", "units", "noted"), PRICES)
def test_money_is_exact_in_minor_units(text, currency, units, noted):
    found = demand(row(price=text) + f",{currency}", header=HEADER + ",currency")
    assert found.orders[0].lines == (Line("TEA", 2, units),)
    assert found.currency == currency
    assert bool(found.notes) == noted


# fmt: off
CANCELS = {
    "the latest order first":
        ([("1", "TEA", 2, "b1"), ("2", "TEA", 2, "b1"), ("C", "TEA", -1, "b1")],
         {("2", 1, 1)}, 0),
    "over orders, the latest first":
        ([("1", "TEA", 2, "b1"), ("2", "TEA", 2, "b1"), ("C", "TEA", -3, "b1")],
         {("2", 1, 2), ("1", 1, 1)}, 0),
    "over lines of one order":
        ([("1", "TEA", 2, "b1"), ("1", "TEA", 1, "b1"), ("C", "TEA", -2, "b1")],
         {("1", 2, 1), ("1", 1, 1)}, 0),
    "units cancelled once are gone":
        ([("1", "TEA", 2, "b1"), ("C", "TEA", -2, "b1"), ("D", "TEA", -1, "b1")],
         {("1", 1, 2)}, 1),
    "more than there were":
        ([("1", "TEA", 2, "b1"), ("C", "TEA", -5, "b1")],
         {("1", 1, 2)}, 1),
    "another buyer":
        ([("1", "TEA", 2, "b1"), ("C", "TEA", -1, "b2")], set(), 1),
    "another SKU":
        ([("1", "TEA", 2, "b1"), ("C", "CUP", -1, "b1")], set(), 1),
    "an order that comes later":
        ([("C", "TEA", -1, "b1"), ("1", "TEA", 2, "b1")], set(), 1),
    "a guest has no earlier order":
        ([("1", "TEA", 2, ""), ("C", "TEA", -1, "")], set(), 1),
}
# fmt: on


@pytest.mark.parametrize(("rows", "matched", "notes"), CANCELS.values(), ids=CANCELS)
def test_a_negative_line_cancels_an_earlier_order(rows, matched, notes):
    found = demand(*(row(no, sku, str(units), buyer=buyer) for no, sku, units, buyer in rows))
    assert cancels(found) == matched
    assert len(found.notes) == notes


def test_some_pay_before_their_cancel_and_some_after_and_some_never():
    rows = [row(str(n)) for n in range(10)]
    rows += [row("C", quantity="-20")]
    steps = [tuple(type(step) for step in order.steps) for order in demand(*rows).orders]
    assert {(Pay, Cancel), (Cancel, Pay), (Cancel,)} == set(steps)


# fmt: off
ODD = [
    ("0",  "1.00",  "line 3: quantity 0; left out"),
    ("1",  "-1.00", "line 3: unit_price below 0; left out"),
]
# fmt: on


@pytest.mark.parametrize(("quantity", "price", "note"), ODD)
def test_an_odd_row_is_left_out_and_noted_with_its_line(quantity, price, note):
    found = demand(row("1"), row("2", quantity=quantity, price=price))
    assert [order.order_no for order in found.orders] == ["1"]
    assert found.notes == [note]


# ruff: noqa: E501 - a row of a table is one line
# fmt: off
MALFORMED = {
    "empty":           ([""], "line 1: empty"),
    "no header":       ([row()], "line 1: column 'order_no'"),
    "missing column":  ([HEADER.replace(",country", ""), row()], "column 'country' is missing"),
    "unknown column":  ([HEADER + ",colour", row()], "column 'colour' is not known"),
    "column twice":    ([HEADER + ",sku", row()], "column 'sku' is given twice"),
    "no rows":         ([HEADER], "nothing to order"),
    "only cancels":    ([HEADER, row(quantity="-1")], "nothing to order"),
    "a stray comma":   ([HEADER, row(name="Tea, green")], "line 2: 9 fields where the header has 8"),
    "open quote":      ([HEADER, row(name='"Tea')], "line 2: not CSV"),
    "quantity":        ([HEADER, row(quantity="1.5")], "line 2, column quantity: '1.5' is not a whole"),
    "huge quantity":   ([HEADER, row(quantity="9" * 30)], "line 2, column quantity"),
    "price":           ([HEADER, row(), row(price="2·5")], "line 3, column unit_price: '2·5' is not a dec"),
    "price nan":       ([HEADER, row(price="nan")], "column unit_price"),
    "price huge":      ([HEADER, row(price="1e999999")], "column unit_price"),
    "instant":         ([HEADER, row(placed_at="yesterday")], "column placed_at: 'yesterday' is not an ISO"),
    "early instant":   ([HEADER, row(placed_at="1999-12-31")], "between the years 2000 and 2198"),
    "empty order_no":  ([HEADER, row(order_no="")], "column order_no: '' is not 1 to 100 printable"),
    "empty sku":       ([HEADER, row(sku="")], "column sku"),
    "control":         ([HEADER, row(sku="a\x07b")], "column sku"),
    "long buyer":      ([HEADER, row(buyer="b" * 101)], "column buyer_id"),
    "currency":        ([HEADER + ",currency", row() + ",pounds"], "column currency: 'pounds' is not three"),
    "two currencies":  ([HEADER + ",currency", row() + ",GBP", row() + ",EUR"], "line 3, column currency: EUR"),
}
# fmt: on


@pytest.mark.parametrize(("lines", "told"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_file_is_refused_with_its_place(lines, told):
    with pytest.raises(MalformedFile) as refusal:
        orderfile.parse(lines)
    assert told in str(refusal.value)


def test_a_file_of_another_encoding_is_refused(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_bytes((HEADER + "\n" + row(name="Thé")).encode("latin-1"))
    with pytest.raises(MalformedFile, match="not UTF-8"):
        orderfile.read(path)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_bytes(("\ufeff" + HEADER + "\r\n" + row() + "\r\n").encode())
    assert len(orderfile.read(path).orders) == 1


def test_an_order_of_more_lines_than_the_api_takes_stays_whole():
    found = demand(*(row("1", f"S{n}") for n in range(201)))
    assert len(found.orders[0].lines) == 201


def test_more_skus_than_a_campaign_takes_are_refused():
    with pytest.raises(MalformedFile, match="10001 SKUs: one sale takes at most 10000"):
        demand(*(row(str(n), f"S{n}") for n in range(10_001)))
