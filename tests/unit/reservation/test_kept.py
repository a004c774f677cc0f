"""Accepted claims are kept until Postgres has them, and put back into a cell that lost them."""

import pytest

from engine.kernel import limits
from engine.kernel.errors import Closed, Overloaded
from engine.kernel.ids import order_id
from engine.reservation.kept import Kept
from engine.reservation.types import Held, OrderId, Paid, PaymentClaim
from tests.lua.builders import PAY_BY, STATE, UNTIL, campaign, channel, offer
from tests.unit.reservation.instances import body, claim_of, house, take

SINCE = 18


def keep(kept, number, log_id, *lines, pay_by=2_000, accepted_at=1_000):
    held = Held(claim_of(number).order_id, "P", pay_by, 100, [], repeated=False, log_id=log_id)
    kept.claim(held, claim_of(number, *lines), body(number, *lines), accepted_at)


def payment(number, payment_id="p"):
    return PaymentClaim(OrderId(claim_of(number).order_id), payment_id, 100, "CNY", "", 0, "", "k")


# fmt: off
#                        recorded up to   claims and payments left
PASSED = {
    "nothing yet":      ("0-0",           4),
    "below the first":  ("9-9",           4),
    "the first":        ("10-0",          3),
    "both of an entry": ("10-2",          1),
    "between":          ("10-11",         1),
    "all":              ("11-0",          0),
    "beyond":           ("1000-0",        0),
}
# fmt: on


@pytest.mark.parametrize(("last_id", "left"), PASSED.values(), ids=PASSED)
def test_what_postgres_has_is_let_go(last_id, left):
    kept = Kept()
    keep(kept, "1", "10-0")
    keep(kept, "2", "10-2")
    kept.payment(payment("1"), Paid("applied", log_id="10-2"))
    kept.payment(payment("2"), Paid("applied", log_id="11-0"))
    kept.passed(last_id)
    assert len(kept) == left
    kept.passed("0-0")
    assert len(kept) == left


def test_payments_are_told_in_their_order_and_everything_can_be_let_go():
    kept = Kept()
    for number in ("1", "2"):
        kept.payment(payment(number), Paid("applied", log_id=f"{number}-0"))
    keep(kept, "1", "1-0")
    assert kept.payments() == [payment("1"), payment("2")]
    kept.clear()
    assert (len(kept), kept.payments()) == (0, [])


def test_new_claims_are_refused_while_too_many_are_kept(monkeypatch):
    monkeypatch.setattr(limits, "KEPT_CLAIMS_MAX", 2)
    kept = Kept()
    keep(kept, "1", "1-0")
    kept.require_room()
    kept.payment(payment("1"), Paid("applied", log_id="1-0"))
    with pytest.raises(Overloaded):
        kept.require_room()
    kept.passed("1-0")
    kept.require_room()


@pytest.fixture
async def here(valkey_url):
    async with house(valkey_url) as one:
        yield one


async def emptied(world, *pools, epoch=2):
    """The cell has lost everything; its rules and pools are rebuilt, its holds are not."""
    await world.redis.flushall()
    world.numbers.clear()
    await world.open(epoch=epoch)
    rules = [channel(), campaign(starts_at=1, ends_at=2), offer("A", "a"), offer("B", "b")]
    await world.call("rule", *rules)
    for pool, units in pools:
        await world.grant(pool, units)
    await world.cell.call("open", ["database-1", "0-0"], argument="restoring", epoch=epoch + 1)


