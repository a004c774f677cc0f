"""Shipments that leave as one, and what is left of them when one is stopped, over HTTP."""

from datetime import UTC, datetime

import pytest

from engine.shipments.service import merging
from tests.conftest import eventually
from tests.flow.shipping import LANGUAGES, MISBEHAVING, shipping, world

PICKED = {"accept_ms": (0, 0), "pick_ms": (0, 0), "pack_ms": (60_000, 60_000)}


async def merged(here, names=(1, 2, 3)):
    """Plan orders of the same goods for one door, and merge them; return the code."""
    for n in names:
        await here.plan(n, goods="g", door="d")
    assert await merging.merge(here.runtime.pool, datetime.now(UTC)) == 1
    return f"o{names[0]}-s1"


async def balances(pg):
    sums = await pg.fetchrow("SELECT sum(committed) AS c, sum(shipped) AS s FROM stock_balances")
    return tuple(sums)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("stopped", [1, 2])
async def test_one_of_three_is_stopped_while_picked_and_the_others_leave_once(
    settings, database_url, pg, language, stopped
):
    """The code of the whole is the first one's: stopping that one or another is no difference."""
    async with world(settings, database_url, pg, language, **PICKED) as here:
        code = await merged(here)
        books = here.server.books
        async with shipping(here, language):

            async def picked():
                return set((await here.states()).values()) == {"picked"}

            await eventually(picked, within_s=15)
            books.knobs = books.knobs._replace(pack_ms=(0, 0))  # of what it is asked from now on
            asked = await here.stop(stopped)
            assert asked.calls == (code,)
            await eventually(here.ended, within_s=15)
        others = sorted({1, 2, 3} - {stopped})
        again = {f"o{n}-s2": "shipped" for n in others}
        assert await here.states() == {f"o{n}-s1": "cancelled" for n in (1, 2, 3)} | again
        assert {one.made for one in books.held.values()} == {1}
        assert await here.units_told() == here.units_left() == dict.fromkeys(again, 5)
    answers = [row["answer"] for row in await pg.fetch("SELECT answer FROM stops")]
    assert answers == ["stopped"]
    assert await balances(pg) == (0, 10)
    attempts = await pg.fetch("SELECT attempt FROM shipments WHERE state = 'shipped'")
    assert {row["attempt"] for row in attempts} == {2}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_one_that_was_stopped_before_is_not_in_what_is_sent(
    settings, database_url, pg, language
):
    """Nor does it get units of its neighbours, whose goods are the same."""
    async with world(settings, database_url, pg, language) as here:
        code = await merged(here)
        assert (await here.stop(1)).stop.answer == "stopped"
        async with shipping(here, language):
            await eventually(here.ended, within_s=15)
        left = dict.fromkeys(("o2-s1", "o3-s1"), "shipped")
        assert await here.states() == {"o1-s1": "cancelled"} | left
        assert here.units_left() == {code: 10}
        assert await here.units_told() == dict.fromkeys(left, 5)
        assert await pg.fetchval("SELECT count(*) FROM jobs") == 0
    assert await balances(pg) == (0, 10)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_stop_that_comes_too_late_leaves_all_of_them_as_they_are(
    settings, database_url, pg, language
):
    knobs = PICKED | {"cancel_until": "picked", "pack_ms": (1_000, 1_000)}
    async with world(settings, database_url, pg, language, **knobs) as here:
        code = await merged(here)
        async with shipping(here, language):

            async def picked():
                return set((await here.states()).values()) == {"picked"}

            await eventually(picked, within_s=15)
            await here.stop(2)
            await eventually(here.ended, within_s=15)
        assert await here.states() == {f"o{n}-s1": "shipped" for n in (1, 2, 3)}
        assert here.units_left() == {code: 15}
        assert await here.units_told() == {f"o{n}-s1": 5 for n in (1, 2, 3)}
    assert await pg.fetchval("SELECT answer FROM stops") == "not_stopped"
    assert await balances(pg) == (0, 15)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("seed", range(2))
async def test_whatever_the_warehouse_does_nothing_of_them_leaves_twice(
    settings, database_url, pg, language, seed
):
    """Whole consignments of three, one of each stopped at some moment, all knobs on."""
    knobs = MISBEHAVING | {"cancels_later": seed == 1, "late_cancel": 0.2, "cancel_unknown": 0.1}
    knobs |= {"ship_ms": (100, 600), "pick_ms": (50, 200)}
    async with world(settings, database_url, pg, language, seed=seed, **knobs) as here:
        for group in range(4):
            for n in range(3):
                await here.plan(10 * group + n, goods="g", door=f"d{group}")
        assert await merging.merge(here.runtime.pool, datetime.now(UTC)) == 4
        async with shipping(here, language):
            for group in range(4):
                await here.stop(10 * group + group % 3)
            await eventually(here.in_time, within_s=40)
        assert {one.made for one in here.server.books.held.values()} == {1}
        assert await units_by_code(here, pg) == here.units_left()
        told = await here.units_told()
        for stop in await pg.fetch("SELECT order_id, answer FROM stops"):
            left = [name for name in told if name.startswith(f"{stop['order_id']}-s")]
            assert stop["answer"] == "not_stopped" or (stop["answer"], left) == ("stopped", []), (
                stop
            )
        for n, states in (await states_by_order(here)).items():
            assert states.count("shipped") <= 1
            if n % 10 != n // 10 % 3:  # nobody asked: it left, or its node refused it
                assert {"shipped", "rejected"} & set(states), states
    assert await balances(pg) == (0, sum(told.values()))


async def units_by_code(here, pg):
    rows = await pg.fetch("SELECT shipment_id, consignment_id FROM shipments")
    codes, found = dict(map(tuple, rows)), {}
    for name, units in (await here.units_told()).items():
        found[codes[name]] = found.get(codes[name], 0) + units
    return found


async def states_by_order(here):
    found = {}
    for name, state in (await here.states()).items():
        found.setdefault(int(name.partition("-s")[0].removeprefix("o")), []).append(state)
    return found
