"""Money and goods: one winner of every race, and nothing that was paid is lost."""

import asyncio
import random
from collections import Counter

import pytest

from engine.assurance import store as opening
from engine.assurance.store import SQL
from engine.infra import cell as cells
from engine.infra.cell import Cell
from engine.kernel import codec
from engine.kernel.clock import SystemClock
from engine.reservation import rules, store
from engine.reservation.facts import payload_of
from engine.reservation.types import PaymentClaim, ReleaseClaim, decode_order
from tests.fault.engines import an_order, certificate, house, id_of, open_sale

RACES = 300
RACES_LONG = 10_000
AT_ONCE = 50


@pytest.fixture
async def two_cells(settings):
    """Two connections of their own, as two processes have them."""
    clients = [cells.client(settings.valkey_url) for _ in range(2)]
    made = [Cell(client, settings.cell, SystemClock()) for client in clients]
    yield made
    for client in clients:
        await client.aclose()


def claim_for(number):
    body = codec.encode(an_order(number))
    order = decode_order(body)
    claim = rules.claim_of(order, tenant="main", actor="test", now_ms=0)
    return claim, payload_of(order, claim, body)


def payment_of(number, payment_id="p"):
    return PaymentClaim(id_of(number), payment_id, 100, "CNY", "", 0, "full", "test")


async def race_all(here, two_cells, races, kind, *, at_once=AT_ONCE):
    """Every order is paid over one connection and ended over the other, order by order at once."""
    api = await here.api()
    hold_s = 1 if kind == "expire" else 600
    await open_sale(api, A=races + at_once, hold_s=hold_s, grace_s=0)
    for cell in two_cells:
        await cell.refresh()
    jitter, outcomes = random.Random(3), Counter()
    for start in range(0, races, at_once):
        numbers = [f"{kind}-{n}" for n in range(start, start + at_once)]
        claims = [claim_for(number) for number in numbers]
        bodies = [body for _, body in claims]
        held = await store.reserve(two_cells[0], [one for one, _ in claims], bodies)
        if kind == "expire":
            await near(two_cells[0], max(one.pay_by for one in held), jitter)
            await against_expire(*two_cells, numbers, outcomes)
        else:
            await against_cancel(*two_cells, numbers, outcomes)
    return api, outcomes


async def near(cell, deadline, jitter):
    """Come so near to a deadline that it passes while the payments are on their way."""
    await asyncio.sleep(max(0.0, (deadline - 8 - cell.now_ms()) / 1_000))
    await asyncio.sleep(jitter.uniform(0, 0.006))


async def pay_one(cell, number):
    return (await store.confirm(cell, [payment_of(number)]))[1][0]


async def against_cancel(first, second, numbers, outcomes):
    async def cancel(number):
        asked = ReleaseClaim(id_of(number), "c", "cancel", "", "test")
        return (await store.release(second, [asked]))[1][0]

    for n, number in enumerate(numbers):
        if n % 2:
            paid, cancelled = await asyncio.gather(pay_one(first, number), cancel(number))
        else:
            cancelled, paid = await asyncio.gather(cancel(number), pay_one(first, number))
        assert (paid[0], cancelled[0]) in {
            ("CONFIRMED", "ALREADY_CONFIRMED"),
            ("ALREADY_RELEASED", "RELEASED"),
        }
        outcomes[paid[0]] += 1


async def against_expire(first, second, numbers, outcomes):
    paying = True

    async def pay():
        nonlocal paying
        words = [await pay_one(first, number) for number in numbers]
        paying = False
        return words

    async def expire():
        while paying:
            await store.expire(second, 1)

    words, _ = await asyncio.gather(pay(), expire())
    outcomes.update(word[0] for word in words)
    found = zip(numbers, words, strict=True)
    late = [payment_of(number) for number, word in found if word == ["EXPIRED"]]
    if late:
        assert all(word == ["CONFIRMED"] for word in (await store.rehold(first, late))[1])
        outcomes["held again"] += len(late)


