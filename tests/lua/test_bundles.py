"""Bundles in the cell: sold as one line, drawn as components, together in and together out."""

import random
from itertools import permutations

import pytest

from tests.lua.builders import (
    COUNTERS,
    DATABASE,
    DRAWS,
    LINES,
    TOTAL,
    World,
    cancel,
    claim,
    line,
    offer,
    payment,
    promised,
)
from tests.lua.marketplace import PAID_FOR, UNPAID, snap, tmall


def bundle(units: int, payable: int, *parts: tuple[str, int], n: int = 1) -> list[list[object]]:
    """A bundle as line n of a claim without other bundles, and its components."""
    own = [["SET", units, payable, "bundle"]]
    return own + [[sku, units * per, 0, f"{n}*{per}"] for sku, per in parts]


AB = (("A", 2), ("B", 1))


@pytest.fixture
async def shelf(world: World) -> World:
    await world.call("rule", tmall())
    for pool, units in (("a", 10), ("b", 5), ("c", 30)):
        await world.grant(pool, units)
        sku = pool.upper()
        await world.call(
            "rule",
            offer(sku, pool),
            offer(sku, pool, of=""),
            offer(sku, pool, of="", channel="tmall"),
        )
    return world


async def left(world: World) -> list[int]:
    return [(await world.pool(pool))[2] for pool in "abc"]


async def test_all_components_or_none_and_summed_over_all_lines(shelf: World) -> None:
    whole = bundle(5, 500, *AB)
    (word,) = await shelf.reserve(claim("o1", *whole, campaign=""))
    assert word[0] == "RESERVED"
    assert await left(shelf) == [0, 0, 30]
    assert (await shelf.hold("o1"))[LINES] == whole
    await shelf.call("release", cancel("o1"))
    assert await left(shelf) == [10, 5, 30]
    mixed = [line("A", 9), *bundle(1, 100, *AB, n=2)]
    (word,) = await shelf.reserve(claim("o2", *mixed, campaign=""))
    assert word[:2] == ["SOLD_OUT", 3]
    assert await left(shelf) == [10, 5, 30]


async def test_a_bundle_that_nobody_expanded_is_not_sold(shelf: World) -> None:
    live = ["offer\x1fmain\x1fd11\x1fmall\x1fSET", 1, [1, [], 0, 0, 0, "", 1]]
    await shelf.call("rule", live)
    assert await shelf.reserve(claim("o1", line("SET"))) == [["UNKNOWN_SKU", 1]]
    assert await shelf.reserve(claim("o2", line("SET"), campaign="")) == [["UNKNOWN_SKU", 1]]
    (word,) = await shelf.reserve(claim("o3", *bundle(1, 1, *AB)))
    assert word[0] == "RESERVED"
    ended = [live[0], 2, [2, [], 0, 0, 0, ""]]
    await shelf.call("rule", ended)
    assert await shelf.reserve(claim("o4", *bundle(1, 1, *AB))) == [["UNKNOWN_SKU", 1]]


async def test_limits_count_bundles_and_a_cancel_gives_them_back(shelf: World) -> None:
    await shelf.call(
        "rule",
        ["offer\x1fmain\x1fd11\x1fmall\x1fSET", 1, [1, [], 2, 0, 0, "", 1]],
        offer("A", "a", limit=1, version=2),
    )
    two = claim("o1", *bundle(2, 200, *AB), buyer="x")
    assert (await shelf.reserve(two))[0][0] == "RESERVED"
    third = claim("o2", *bundle(1, 100, *AB), buyer="x")
    assert await shelf.reserve(third) == [["LIMIT_REACHED", 1, 2, 2]]
    await shelf.call("release", cancel("o1", "c", [1, 1]))
    assert [one[1:] for one in (await shelf.hold("o1"))[COUNTERS]] == [[1, 1]]
    assert (await shelf.reserve(third))[0][0] == "RESERVED"


@pytest.mark.parametrize("asked", [[[2, 1]], [[1, 1], [3, 1]], [[1, 4]], [[4, 1]]])
async def test_a_component_goes_only_with_its_bundle(shelf: World, asked: list[list[int]]) -> None:
    await shelf.reserve(claim("o1", *bundle(3, 300, *AB), campaign=""))
    (word,) = await shelf.call("release", cancel("o1", "c", *asked))
    assert word[0] == "CONFLICT"
    assert await left(shelf) == [4, 2, 30]