async def test_an_emptied_cell_gets_its_claims_back_with_id_instant_and_deadline(here):
    one = await here.start()
    await here.world.grant("a", 9)
    await here.world.grant("b", 9)
    first = [await take(one, str(n), ("A", 1), ("B", 2)) for n in range(3)]
    before = {held.order_id: await here.world.hold(held.order_id) for held in first}
    await emptied(here.world, ("a", 9), ("b", 9))
    assert await one.kept.restore(one.cell, 3) == 3
    for order, hold in before.items():
        again = await here.world.hold(order)
        assert again[STATE] == "P"
        assert (again[PAY_BY], again[UNTIL]) == (hold[PAY_BY], hold[UNTIL])
        # the process' own idea of the instant: never earlier than the cell's, and not by much
        assert 0 <= again[SINCE] - hold[SINCE] < 5_000
    assert await here.world.pool("a") == [9, 0, 6, 3, 0]
    assert await here.world.pool("b") == [9, 0, 3, 6, 0]
    payloads = [payload for _, _, found in await here.world.entries() for payload in found]
    assert payloads == [body(str(n), ("A", 1), ("B", 2)) for n in range(3)]
    assert await one.kept.restore(one.cell, 3) == 0
    assert len(one.kept) == 3
    assert await here.world.pool("a") == [9, 0, 6, 3, 0]
    await here.world.check()


async def test_restored_claims_are_kept_until_their_new_place_in_the_log_is_recorded(here):
    one = await here.start()
    await here.world.grant("a", 2)
    old = (await take(one, "1")).log_id
    await emptied(here.world, ("a", 2))
    await one.kept.restore(one.cell, 3)
    one.kept.passed(old)
    assert len(one.kept) == 1
    one.kept.passed((await here.world.entries())[-1][0])
    assert len(one.kept) == 0


async def test_what_the_cell_still_has_stays_as_it_is(here):
    one = await here.start()
    await here.world.grant("a", 2)
    held = await take(one, "1")
    before = await here.world.hold(held.order_id)
    await here.world.cell.call("open", ["database-1", "0-0"], argument="restoring", epoch=2)
    assert await one.kept.restore(one.cell, 2) == 0
    assert await here.world.hold(held.order_id) == before


async def test_claims_of_two_processes_are_put_back_side_by_side(here):
    both = [await here.start(), await here.start()]
    await here.world.grant("a", 40)
    for n in range(40):
        await take(both[n % 2], str(n))
    await emptied(here.world, ("a", 40))
    assert [await one.kept.restore(one.cell, 3) for one in both] == [20, 20]
    assert await here.world.pool("a") == [40, 0, 0, 40, 0]
    await here.world.check()


async def test_units_that_are_gone_keep_the_cell_closed(here):
    one = await here.start()
    await here.world.grant("a", 2)
    for number in ("1", "2"):
        await take(one, number)
    await emptied(here.world, ("a", 1))
    with pytest.raises(Closed) as refusal:
        await one.kept.restore(one.cell, 3)
    assert order_id("main", "mall", "2") in refusal.value.detail
    assert len(one.kept) == 2


async def test_another_epoch_takes_nothing_back(here):
    one = await here.start()
    await here.world.grant("a", 2)
    await take(one, "1")
    await emptied(here.world, ("a", 2))
    with pytest.raises(Closed):
        await one.kept.restore(one.cell, 2)
    assert await here.world.pool("a") == [2, 0, 2, 0, 0]


async def test_more_claims_than_one_call_takes_go_in_several(here, monkeypatch):
    one = await here.start()
    await here.world.grant("a", 1_000)
    wide = [("A", 1)] * 200
    for n in range(300):
        keep(one.kept, str(n), f"{n + 1}-0", *(wide if n < 3 else [("A", 1)]), pay_by=10**13)
    await here.world.cell.call("open", ["database-1", "0-0"], argument="restoring", epoch=2)
    sent = []
    call = one.cell.call

    async def watched(script, claims, *rest, **named):
        sent.append([sum(len(claim[11]) for claim in claims), len(claims)])
        return await call(script, claims, *rest, **named)

    monkeypatch.setattr(one.cell, "call", watched)
    assert await one.kept.restore(one.cell, 2) == 300
    assert sum(count for _, count in sent) == 300
    assert all(lines <= limits.LINES_PER_CALL_MAX for lines, _ in sent)
    assert all(count <= limits.CLAIMS_PER_CALL_MAX for _, count in sent)
    assert len(sent) == 2
    assert (await here.world.pool("a"))[:4] == [1_000, 0, 1_000 - 897, 897]