async def check_money(api, races):
    """After all is recorded: paid is paid with goods, or a refund is due without them."""
    await certificate(api)
    rows = await api.process.pool.fetch(
        "SELECT p.state, p.reason, o.state, o.payment_state, o.stock_state, count(*)"
        " FROM orders AS o LEFT JOIN payments AS p USING (order_id) GROUP BY 1, 2, 3, 4, 5"
    )
    found = Counter()
    for *axes, count in rows:
        found[tuple(axes)] += count
    good = {
        ("applied", "", "open", "paid", "committed"),
        ("refund_due", "cancelled", "cancelled", "refund_due", "released"),
    }
    assert set(found) <= good, found
    assert sum(found.values()) == races
    pool = await api.process.pool.fetchrow("SELECT held, sold FROM pools")
    sold = found["applied", "", "open", "paid", "committed"]
    assert tuple(pool) == (0, sold)
    return found


async def test_pay_against_cancel_has_one_winner(here, two_cells):
    api, outcomes = await race_all(here, two_cells, RACES, "cancel")
    assert outcomes["CONFIRMED"] > 0, outcomes
    assert outcomes["ALREADY_RELEASED"] > 0, outcomes
    await check_money(api, RACES)


async def test_pay_against_expire_has_one_winner(here, two_cells):
    api, outcomes = await race_all(here, two_cells, RACES, "expire")
    assert outcomes["CONFIRMED"] > 0, outcomes
    assert outcomes["held again"] > 0, outcomes
    await check_money(api, RACES)


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
@pytest.mark.parametrize("kind", ["cancel", "expire"])
async def test_ten_thousand_races(here, two_cells, kind):
    api, outcomes = await race_all(here, two_cells, RACES_LONG, kind, at_once=100)
    print(kind, outcomes, await check_money(api, RACES_LONG))  # noqa: T201 - its figures


async def test_over_http_one_of_pay_and_cancel_wins_and_the_money_follows(here):
    api, other = await here.api(), await here.api()
    await open_sale(api, A=100)
    seen = Counter()
    for n in range(30):
        await api.buy(str(n))
        paid, cancelled = await asyncio.gather(
            api.pay(id_of(str(n)), "p", 100), other.cancel(id_of(str(n)), "c")
        )
        assert paid.status == 200, paid.document
        assert cancelled.status == 200, cancelled.document  # also a paid order can be cancelled
        seen[paid.document["state"]] += 1
    await certificate(api)
    # whichever came first, all are cancelled in the end, and every payment is to be given back
    rows = await api.process.pool.fetch(
        "SELECT DISTINCT state, payment_state, stock_state FROM orders"
    )
    assert [tuple(row) for row in rows] == [("cancelled", "refund_due", "released")]
    assert await api.process.pool.fetchval("SELECT count(*) FROM payments") == 30


async def test_a_second_payment_is_given_back_and_a_person_sees_it(here):
    api = await here.api()
    await open_sale(api, A=10)
    await api.buy("1")
    for _ in range(2):
        assert (await api.pay(id_of("1"), "p1", 100)).document["state"] == "applied"
    for _ in range(2):
        second = (await api.pay(id_of("1"), "p2", 100)).document
        assert (second["state"], second["reason"]) == ("refund_due", "second_payment")
    await certificate(api)
    shown = (await api.order(id_of("1"))).document
    assert (shown["status"], shown["payment_state"]) == ("needs_attention", "paid")
    assert shown["attention"] == "a refund is due for a second payment"
    assert [(one["payment_id"], one["state"]) for one in shown["payments"]] == [
        ("p1", "applied"), ("p2", "refund_due"),
    ]  # fmt: skip


async def test_the_same_payment_a_hundred_times_at_once_is_booked_once(here):
    api, other = await here.api(), await here.api()
    await open_sale(api, A=10)
    await api.buy("1")
    answers = await asyncio.gather(
        *((api if n % 2 else other).pay(id_of("1"), "p", 100) for n in range(100))
    )
    assert {(one.status, one.document["state"]) for one in answers} == {(200, "applied")}
    await certificate(api)
    shown = (await api.order(id_of("1"))).document
    assert len(shown["payments"]) == 1
    assert [one["kind"] for one in shown["timeline"]].count("order.paid") == 1


