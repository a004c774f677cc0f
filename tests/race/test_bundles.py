"""Bundles and single units race for one component: what is sold of it is never more than there is.

The control looks at each line by itself, as if a component and the same SKU on another line did not
meet; if it stops overselling, the race beside it proves nothing.
"""

import random
from collections import Counter
from typing import Any

import pytest
from redis.asyncio import Redis

from engine.reservation import bundles
from tests.lua.builders import LINES, World, claim, key, line, offer, unpack
from tests.race.test_no_oversell import BUYERS, UNITS, Buy, race, scripted, settle, words

KNOWN = {"SET": (("A", 2), ("B", 1)), "DUO": (("A", 1), ("C", 1))}


def wanted(number: int) -> list[Any]:
    """A bundle, a unit of the component they share, or both in one order."""
    kinds = (
        [("SET", 1)],
        [("A", 1)],
        [("DUO", 1)],
        [("SET", 1), ("A", 1)],
        [("DUO", 1), ("SET", 1)],
    )
    lines = tuple((sku, units, 100, "refuse") for sku, units in kinds[number % len(kinds)])
    return claim(f"o{number}", *map(list, bundles.expanded(lines, KNOWN)), campaign="")


def drawn_from(lines: list[list[Any]]) -> Counter[str]:
    units: Counter[str] = Counter()
    for sku, quantity, _, mark in lines:
        if mark != bundles.SOLD:
            units[sku] += quantity
    return units


async def line_by_line(world: World, claims: list[Any]) -> list[list[Any]]:
    """Each line is judged alone, against what was there before the order."""
    answers = []
    for one in claims:
        lines = [each for each in one[11] if each[3] != bundles.SOLD]
        stock = {each[0]: int(await world.redis.get(f"naive:{each[0]}") or 0) for each in lines}
        if any(stock[sku] < quantity for sku, quantity, *_ in lines):
            answers.append(["SOLD_OUT"])
            continue
        for sku, quantity, *_ in lines:
            await world.redis.decrby(f"naive:{sku}", quantity)
        answers.append(["RESERVED"])
    return answers


async def test_control_judging_each_line_alone_does_oversell(
    worlds: list[World], valkey: Redis
) -> None:
    await valkey.mset({f"naive:{sku}": UNITS for sku in "ABC"})
    await race(worlds, [wanted(n) for n in range(BUYERS)], line_by_line)
    assert min([int(await valkey.get(f"naive:{sku}")) for sku in "ABC"]) < 0


@pytest.mark.parametrize("buy", [scripted])
async def test_a_component_is_sold_once_by_whichever_line(worlds: list[World], buy: Buy) -> None:
    first = worlds[0]
    for sku in "ABC":
        await first.grant(sku.lower(), UNITS)
        await first.call("rule", offer(sku, sku.lower(), of=""))
    answers = await race(worlds, [wanted(n) for n in range(BUYERS)], buy)
    assert set(words(answers)) == {"RESERVED", "SOLD_OUT"}
    await settle(worlds)
    held: Counter[str] = Counter()
    for packed in (await first.redis.hgetall(key("holds"))).values():
        held += drawn_from(unpack(packed)[LINES])
    for sku in "ABC":
        _, _, available, in_holds, _ = await first.pool(sku.lower())
        assert in_holds == held[sku] == UNITS - available
    assert held["A"] == UNITS


async def test_what_is_given_back_is_sold_again_and_no_more(worlds: list[World]) -> None:
    first = worlds[0]
    for sku in "ABC":
        await first.grant(sku.lower(), UNITS)
        await first.call("rule", offer(sku, sku.lower(), of=""))
    luck = random.Random(7)
    heap = [wanted(n) for n in range(BUYERS)]

    async def fickle(world: World, claims: list[Any]) -> list[list[Any]]:
        answers = await world.reserve(*claims)
        for one, answer in zip(claims, answers, strict=True):
            if answer[0] == "RESERVED" and luck.random() < 0.5:
                line_no = luck.randint(1, len(one[11]))  # a component's line is refused
                asked = [one[0], f"c{line_no}", "cancel", "", "k", [[line_no, 1]]]
                await world.call("release", asked)
        return answers

    await race(worlds, heap, fickle)
    await settle(worlds)
    single = claim("last", line("A", UNITS + 1), campaign="")
    assert (await first.reserve(single))[0][0] == "SOLD_OUT"
    for packed in (await first.redis.hgetall(key("holds"))).values():
        lines = unpack(packed)[LINES]
        for part in bundles.parts_of(lines):
            assert lines[part.line_no - 1][1] == lines[part.of - 1][1] * part.per
