"""What holds for all scripts alike: fences, deadlines, memory, the script cache, their keys."""

from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from engine.infra import scripts
from tests.lua.builders import DATABASE, KEYS, World, key, unpack
from tests.lua.scenes import SCENES, Scene, documented_keys, rewind, setting, snapshot

OPENERS = ("open", "wipe")  # they make the record that the others are fenced by
GUARDED = [name for name in SCENES if not name.startswith((*OPENERS, "close"))]
NEED_MEMORY = {"reserve", "sync", "rule", "checkpoint", "ticket"}


async def run(world: World, scene: Scene, keys: Any = KEYS, **over: Any) -> list[Any]:
    text = scripts.source(scene.script)
    return unpack(await world.redis.eval(text, len(KEYS), *keys, *scene.arguments(**over)))


async def ready(world: World, name: str) -> Scene:
    scene = SCENES[name]
    await setting(world)
    if scene.prepare:
        await scene.prepare(world)
    return scene


@pytest.mark.parametrize("name", SCENES)
async def test_its_scene_really_writes(bare: World, name: str) -> None:
    scene = await ready(bare, name)
    before = await bare.dump()
    assert (await run(bare, scene))[0] == "OK"
    assert await bare.dump() != before


@pytest.mark.parametrize("name", GUARDED)
@pytest.mark.parametrize(
    "how", ["older epoch", "newer epoch", "restarted", "closed", "other phase"]
)
async def test_it_is_fenced_and_changes_nothing(bare: World, name: str, how: str) -> None:
    scene = await ready(bare, name)
    epoch = scene.epoch
    match how:
        case "older epoch":
            epoch -= 1
        case "newer epoch":
            epoch += 1
        case "restarted":
            await bare.redis.hset(key("cell"), "run_id", "0" * 40)
        case "closed":
            await bare.call("close", "why", epoch=epoch)
        case "other phase" if scene.script in {"restore", "resync"}:
            await bare.cell.call("open", [DATABASE, "0-0"], argument="open", epoch=epoch)
        case "other phase" if scene.script in {"rebuild", "extend", "release"}:
            await bare.redis.hset(key("cell"), "phase", "unheard of")
        case "other phase":
            epoch += 1
            await bare.cell.call("open", [DATABASE, "0-0"], argument="restoring", epoch=epoch)
    before = await bare.dump()
    word, _, _, detail = await run(bare, scene, epoch=epoch)
    assert word == "FENCED"
    assert len(detail) == 2
    assert await bare.dump() == before


@pytest.mark.parametrize("name", GUARDED)
async def test_too_late_changes_nothing(bare: World, name: str) -> None:
    scene = await ready(bare, name)
    now = await bare.now()
    before = await bare.dump()
    assert (await run(bare, scene, argument=str(now - 1)))[0] == "TOO_LATE"
    assert await bare.dump() == before
    assert (await run(bare, scene, argument=str(now)))[0] == "OK", "that instant is in time"


@pytest.mark.parametrize("name", SCENES)
async def test_a_missing_cell_fences(bare: World, name: str) -> None:
    scene = SCENES[name]
    if name not in OPENERS:
        assert (await run(bare, scene))[0] in {"FENCED", "OTHER_DATABASE"}
        assert await bare.dump() == {}
    else:
        assert (await run(bare, scene))[0] == "OK"


@pytest.mark.parametrize("name", SCENES)
async def test_with_memory_full_whatever_gives_back_still_runs(
    bare: World, valkey: Redis, name: str
) -> None:
    scene = await ready(bare, name)
    before = await bare.dump()
    limit = (await valkey.config_get("maxmemory"))["maxmemory"]
    await valkey.config_set("maxmemory", "1mb")
    try:
        if scene.script in NEED_MEMORY:
            with pytest.raises(OutOfMemoryError):
                await run(bare, scene)
            assert await bare.dump() == before
        else:
            assert (await run(bare, scene))[0] == "OK"
            assert await bare.dump() != before
    finally:
        await valkey.config_set("maxmemory", limit)


@pytest.mark.parametrize("name", SCENES)
async def test_it_survives_a_flush_of_the_script_cache(bare: World, name: str) -> None:
    scene = await ready(bare, name)
    await bare.redis.script_flush()
    reply = await bare.cell.call(
        scene.script, scene.claims, scene.payloads, argument=scene.argument, epoch=scene.epoch
    )
    assert reply.word == "OK"


@pytest.mark.parametrize("name", SCENES)
async def test_it_touches_no_key_that_its_header_does_not_name(bare: World, name: str) -> None:
    """With every other key misnamed it answers the same and leaves the same."""
    scene = await ready(bare, name)
    saved = await snapshot(bare)
    expected = await run(bare, scene)
    after = await bare.dump()
    await rewind(bare, saved)
    renamed = await run(bare, scene, keys=documented_keys(scene.script))
    assert [renamed[0], renamed[3]] == [expected[0], expected[3]]
    left = await bare.dump()
    assert left.keys() == after.keys(), "nothing under another name"
    settled = after.keys() - {key("cell"), key("log")}
    assert {one: left[one] for one in settled} == {one: after[one] for one in settled}