async def test_a_wrong_amount_books_nothing(here):
    api = await here.api()
    await open_sale(api, A=10)
    await api.buy("1")
    wrong = await api.pay(id_of("1"), "p", 99)
    assert wrong.status == 422
    assert wrong.document["expected"] == {"amount": 100, "currency": "CNY"}
    assert (await api.pay(id_of("1"), "p", 100)).document["state"] == "applied"


async def expired(api, eventually, number):
    async def over():
        shown = (await api.order(id_of(number))).document
        return shown["status"] == "expired" and shown["recorded"]

    await eventually(over, within_s=15)


async def test_paying_after_expiry_takes_the_goods_again_while_there_are_some(here, eventually):
    api = await here.api()
    await open_sale(api, A=1, hold_s=1, grace_s=0)
    await api.buy("1")
    await expired(api, eventually, "1")
    assert (await api.pay(id_of("1"), "p", 100)).document["state"] == "applied"
    await certificate(api)
    shown = (await api.order(id_of("1"))).document
    assert (shown["status"], shown["attempt"], shown["stock_state"]) == ("paid", 2, "committed")


async def test_paying_after_expiry_without_goods_is_to_be_given_back(here, eventually):
    api = await here.api()
    await open_sale(api, A=1, hold_s=1, grace_s=0)
    await api.buy("1")
    await expired(api, eventually, "1")
    await api.buy("2", payment={"status": "paid", "method": "alipay"})
    for _ in range(2):
        late = (await api.pay(id_of("1"), "p", 100)).document
        assert (late["state"], late["reason"]) == ("refund_due", "no_stock")
    await certificate(api)
    shown = (await api.order(id_of("1"))).document
    assert shown["status"] == "refund_due"
    assert [one["state"] for one in shown["payments"]] == ["refund_due"]


async def test_paying_a_cancelled_order_is_to_be_given_back(here):
    api = await here.api()
    await open_sale(api, A=1)
    await api.buy("1")
    await api.cancel(id_of("1"), "c")
    paid = (await api.pay(id_of("1"), "p", 100)).document
    assert (paid["state"], paid["reason"]) == ("refund_due", "cancelled")
    await certificate(api)
    assert (await api.order(id_of("1"))).document["status"] == "refund_due"


async def close(api):
    """Close the cell as a failed write does; return how to open it again."""
    state = await api.cell.refresh()
    await opening.close(api.cell, state.epoch, "closed by a test")


async def open_again(api):
    """Open a cell that was closed on purpose, as a person decides it."""
    row = await api.process.pool.fetchrow(SQL["next_epoch"], api.cell.id)
    epoch = opening.Epoch(row["epoch"], row["last_id"], row["identity"])
    await opening.begin_restoring(api.cell, epoch)
    await opening.finish_opening(api.cell, epoch)
    await opening.extend(api.cell, epoch.epoch)
    await api.cell.refresh()  # by itself it would see it a moment after others did


async def test_a_wrong_amount_while_the_cell_is_closed_is_judged_at_its_opening(here, eventually):
    """What the order asks for, the cell alone knows: until then the money is kept."""
    api = await here.api()
    await open_sale(api, A=10)
    await api.buy("1")
    await certificate(api)
    await close(api)
    waits = await api.pay(id_of("1"), "p", 99)
    assert (waits.status, waits.document["state"]) == (202, "received")
    changed = await api.pay(id_of("1"), "p", 98)
    assert (changed.status, changed.code) == (422, "idempotency_conflict")
    await open_again(api)

    async def judged():
        shown = (await api.order(id_of("1"))).document
        (payment,) = shown["payments"]
        words = (payment["state"], payment["reason"], shown["status"], shown["attention"])
        return words == (
            "refund_due", "wrong_amount", "needs_attention",
            "a refund is due for a payment of a wrong amount",
        )  # fmt: skip

    await eventually(judged, within_s=15)
    assert (await api.pay(id_of("1"), "right", 100)).document["state"] == "applied"
    assert (await api.pay(id_of("1"), "right", 99)).code == "idempotency_conflict"
    await certificate(api)


