"""Paying in stages: a deposit, then the balance; what each step leaves and what it refuses."""

import pytest

from tests.lua.builders import (
    CANCELS,
    DRAWS,
    PAID,
    PAY_BY,
    STAGES,
    STATE,
    UNTIL,
    WARNED,
    World,
    campaign,
    cancel,
    claim,
    line,
    offer,
    payment,
)
from tests.lua.presale import HOLD, deadlines, deposit, two


async def test_a_claim_is_told_what_it_owes_when(presale: World) -> None:
    (first, first_end), (last, last_end) = await deadlines(presale)
    told = [["deposit", 60, first], ["balance", 240, last]]
    answers = await presale.reserve(two(), two())
    assert answers == [
        ["RESERVED", "P", first, 300, [], told],
        ["REPEATED", "P", first, 300, [], told],
    ]
    stages = [["deposit", first, first_end, [[1, 30]]], ["balance", last, last_end, []]]
    hold = await presale.hold("o1")
    assert (hold[PAY_BY], hold[UNTIL], hold[STAGES], hold[PAID]) == (first, first_end, stages, 0)
    (event,) = await presale.events("R")
    assert event[26:] == [stages]
    assert await presale.scores("due") == {"o1": first}


AT_ONCE = {
    "nothing asks for a deposit": ([line("B", 2)], {}, {}),
    "the deposit is all of it": ([line("A", 2, payable=60)], {}, {}),
    "the deposit is more": ([line("A", 2, payable=10)], {}, {}),
    "a gift": ([line("A", 1, payable=0), line("B", 1, payable=0)], {}, {}),
    "in another currency": ([line("A")], {"currency": "USD"}, {}),
    "it arrives paid": ([line("A")], {"settle": "paid"}, {}),
    "an everyday sale": ([line("A")], {"campaign": ""}, {}),
    "the balance is due no later": ([line("A")], {}, {"balance_by": HOLD}),
    "it is no presale": ([line("A")], {}, {"balance_by": None}),
}


@pytest.mark.parametrize(("lines", "over", "rule"), AT_ONCE.values(), ids=AT_ONCE)
async def test_all_is_due_at_once(presale: World, lines: list, over: dict, rule: dict) -> None:
    await presale.call(
        "rule", *(offer("A", "p", deposit=30, of=of, version=3) for of in ("d11", ""))
    )
    if rule:
        end = 0 if rule["balance_by"] is None else await presale.now() + rule["balance_by"]
        await presale.call("rule", [campaign()[0], 3, [3, *campaign(balance_by=end)[2][1:]]])
    (answer,) = await presale.reserve(claim("o1", *lines, **over))
    assert (answer[0], len(answer)) == ("RESERVED", 5)
    assert len(await presale.hold("o1")) == STAGES
    (event,) = await presale.events("R")
    assert len(event) == 26


async def test_a_dropped_line_asks_for_no_deposit(presale: World) -> None:
    gone = line("A", 11, on_short="drop")
    (answer,) = await presale.reserve(claim("o1", gone, line("A"), line("B")))
    assert answer[5][0][:2] == ["deposit", 30]
    assert (await presale.hold("o1"))[STAGES][0][3] == [[2, 30]]


async def test_the_deposit_moves_the_deadline_and_nothing_else(presale: World) -> None:
    await presale.reserve(two())
    _, (last, last_end) = await deadlines(presale)
    await presale.advance(HOLD)
    await presale.call("expire", 10)
    before, pools = await presale.hold("o1"), await presale.unpacked("pools")
    assert before[WARNED] == 1
    assert await deposit(presale) == ["DEPOSITED", last, 240]
    hold = await presale.hold("o1")
    assert (hold[STATE], hold[PAY_BY], hold[UNTIL], hold[WARNED]) == ("P", last, last_end, 0)
    assert (hold[STAGES], hold[PAID]) == ([["balance", last, last_end, []]], 60)
    assert hold[DRAWS] == before[DRAWS]
    assert await presale.unpacked("pools") == pools
    assert await presale.scores("due") == {"o1": last}
    (event,) = await presale.events("A")
    facts = ["d", 60, "CNY", "alipay", 0, "full", "key-1"]
    assert event[1:2] + event[3:] == ["o1", [], facts, last, last_end, hold[STAGES]]
    (again,) = await presale.reserve(two())
    assert again == ["REPEATED", "P", last, 300, [], [["balance", 240, last]]]
    assert await deposit(presale) == ["REPEATED", "applied"]


@pytest.mark.parametrize("script", ["confirm", "rehold"])
async def test_the_rest_confirms(presale: World, script: str) -> None:
    await presale.reserve(two())
    await deposit(presale)
    words = await presale.call(
        script, payment("o1", "all", 300), payment("o1", "more", 60), payment("o1", "r", 240),
        payment("o1", "again", 240),
    )  # fmt: skip
    wrong = ["CONFLICT", 240, "CNY"]
    assert words == [wrong, wrong, ["CONFIRMED"], ["ALREADY_CONFIRMED"]]
    assert await presale.pool("p") == [10, 0, 8, 0, 2]
    hold = await presale.hold("o1")
    assert (hold[STATE], len(hold)) == ("C", STAGES)
    assert await presale.scores("due") == {}
    (event,) = await presale.events("C")
    assert event[4][:2] == ["r", 240]


