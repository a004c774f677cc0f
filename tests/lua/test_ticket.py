"""`ticket`: turns in a waiting room, at its rate, and what `reserve` believes of them."""

from typing import Any

import pytest

from tests.lua.builders import World, campaign, claim, offer

SECOND = 1_000
ROOM = [10, 60 * SECOND, "the key of this campaign"]


@pytest.fixture
async def room(stocked: World) -> World:
    """A sale that ten buyers a second are let into."""
    await stocked.advance(10**12)  # ahead of the server's clock: it stands still
    starts, ends = await stocked.now(), await stocked.now() + 10**9
    await stocked.call(
        "rule", campaign("busy", starts, ends, room=ROOM), offer("A", "p", of="busy")
    )
    return stocked


def ask(buyer: str, place: str = "", name: str = "busy") -> list[str]:
    return ["main", name, buyer, place]


async def order(world: World, number: str, buyer: str, ticket: str = "", **more: Any) -> list[Any]:
    wanted = claim(number, **{"buyer": buyer, "ticket": ticket, "campaign": "busy"} | more)
    return (await world.reserve(wanted))[0]


async def test_turns_come_at_the_rate_however_many_wait(room: World) -> None:
    now = await room.now()
    first, *others = await room.call("ticket", *(ask(f"b{n}") for n in range(31)))
    assert first[:2] == ["TICKET", now + 60 * SECOND]
    assert [one[0] for one in others] == ["WAIT"] * 30
    assert [one[1] - now for one in others] == [100 * n for n in range(1, 31)]
    assert [one[3] for one in others] == list(range(1, 31))
    ((word, later, *_),) = await room.call("ticket", ask("b31"))  # and so in the next call
    assert (word, later - now) == ("WAIT", 3_100)


async def test_a_place_becomes_a_ticket_once_its_turn_has_come(room: World) -> None:
    _, waits = await room.call("ticket", ask("b1"), ask("b2"))
    _, turn, place, _ = waits
    assert (await room.call("ticket", ask("b2", place)))[0] == waits  # early: the same again
    now = await room.advance(100)
    assert turn == now
    ((word, until, ticket),) = await room.call("ticket", ask("b2", place))
    assert (word, until) == ("TICKET", now + 60 * SECOND)
    assert (await order(room, "o1", "b2", ticket))[0] == "RESERVED"
    assert (await order(room, "o2", "b2", ticket))[0] == "RESERVED"  # limits bound him, not this
    await room.advance(60 * SECOND - 1)
    assert (await order(room, "o3", "b2", ticket))[0] == "RESERVED"
    await room.advance(1)
    assert await order(room, "o4", "b2", ticket) == ["TICKET_NEEDED", "expired"]
    assert (await order(room, "o1", "b2"))[0] == "REPEATED"  # what was accepted needs none


async def test_a_turn_that_nobody_came_for_is_lost(room: World) -> None:
    _, (_, turn, place, _) = await room.call("ticket", ask("b1"), ask("b2"))
    await room.advance(turn - await room.now() + 60 * SECOND)
    await room.call("ticket", ask("b3"))
    ((word, later, fresh, ahead),) = await room.call("ticket", ask("b2", place))
    assert (word, later - await room.now(), ahead) == ("WAIT", 100, 1)
    assert fresh != place


# what is not believed: who shows which ticket
FORGED = {
    "no ticket": lambda _: ("b1", ""),
    "another buyer's": lambda ticket: ("b2", ticket),
    "one that holds longer": lambda ticket: ("b1", str(int(ticket[:13]) + 1) + ticket[13:]),
    "one of another signature": lambda ticket: (
        "b1",
        ticket[:-1] + "0fedcba987"[ticket[-1] == "0"],
    ),
    "no number": lambda ticket: ("b1", "x" + ticket),
    "nothing but a number": lambda ticket: ("b1", ticket[:13]),
    "nobody's": lambda ticket: ("", ticket),
}


@pytest.mark.parametrize("how", FORGED)
async def test_what_the_cell_did_not_give_is_no_ticket(room: World, how: str) -> None:
    ((_, _, ticket),) = await room.call("ticket", ask("b1"))
    buyer, shown = FORGED[how](ticket)
    reason = "invalid" if shown else "none"
    assert await order(room, "o1", buyer, shown) == ["TICKET_NEEDED", reason]
    assert (await order(room, "o1", "b1", ticket))[0] == "RESERVED"


async def test_a_ticket_is_of_one_campaign_and_a_place_is_none(room: World) -> None:
    await room.call("rule", campaign("other", room=ROOM), offer("A", "p", of="other"))
    (_, _, ticket), (_, _, place, _) = await room.call("ticket", ask("b1"), ask("b2"))
    assert await order(room, "o1", "b1", ticket, campaign="other") == ["TICKET_NEEDED", "invalid"]
    await room.advance(100)
    assert await order(room, "o1", "b2", place) == ["TICKET_NEEDED", "invalid"]
    assert await room.call("ticket", ask("b2", ticket), ask("b1", place), ask("b1", "x")) == [
        ["INVALID"], ["INVALID"], ["INVALID"],
    ]  # fmt: skip


async def test_turns_before_the_start_begin_at_it(stocked: World) -> None:
    await stocked.advance(10**12)
    starts = await stocked.now() + 5 * SECOND
    await stocked.call("rule", campaign("soon", starts, starts + 10**9, room=ROOM))
    found = await stocked.call("ticket", *(ask(f"b{n}", name="soon") for n in range(3)))
    assert [one[1] - starts for one in found] == [0, 100, 200]


async def test_a_campaign_without_a_room_or_over_gives_none(room: World) -> None:
    now = await room.now()
    await room.call("rule", campaign("over", 0, now, room=ROOM))
    asked = await room.call(
        "ticket", ask("b", name="d11"), ask("b", name="unheard of"), ask("b", name="over")
    )
    assert asked == [["NO_ROOM"], ["NO_ROOM"], ["ENDED", now]]
    assert (await order(room, "o1", "", campaign="d11"))[0] == "RESERVED"


async def test_another_rate_counts_from_the_next_turn_on(room: World) -> None:
    await room.call("ticket", *(ask(f"b{n}") for n in range(10)))
    now = await room.now()
    slow = campaign("busy", now, now + 10**9, room=[1, *ROOM[1:]])
    await room.call("rule", [slow[0], 2, [2, *slow[2][1:]]])
    found = await room.call("ticket", ask("b10"), ask("b11"))
    assert [one[1] - now for one in found] == [1_000, 2_000]
