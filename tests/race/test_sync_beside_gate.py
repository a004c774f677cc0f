"""A marketplace sells on while its own shop does: nothing is granted after zero, the rest is owed.

The control reads first and writes then; if it loses no units, the race beside it proves nothing.
"""

from collections import Counter
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.lua.builders import STATE, World, claim, line, offer
from tests.lua.marketplace import CLOSED, PAID_FOR, SHIPPED, UNPAID, snap, tmall
from tests.race.test_no_oversell import race

UNITS, GATE, SOLD = 100, 300, 120
LINES = 18  # where a snapshot goes on after a claim's fields


def life(n: int) -> list[Any]:
    """One order of two units, then three, in a handful of snapshots; each fourth one is closed."""
    two, three = [line("A", 2)], [line("A"), line("A", 2)]
    last = CLOSED if n % 4 == 0 else SHIPPED
    stages = [(UNPAID, two), (PAID_FOR, two), (PAID_FOR, three), (last, three)]
    return [snap(f"t{n}", version, at, *of) for version, (at, of) in enumerate(stages, 1)]


def everything() -> list[Any]:
    """Each snapshot twice, as feeds do, and the claims of the gate."""
    told = [one for n in range(SOLD) for one in life(n)]
    return [*told, *told, *(claim(f"o{n}") for n in range(GATE))]


async def both(world: World, batch: list[Any]) -> list[Any]:
    told = [one for one in batch if len(one) > LINES]
    asked = [one for one in batch if len(one) == LINES]
    answers = [["gate", *word] for word in await world.reserve(*asked)] if asked else []
    return answers + ([["sync", *word] for word in await world.sync(*told)] if told else [])


async def naive(world: World, batch: list[Any]) -> list[Any]:
    """What one writes first: look how many there are, then take or owe."""
    answers = []
    for one in batch:
        external = len(one) > LINES
        units = sum(wanted[1] for wanted in one[11])
        stock = int(await world.redis.get("naive:stock") or 0)
        owed = int(await world.redis.get("naive:owed") or 0)
        if not external and stock < units:
            answers.append(["gate", "SOLD_OUT"])
            continue
        taken = min(stock, units)
        await world.redis.set("naive:stock", stock - taken)
        await world.redis.set("naive:owed", owed + units - taken)
        answers.append(["sync", "CREATED"] if external else ["gate", "RESERVED"])
    return answers


async def test_control_reading_then_writing_loses_units(worlds: list[World], valkey: Redis) -> None:
    await valkey.mset({"naive:stock": UNITS, "naive:owed": 0})
    once = [*(life(n)[0] for n in range(SOLD)), *(claim(f"o{n}") for n in range(GATE))]
    said = Counter(word[1] for word in await race(worlds, once, naive))
    out = said["RESERVED"] + 2 * said["CREATED"]
    assert out > UNITS + int(await valkey.get("naive:owed"))


@pytest.mark.parametrize("pools", [("a",), ("a", "b")], ids=["one pool", "two pools"])
async def test_exactly_what_is_beyond_the_stock_is_owed(
    worlds: list[World], pools: tuple[str, ...]
) -> None:
    world = worlds[0]
    for pool in pools:
        await world.grant(pool, UNITS // len(pools))
    await world.call("rule", tmall(), *(offer("A", *pools, channel=c) for c in ("tmall", "mall")))
    answers = await race(worlds, everything(), both)
    said = Counter((word[0], word[1]) for word in answers)
    assert said["sync", "CREATED"] == SOLD, "none is refused, none is recorded twice"
    assert set(said) <= {("gate", "RESERVED"), ("gate", "SOLD_OUT")} | {
        ("sync", word) for word in ("CREATED", "UPDATED", "UNCHANGED", "STALE")
    }
    holds = await world.unpacked("holds")
    sold = [i for i, hold in holds.items() if i.startswith("t") and hold[STATE] == "C"]
    assert len(sold) == SOLD - SOLD // 4
    out = said["gate", "RESERVED"] + 3 * len(sold)
    left = [await world.pool(pool) for pool in pools]
    assert sum(one[3] + one[4] for one in left) == out
    assert sum(one[1] - one[2] for one in left) == out - UNITS
    assert all(min(one[1], one[2]) == 0 for one in left), "owed only when nothing is free"
    assert out > UNITS


async def test_no_gate_order_is_granted_after_zero(worlds: list[World]) -> None:
    """In the log, each gate order found what it took, while nothing was owed."""
    world = worlds[0]
    await world.grant("a", UNITS)
    await world.call("rule", tmall(), *(offer("A", "a", channel=c) for c in ("tmall", "mall")))
    answers = await race(worlds, everything(), both)
    owed = available = granted = 0
    for kind, _, _, moves, *_ in await world.events():
        if kind == "R":
            assert owed == 0 < available
            granted += 1
        for _, _, owing, free, _, _ in moves:
            owed, available = owed + owing, available + free
        assert min(owed, available) == 0 or kind != "X", "owed only when nothing is free"
    assert granted == sum(word[:2] == ["gate", "RESERVED"] for word in answers) > 0
    assert (await world.pool("a"))[:3] == [UNITS, owed, available]