async def test_a_booked_payment_has_the_same_answer_while_the_cell_is_closed(settings):
    """Postgres does not have it yet: the process that booked it remembers."""
    async with house(settings) as here:
        await here.worker("keeper", "sweeper", "publisher", name="worker")
        await here.worker("recorder", name="recorder")
        api = await here.api()
        await open_sale(api, A=10)
        await api.buy("1")
        await certificate(api)
        await here.stop("recorder")
        assert (await api.pay(id_of("1"), "p", 100)).document["state"] == "applied"
        await close(api)
        again = await api.pay(id_of("1"), "p", 100)
        assert (again.status, again.document["state"]) == (200, "applied")
        await open_again(api)


@pytest.mark.parametrize("ends", ["pending", "paid", "cancelled", "expired"])
async def test_a_payment_while_the_cell_is_closed_waits_and_is_applied(here, eventually, ends):
    api = await here.api()
    await open_sale(api, A=10, hold_s=1 if ends == "expired" else 600, grace_s=0)
    await api.buy("1")
    if ends == "paid":
        await api.pay(id_of("1"), "first", 100)
    elif ends == "cancelled":
        await api.cancel(id_of("1"), "c")
    elif ends == "expired":
        await expired(api, eventually, "1")
    await certificate(api)
    await close(api)
    for _ in range(2):
        waits = await api.pay(id_of("1"), "p", 100)
        assert waits.status == 202, waits.document
        assert (waits.status, waits.document["state"]) == (202, "received")
    if ends == "pending":
        refused = await api.cancel(id_of("1"), "c")
        assert (refused.status, refused.code) == (503, "closed")
    assert (await api.pay(id_of("stranger"), "p", 100)).status in {404, 503}
    await open_again(api)

    async def settled():
        shown = (await api.order(id_of("1"))).document["payments"]
        return all(one["state"] != "received" for one in shown) and shown

    shown = await eventually(settled, within_s=15)
    mine = next(one for one in shown if one["payment_id"] == "p")
    assert (mine["state"], mine["reason"]) == {
        "pending": ("applied", ""),
        "paid": ("refund_due", "second_payment"),
        "cancelled": ("refund_due", "cancelled"),
        "expired": ("applied", ""),
    }[ends]
    answer = await api.pay(id_of("1"), "p", 100)
    assert (answer.status, answer.document["state"]) == (200, mine["state"])
    await certificate(api)


async def test_an_order_that_was_paid_and_comes_again_as_paid_books_nothing_more(here):
    api = await here.api()
    await open_sale(api, A=10)
    await api.buy("1")
    await api.pay(id_of("1"), "p-1", 100)
    again = await api.buy("1", payment={"status": "paid", "method": "alipay"})
    assert (again.status, again.document["status"]) == (200, "paid")
    await certificate(api)
    shown = (await api.order(id_of("1"))).document
    assert [(one["payment_id"], one["state"]) for one in shown["payments"]] == [("p-1", "applied")]


async def test_a_payment_refused_for_its_amount_may_be_booked_with_another(here, eventually):
    """The cell never had it; its row then says what was booked, and the books agree."""
    api = await here.api()
    await open_sale(api, A=10)
    await api.buy("1")
    await certificate(api)
    await close(api)
    assert (await api.pay(id_of("1"), "p", 99)).status == 202
    await open_again(api)

    async def row():
        (payment,) = (await api.order(id_of("1"))).document["payments"]
        return payment["state"], payment["reason"], payment["amount"]["amount"]

    async def refused():
        return await row() == ("refund_due", "wrong_amount", 99)

    await eventually(refused, within_s=15)
    assert (await api.pay(id_of("1"), "p", 100)).document["state"] == "applied"

    async def booked():
        return await row() == ("applied", "", 100)

    await eventually(booked, within_s=15)
    await certificate(api)