async def test_deposit_and_rest_in_one_batch(presale: World) -> None:
    """Each event tells what was left when it was written."""
    await presale.reserve(two())
    words = await presale.call("confirm", payment("o1", "d", 60), payment("o1", "r", 240))
    assert [word[0] for word in words] == ["DEPOSITED", "CONFIRMED"]
    first, second = await presale.events("A", "C")
    assert [one[0] for one in first[7]] == ["balance"]
    assert second[0] == "C"


async def test_reserved_and_paid_in_part_the_first_event_keeps_both_stages(presale: World) -> None:
    await presale.reserve(two(), claim("o2", line("A", 1), split_from="o1", buyer="b1"))
    await deposit(presale, "o2", 30)
    assert [[one[0] for one in event[26]] for event in await presale.events("R")] == [
        ["deposit", "balance"]
    ] * 2


async def test_the_whole_at_once(presale: World) -> None:
    await presale.reserve(two())
    assert await presale.call("confirm", payment("o1", "w", 300)) == [["CONFIRMED"]]
    assert len(await presale.hold("o1")) == STAGES


@pytest.mark.parametrize("amount", [0, 30, 59, 61, 240, 299, 301])
async def test_a_wrong_amount_is_told_what_is_due_now(presale: World, amount: int) -> None:
    await presale.reserve(two())
    before = await presale.dump()
    words = await presale.call(
        "confirm", payment("o1", "x", amount), payment("o1", "y", 60, currency="USD")
    )
    assert words == [["CONFLICT", 60, "CNY"]] * 2
    assert await presale.dump() == before


async def test_what_is_partly_paid_is_not_replaced(presale: World) -> None:
    await presale.reserve(two())
    await deposit(presale)
    assert (await presale.counters()).get("m/main/d11/b1") is None
    (word,) = await presale.reserve(claim("o2", line("A", 8), buyer="b1", replace=1))
    assert word[0] == "RESERVED"
    assert (await presale.hold("o1"))[STATE] == "P"
    assert await presale.pool("p") == [10, 0, 0, 10, 0]


async def test_after_a_deposit_only_all_of_it_is_cancelled(presale: World) -> None:
    await presale.reserve(two())
    await deposit(presale)
    words = await presale.call(
        "release",
        cancel("o1", "c1", [1, 1]),
        cancel("o1", "c2", [1, 3]),
        cancel("o1", "c3"),
        cancel("o1", "c3"),
    )
    assert words == [
        ["CONFLICT", 0], ["CONFLICT", 1], ["RELEASED", "R", 0], ["REPEATED", "R", 0],
    ]  # fmt: skip
    assert (await presale.hold("o1"))[CANCELS] == ["c3"]
    (event,) = await presale.events("L")
    assert event[8:] == [[[1, 2, 200], [2, 1, 100]], "R", 0, [], 60]
    assert await presale.call("confirm", payment("o1", "r", 240)) == [["ALREADY_RELEASED"]]


async def test_a_cancelled_unit_takes_its_deposit_along(presale: World) -> None:
    await presale.reserve(two())
    await presale.call("release", cancel("o1", "c1", [1, 1]))
    (event,) = await presale.events("L")
    assert event[12] == 0
    (again,) = await presale.reserve(two())
    assert [one[:2] for one in again[5]] == [["deposit", 30], ["balance", 170]]
    assert await deposit(presale) == ["CONFLICT", 30, "CNY"]
    assert (await deposit(presale, amount=30))[::2] == ["DEPOSITED", 170]


async def test_a_deposit_of_nothing_keeps_nobody_waiting(presale: World) -> None:
    """With all that asked for a deposit cancelled, no payment of 0 may buy the later deadline."""
    await presale.reserve(two())
    await presale.call("release", cancel("o1", "c1", [1, 2]))
    assert await deposit(presale, amount=0) == ["CONFLICT", 100, "CNY"]
    assert await deposit(presale, amount=100) == ["CONFIRMED"]


async def test_where_the_deposit_is_all_that_is_left_it_confirms(presale: World) -> None:
    await presale.reserve(claim("o1", line("A", 2, payable=50), line("B", payable=20)))
    await presale.call("release", cancel("o1", "c1", [2, 1]))
    (again,) = await presale.reserve(claim("o1"))
    assert [one[:2] for one in again[5]] == [["deposit", 50]]
    assert await deposit(presale, amount=60) == ["CONFLICT", 50, "CNY"]
    assert await deposit(presale, amount=50) == ["CONFIRMED"]


async def test_a_price_in_another_currency_is_below_the_floor(presale: World) -> None:
    await presale.call("rule", offer("A", "p", floor=50, version=4))
    words = await presale.reserve(
        claim("o1", line("A", payable=50)), claim("o2", line("A", payable=500), currency="USD")
    )
    assert [word[0] for word in words] == ["RESERVED"] * 2
    assert [event[13] for event in await presale.events("R")] == [[], [1]]
    assert [event[6] for event in await presale.events("U")] == [1]
