"""`wipe` and `rebuild`: a cell is emptied and filled in numbered parts, each once."""

from typing import Any

import pytest
from redis import Redis

from engine.assurance.rebuilding import SECTIONS, Part
from engine.assurance.store import rebuild
from engine.infra.wire import wires_of
from engine.kernel.errors import Closed
from engine.settings import Settings
from tests.lua.builders import DATABASE, SEP, World, claim, key, line, pack, payment


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
    found["fields"] = {k: v for k, v in counters.items() if k.startswith(b"m" + SEP.encode())}
    found["counters"] = {k: v for k, v in counters.items() if k not in found["fields"]}
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
    rest = {name: values[name] for name in ("rules", "fields", "counters", "once")}
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


async def test_values_written_beside_the_script_are_fenced_like_it(stocked: World) -> None:
    """A part's plain writes and its number are one; a newer epoch leaves neither."""
    await wipe(stocked, 2)
    holds = ("HSET", key("holds"), "o", b"x")
    one: list[object] = [1, [0] * len(SECTIONS), []]
    reply = await stocked.cell.call_with("rebuild", one, [holds], epoch=2)
    assert reply is not None
    assert reply.results == [["DONE"]]
    await wipe(stocked, 3)
    with pytest.raises(Closed):
        await stocked.cell.call_with("rebuild", one, [holds], epoch=2)
    assert await stocked.redis.exists(key("holds")) == 0
    stocked.checked = False


async def test_a_newer_epoch_between_the_look_and_the_writes_leaves_none(
    stocked: World, server_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wipe(stocked, 2)
    wires = wires_of(stocked.cell.redis)
    converse = wires.converse

    async def interrupted(first: Any, then: Any) -> Any:
        def late(replies: Any) -> Any:
            with Redis.from_url(server_settings.valkey_url or "") as another:
                another.hset(key("cell"), "epoch", 3)
            return then(replies)

        return await converse(first, late)

    monkeypatch.setattr(wires, "converse", interrupted)
    one: list[object] = [1, [0] * len(SECTIONS), []]
    with pytest.raises(Closed):
        await stocked.cell.call_with("rebuild", one, [("HSET", key("holds"), "o", b"x")], epoch=2)
    assert await stocked.redis.exists(key("holds")) == 0
    stocked.checked = False


async def test_where_memory_is_over_values_go_through_the_script(
    stocked: World, valkey: Any
) -> None:
    await wipe(stocked, 2)
    part: Part = {name: [] for name in SECTIONS}
    part["holds"], part["fields"], part["counters"] = ["o", b"x"], ["c", 2], ["c", 3]
    limit = (await valkey.config_get("maxmemory"))["maxmemory"]
    await valkey.config_set("maxmemory", "1mb")
    try:
        await rebuild(stocked.cell, 2, 1, part)
    finally:
        await valkey.config_set("maxmemory", limit)
    assert await stocked.redis.hgetall(key("holds")) == {b"o": b"x"}
    assert await stocked.counters() == {"c": "5"}
    stocked.checked = False
