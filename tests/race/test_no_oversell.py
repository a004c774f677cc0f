"""A thousand buyers of a hundred units, over many connections: exactly a hundred are sold.

Each control does the same by reading first and writing then; if one stops overselling, the race
beside it proves nothing.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.lua.builders import (
    World,
    claim,
    key,
    line,
    offer,
    payment,
)

BUYERS, UNITS = 1_000, 100
Buy = Callable[[World, list[Any]], Awaitable[list[list[Any]]]]


async def scripted(world: World, claims: list[Any]) -> list[list[Any]]:
    return await world.reserve(*claims)


async def race(worlds: list[World], claims: list[Any], buy: Buy = scripted) -> list[list[Any]]:
    """Every client takes batches of 1 to 40 from the same heap until nothing is left."""
    heap, answers = list(claims), []
    luck = random.Random(20261111)
    luck.shuffle(heap)

    async def shopper(world: World) -> None:
        while heap:
            size = luck.randint(1, 40)
            batch = [heap.pop() for _ in range(min(size, len(heap)))]
            answers.extend(await buy(world, batch))

    async with asyncio.TaskGroup() as group:
        for world in worlds:
            group.create_task(shopper(world))
    return answers


def words(answers: list[list[Any]]) -> Counter[str]:
    return Counter(answer[0] for answer in answers)


async def naive(world: World, claims: list[Any]) -> list[list[Any]]:
    """What one writes first: look whether there is enough, then take it."""
    answers = []
    for wanted in claims:
        needs = Counter(dict.fromkeys((one[0] for one in wanted[11]), 0))
        for sku, quantity, *_ in wanted[11]:
            needs[sku] += quantity
        stock = {sku: int(await world.redis.get(f"naive:{sku}") or 0) for sku in needs}
        had = int(await world.redis.get(f"naive:had:{wanted[5]}") or 0)
        if any(stock[sku] < needs[sku] for sku in needs):
            answers.append(["SOLD_OUT"])
        elif wanted[5] and had + needs.total() > 2:
            answers.append(["LIMIT_REACHED"])
        else:
            for sku in needs:
                await world.redis.set(f"naive:{sku}", stock[sku] - needs[sku])
            await world.redis.set(f"naive:had:{wanted[5]}", had + needs.total())
            answers.append(["RESERVED"])
    return answers


async def settle(worlds: list[World]) -> World:
    """Nothing may be found in the log or the holds that the pools do not say."""
    await worlds[0].check()
    return worlds[0]


def single() -> list[Any]:
    return [claim(f"o{n}") for n in range(BUYERS)]


def several_lines() -> list[Any]:
    """Each wants one of A and one of B, named in either order."""
    return [
        claim(f"o{n}", *(line(sku) for sku in ("AB" if n % 2 else "BA"))) for n in range(BUYERS)
    ]


def the_same_sku_twice() -> list[Any]:
    return [claim(f"o{n}", line("A", 2), line("A", 2)) for n in range(BUYERS)]


CASES = {"one line": single, "several lines": several_lines, "same sku twice": the_same_sku_twice}
EACH = {"one line": 1, "several lines": 1, "same sku twice": 4}


@pytest.mark.parametrize("case", CASES)
async def test_control_reading_then_writing_does_oversell(
    worlds: list[World], valkey: Redis, case: str
) -> None:
    await valkey.mset({"naive:A": UNITS, "naive:B": UNITS})
    answers = await race(worlds, CASES[case](), naive)
    assert words(answers)["RESERVED"] * EACH[case] > UNITS


@pytest.mark.parametrize("case", CASES)
async def test_exactly_the_stock_is_sold(worlds: list[World], case: str) -> None:
    for pool in ("a", "b"):
        await worlds[0].grant(pool, UNITS)
    await worlds[0].call("rule", offer("A", "a"), offer("B", "b"))
    answers = await race(worlds, CASES[case]())
    sold = UNITS // EACH[case]
    assert words(answers) == {"RESERVED": sold, "SOLD_OUT": BUYERS - sold}
    world = await settle(worlds)
    assert await world.pool("a") == [UNITS, 0, 0, UNITS, 0]
    assert len(await world.events("R")) == sold, "each winner is in the log once"
    assert await world.redis.hlen(key("holds")) == sold


async def test_own_quota_and_shared_pool_together_give_all_they_have(worlds: list[World]) -> None:
    """Two channels with 30 of their own, and 40 shared of which each may take 30."""
    world = worlds[0]
    for pool, units in (("mall", 30), ("shop", 30), ("shared", 40)):
        await world.grant(pool, units)
    for name in ("mall", "shop"):
        await world.call("rule", offer("A", name, ("shared", 30), channel=name))
    claims = [claim(f"o{n}", channel=("mall", "shop")[n % 2]) for n in range(BUYERS)]
    answers = await race(worlds, claims)
    assert words(answers) == {"RESERVED": UNITS, "SOLD_OUT": BUYERS - UNITS}
    await settle(worlds)
    for pool, units in (("mall", 30), ("shop", 30), ("shared", 40)):
        assert await world.pool(pool) == [units, 0, 0, units, 0]
    used = await world.counters()
    assert int(used["c/shared/mall"]) + int(used["c/shared/shop"]) == 40
    assert max(map(int, used.values())) <= 30


def limited_claims() -> list[Any]:
    """A hundred buyers, ten orders each, over two channels; two units are allowed."""
    return [
        claim(f"o{n}", buyer=f"b{n % 100}", channel=("mall", "shop")[n // 100 % 2])
        for n in range(BUYERS)
    ]


async def test_control_limits_read_before_written_are_exceeded(
    worlds: list[World], valkey: Redis
) -> None:
    await valkey.set("naive:A", 10 * BUYERS)
    assert words(await race(worlds, limited_claims(), naive))["RESERVED"] > 200


async def test_a_buyer_gets_his_limit_over_both_channels(worlds: list[World]) -> None:
    world = worlds[0]
    await world.grant("a", 10 * BUYERS)
    await world.call("rule", *(offer("A", "a", limit=2, channel=c) for c in ("mall", "shop")))
    answers = await race(worlds, limited_claims())
    assert words(answers) == {"RESERVED": 200, "LIMIT_REACHED": BUYERS - 200}
    await settle(worlds)
    counted = await world.counters()
    had = [int(units) for name, units in counted.items() if name.startswith("b/")]
    assert had == [2] * 100


async def test_a_hundred_at_once_of_one_order_are_one_order(worlds: list[World]) -> None:
    await worlds[0].grant("a", UNITS)
    await worlds[0].call("rule", offer("A", "a"))
    answers = await race(worlds, [claim("o1")] * 100)
    assert words(answers) == {"RESERVED": 1, "REPEATED": 99}
    assert len({tuple(answer[1:4]) for answer in answers}) == 1, "all get the same answer"
    assert await (await settle(worlds)).pool("a") == [UNITS, 0, UNITS - 1, 1, 0]


@pytest.mark.parametrize("rival", ["expire", "release"])
async def test_payment_against_the_end_has_one_winner(worlds: list[World], rival: str) -> None:
    world, count = worlds[0], 500
    await world.grant("a", count)
    await world.call("rule", offer("A", "a"))
    await world.reserve(*(claim(f"o{n}") for n in range(250)))
    await world.reserve(*(claim(f"o{n}") for n in range(250, count)))
    await world.advance(10**9)
    heap = [payment(f"o{n}") for n in range(count)]
    random.Random(7).shuffle(heap)
    won: Counter[str] = Counter()

    async def payer(mine: World) -> None:
        while heap:
            batch = [heap.pop() for _ in range(min(7, len(heap)))]
            won.update(word for word, *_ in await mine.call("confirm", *batch))

    async def ender(mine: World) -> None:
        for n in range(0, count, 5):
            some = [[f"o{i}", "c", "cancel", "", "k", []] for i in range(n, n + 5)]
            await mine.call(rival, *(some if rival == "release" else [5]))

    async with asyncio.TaskGroup() as group:
        for mine in worlds[:6]:
            group.create_task(payer(mine))
        group.create_task(ender(worlds[7]))
    late = "EXPIRED" if rival == "expire" else "ALREADY_RELEASED"
    assert won["CONFIRMED"] + won[late] == count
    assert won["CONFIRMED"] > 0
    assert won[late] > 0
    sold = won["CONFIRMED"]
    assert await (await settle(worlds)).pool("a") == [count, 0, count - sold, 0, sold]
