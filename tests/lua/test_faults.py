"""An error at every call of every script: at a read nothing changed, at a write it is closed."""

from typing import Any

import pytest
from redis.exceptions import ResponseError

from engine.infra import scripts
from tests.lua.builders import KEYS, World, unpack
from tests.lua.scenes import ORDERS, SCENES, Scene, failing, rewind, setting, snapshot


async def attempt(world: World, scene: Scene, position: int) -> list[Any] | str:
    """Run with the call at `position` failing: the reply, or the error that came out."""
    try:
        return unpack(
            await world.redis.eval(
                failing(scene.script), len(KEYS), *KEYS, *scene.arguments(), position
            )
        )
    except ResponseError as error:
        return str(error)


async def acknowledged(world: World) -> set[str]:
    return {event[1] for event in await world.events("R")}


@pytest.mark.parametrize("name", SCENES)
async def test_an_error_at_every_position(bare: World, name: str) -> None:
    scene = SCENES[name]
    await setting(bare)
    if scene.prepare:
        await scene.prepare(bare)
    before, saved = await bare.dump(), await snapshot(bare)
    pools = await bare.unpacked("pools")
    kinds = []
    while True:
        reply = await attempt(bare, scene, len(kinds) + 1)
        if isinstance(reply, str):
            assert "INJECTED read" in reply
            assert await bare.dump() == before
            kinds.append("read")
            continue
        if reply[0] == "OK":
            break
        kinds.append("write")
        assert reply[0] == "FENCED"
        await closed_itself(bare, scene)
        if scene.script not in {"trim", "wipe", "rebuild"}:  # of these Postgres has all there was
            assert set(ORDERS) <= await acknowledged(bare)
            assert await told_by_log(bare, pools)
        await rewind(bare, saved)
    assert kinds == sorted(kinds), "every read comes before the first write"
    assert "read" in kinds
    assert kinds.count("write") >= 2, "the log entry, or the cell's own, and what it is about"


async def closed_itself(world: World, scene: Scene) -> None:
    """In the same call: whoever comes next is fenced, without an opening."""
    state = await world.cell.refresh()
    assert state.phase == "closed"
    assert "INJECTED write" in state.reason
    assert not world.cell.is_open
    if scene.script not in {"close", "open", "wipe"}:
        text = scripts.source(scene.script)
        again = await world.redis.eval(text, len(KEYS), *KEYS, *scene.arguments())
        assert unpack(again)[0] == "FENCED"


async def told_by_log(world: World, before: dict[str, list[int]]) -> bool:
    """Whatever became of the pools is in the log: half a batch can be finished from it."""
    total = {pool: list(values[:5]) for pool, values in before.items()}
    told = {pool: [0] * 5 for pool in total}
    for event in await world.events():
        for pool, *deltas in event[3]:
            told[pool] = [a + b for a, b in zip(told.get(pool, [0] * 5), deltas, strict=True)]
    now = {pool: values[:5] for pool, values in (await world.unpacked("pools")).items()}
    changed = {pool for pool in now if now[pool] != total.get(pool)}
    return all(now[pool] == told[pool] for pool in changed)
