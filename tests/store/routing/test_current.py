"""Routers get the plan that is in force: the same object for as long as it is the same."""

import pytest

from engine.infra.versioned import Match
from engine.kernel.errors import LacksLibrary, NotInstalled, PlanInvalid
from engine.routing.service import current, plans
from engine.routing.service.current import CurrentPlans
from engine.routing.types.plans import PlacedFault, PlanFault
from tests.store.physical import conftest as physical
from tests.store.routing.planning import fields_of

place = physical.place


@pytest.fixture
def compiled(monkeypatch):
    """The versions that were compiled."""
    done = []
    compile_plan = current.compile_plan

    def counted(fields, located=None, version=0):
        done.append((fields.plan, version))
        return compile_plan(fields, located, version)

    monkeypatch.setattr(current, "compile_plan", counted)
    return done


class Plans:
    def __init__(self, place):
        self.runtime, self.current = place.runtime, CurrentPlans()

    async def put(self, name, **more):
        made, _ = await plans.put(
            self.runtime, "main", name, fields_of(name, **more), Match(), "test"
        )
        return made.version

    async def move(self, name, version, status):
        await plans.move(self.runtime, "main", name, version, status, "test")

    async def active(self):
        async with self.runtime.pool.acquire() as db:
            return await self.current.active(db, "main")

    async def shadows(self):
        async with self.runtime.pool.acquire() as db:
            return await self.current.shadows(db, "main")


@pytest.fixture
def kept(place):
    return Plans(place)


async def test_a_version_is_compiled_once_and_the_next_one_holds_at_once(kept, compiled):
    assert await kept.active() is None
    assert not kept.current.shadowed
    await kept.put("north")
    assert await kept.active() is None, "a draft decides nothing"
    await kept.move("north", 1, "ACTIVE")
    first = await kept.active()
    assert (first.plan, first.version) == ("north", 1)
    await kept.put("north", max_hops=9)
    assert await kept.active() is first
    assert await kept.active() is first
    await kept.move("north", 2, "ACTIVE")
    second = await kept.active()
    assert (second.version, second.max_hops) == (2, 9)
    assert compiled == [("north", 1), ("north", 2)]
    await kept.move("north", 1, "ACTIVE")
    again = await kept.active()
    assert again is not first, "what was kept of it may be of long ago"
    await kept.move("north", 1, "ARCHIVED")
    assert await kept.active() is None


async def test_shadows_are_compiled_when_somebody_asks_for_them(kept, compiled):
    for name, share in (("north", 1_000), ("south", 250), ("west", 0)):
        await kept.put(name, shadow_share=share)
    await kept.move("north", 1, "ACTIVE")
    await kept.move("south", 1, "SHADOW")
    await kept.move("west", 1, "SHADOW")
    await kept.active()
    assert kept.current.shadowed
    assert compiled == [("north", 1)]
    found = await kept.shadows()
    assert [(one.plan.plan, one.share) for one in found] == [("south", 250), ("west", 0)]
    assert [one.plan for one in await kept.shadows()] == [one.plan for one in found]
    shadow = found[0].plan
    await kept.move("south", 1, "ACTIVE")
    assert await kept.active() is not shadow, "a thread may still decide by it"
    assert [one.plan.plan for one in await kept.shadows()] == ["west"]


@pytest.mark.parametrize(
    ("fault", "refusal"),
    [
        (PlanFault([PlacedFault("/stages", (1, 1), "is odd")]), PlanInvalid),
        (NotInstalled("cel-expr-python is not installed"), LacksLibrary),
    ],
)
async def test_a_plan_that_does_not_compile_here_is_refused_once_and_a_shadow_left_out(
    kept, monkeypatch, fault, refusal
):
    for name in ("north", "south"):
        await kept.put(name)
    await kept.move("north", 1, "ACTIVE")
    await kept.move("south", 1, "SHADOW")
    tried = []

    def refused(fields, **_):
        tried.append(fields.plan)
        raise fault

    monkeypatch.setattr(current, "compile_plan", refused)
    for _ in range(2):
        with pytest.raises(refusal, match=r"odd|not installed"):
            await kept.active()
        assert await kept.shadows() == []
    assert tried == ["north", "south"]
