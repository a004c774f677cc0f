"""`wipe` and `rebuild`: a cell is emptied and filled in numbered parts, each once."""

from typing import Any

import pytest

from engine.kernel.errors import Closed
from tests.lua.builders import DATABASE, SEP, World, claim, key, line, pack, payment

SECTIONS = ("pools", "holds", "due", "rules", "counters", "mine", "once", "done")


async def wipe(world: World, epoch: int, last_id: str = "0-0", seen: int = 0) -> Any:
    return await world.cell.call("wipe", [DATABASE, last_id, seen], argument="0", epoch=epoch)


async def fill(world: World, number: int, ending: list[Any] | None = None, **values: Any) -> Any:
    sections = [
        [part for pair in values.get(name, {}).items() for part in pair] for name in SECTIONS
    ]
    claims = [number, [len(section) for section in sections], ending or []]
    payloads = [
        one if isinstance(one, bytes) else str(one).encode()
        for section in sections
        for one in section
    ]
    reply = await world.cell.call("rebuild", claims, payloads, argument="0", epoch=2)
    return reply.results[0]


async def everything(world: World) -> dict[str, dict[Any, Any]]:
    """What the cell has, as parts of a rebuild take it."""
    found = {name: await world.redis.hgetall(key(name)) for name in ("pools", "holds", "rules")}
    found["once"] = await world.redis.hgetall(key("once"))
    counters = await world.redis.hgetall(key("counters"))
    found["mine"] = {k: v for k, v in counters.items() if k.startswith(b"m" + SEP.encode())}
    found["counters"] = {k: v for k, v in counters.items() if k not in found["mine"]}
    return found


async def scores(world: World, name: str) -> list[tuple[int, bytes]]:
    return [
        (int(at), one) for one, at in await world.redis.zrange(key(name), 0, -1, withscores=True)
    ]


async def test_a_cell_that_was_copied_goes_on_as_the_same(stocked: World) -> None:
    await stocked.reserve(
        claim("paid", line("A", 2), buyer="b1"), claim("held", line("B", 4), buyer="b2")
    )
    await stocked.call("confirm", payment("paid", amount=200))
    before = await stocked.dump()
    values = await everything(stocked)
    due, done = await scores(stocked, "due"), await scores(stocked, "done")
    now, last = await stocked.now(), (await stocked.entries())[-1][0]
    assert (await wipe(stocked, 2, last, now)).log_id > last
    assert set(await stocked.redis.keys("*")) == {key("cell").encode(), key("log").encode()}
    assert await fill(stocked, 1, pools=values["pools"], holds=values["holds"]) == ["DONE"]
    assert await fill(stocked, 2, due=dict(due), done=dict(done)) == ["DONE"]
    rest = {name: values[name] for name in ("rules", "counters", "mine", "once")}
    assert await fill(stocked, 3, [2, now, "", ""], **rest) == ["DONE"]
    assert await stocked.phase() == "restoring"
    after = await stocked.dump()
    for name in ("pools", "holds", "due", "rules", "counters", "done"):
        assert after.get(key(name)) == before.get(key(name)), name
    assert await stocked.redis.hget(key("cell"), "accepted") == b"2"
    await stocked.cell.call("open", [DATABASE, last], argument="open", epoch=2)
    await stocked.cell.refresh()
    assert (await stocked.reserve(claim("held", line("B", 4), buyer="b2")))[0][0] == "REPEATED"
    assert (await stocked.reserve(claim("more", line("A", 9))))[0][0] == "SOLD_OUT"
    stocked.checked = False  # the log begins anew: it does not add up to the pools


async def test_each_part_is_done_once_and_in_its_turn(stocked: World) -> None:
    await wipe(stocked, 2)
    assert await fill(stocked, 2, counters={"c": 3}) == ["OUT_OF_ORDER", 1]
    assert await fill(stocked, 1, counters={"c": 3}) == ["DONE"]
    assert await fill(stocked, 1, counters={"c": 3}) == ["REPEATED"]
    assert await fill(stocked, 2, counters={"c": 4}) == ["DONE"]
    assert await stocked.counters() == {"c": "7"}
    stocked.checked = False


async def test_a_newer_rebuild_begins_anew_and_fences_the_former(stocked: World) -> None:
    await wipe(stocked, 2)
    await fill(stocked, 1, pools={"p": pack([1, 0, 1, 0, 0, 1, "", 0])})
    with pytest.raises(Closed):
        await wipe(stocked, 2)
    await wipe(stocked, 3)
    assert await stocked.redis.exists(key("pools")) == 0
    with pytest.raises(Closed):
        await fill(stocked, 2, counters={"c": 3})
    stocked.checked = False