async def test_cancels_of_some_give_back_every_unit_and_every_fen(shelf: World) -> None:
    luck = random.Random(20261111)
    for number in range(60):
        order, units = f"o{number}", 5
        pers = luck.randint(1, 2), luck.randint(1, 5)
        whole = bundle(units, luck.randrange(10**9), ("A", pers[0]), ("C", pers[1]))
        await shelf.reserve(claim(order, *whole, campaign=""))
        for i in range(luck.randrange(6)):
            cut = luck.randint(1, 4)
            (word,) = await shelf.call("release", cancel(order, f"c{i}", [1, cut]))
            assert (word[0] == "RELEASED") == (cut <= units)
            units -= cut if cut <= units else 0
            hold = await shelf.hold(order)
            assert [one[1] for one in hold[LINES]] == [units, units * pers[0], units * pers[1]]
            assert hold[TOTAL] == hold[LINES][0][2]
            assert sum(one[2] for one in hold[DRAWS]) == units * sum(pers)
            assert await left(shelf) == [10 - units * pers[0], 5, 30 - units * pers[1]]
            if not units:
                break
        if units:
            await shelf.call("release", cancel(order, "all"))
        assert (await shelf.hold(order))[TOTAL] == 0
        assert await left(shelf) == [10, 5, 30]


def sold(version: int, progress: int, units: int, *parts: tuple[str, int]) -> list[object]:
    """A snapshot of a bundle, with what its sender takes it for."""
    one = snap("s1", version, progress, [*line("SET", units, 100), "x"], campaign="")
    return [*one, [[1, sku, per] for sku, per in parts]]


@pytest.mark.parametrize("order", [*permutations(range(4))])
async def test_snapshots_of_other_definitions_in_any_order_keep_the_first(
    shelf: World, order: tuple[int, ...]
) -> None:
    other = (("B", 1), ("C", 5))
    told = [
        sold(1, UNPAID, 1, *AB), sold(2, PAID_FOR, 2, *other),
        sold(3, PAID_FOR, 3, *AB), sold(4, PAID_FOR, 2, *other),
    ]  # fmt: skip
    for n in order:
        await shelf.sync(told[n])
    is_first = order[0] in {0, 2}
    assert await left(shelf) == ([6, 3, 30] if is_first else [10, 3, 20])
    # now the line is something else, and then nothing
    plain = snap("s1", 5, PAID_FOR, [*line("C", 4, 100), "x"], campaign="")
    await shelf.sync(plain)
    assert await left(shelf) == [10, 5, 26]
    await shelf.sync(sold(6, PAID_FOR, 1, *other))
    assert await left(shelf) == [10, 4, 25]
    await shelf.sync(snap("s1", 7, PAID_FOR, [*line("C", 1, 100), "y"], campaign=""))
    assert await left(shelf) == [10, 5, 29]
    await shelf.sync(snap("s1", 8, 5, [*line("C", 0, 0), "y"], campaign=""))
    assert await left(shelf) == [10, 5, 30]


async def test_a_snapshot_that_came_too_early_is_taken_when_it_is_a_bundle(shelf: World) -> None:
    (word,) = await shelf.sync(sold(1, PAID_FOR, 2))
    assert word[4] == [1]
    (word,) = await shelf.sync(sold(1, PAID_FOR, 2))
    assert word[0] == "UNCHANGED"
    (word,) = await shelf.sync(sold(1, PAID_FOR, 2, *AB))
    assert (word[0], word[4]) == ("UPDATED", [])
    assert await left(shelf) == [6, 3, 30]
    (word,) = await shelf.sync(sold(1, PAID_FOR, 2, ("C", 1)))
    assert word[0] == "UNCHANGED"


async def test_a_bundle_is_held_again_when_it_is_paid_late(shelf: World) -> None:
    await shelf.reserve(claim("o1", *bundle(2, 200, *AB), campaign=""))
    await shelf.advance(10**9)
    await shelf.call("expire", 256)
    assert await left(shelf) == [10, 5, 30]
    assert await shelf.call("rehold", payment("o1", amount=200)) == [["CONFIRMED"]]
    assert await left(shelf) == [6, 3, 30]


async def test_a_cart_is_split_around_its_bundles(shelf: World) -> None:
    await shelf.reserve(claim("o1", *bundle(1, 100, *AB), line("A", 1), campaign=""))
    split = claim("o2", line("A", 2), campaign="", split_from="o1")
    assert await shelf.reserve(split) == [["SHORT", 1]]
    split = claim("o3", line("A", 1), campaign="", split_from="o1")
    assert (await shelf.reserve(split))[0][0] == "RESERVED"
    assert (await shelf.hold("o1"))[LINES][1:] == [
        ["A", 2, 0, "1*2"], ["B", 1, 0, "1*1"], ["A", 0, 0, ""],
    ]  # fmt: skip


async def test_what_was_lost_is_put_back_as_it_was_expanded(shelf: World) -> None:
    await shelf.cell.call("open", [DATABASE, "0-0"], argument="restoring", epoch=2)
    shelf.cell.epoch = 2
    now = await shelf.now()
    whole = bundle(2, 200, *AB)
    lost = promised(claim("lost", *whole, campaign=""), now + 5, now)
    (word,) = await shelf.call("restore", lost, payloads=[b"order"])
    assert word[0] == "RESERVED"
    assert (await shelf.hold("lost"))[LINES] == whole
    assert await left(shelf) == [6, 3, 30]
