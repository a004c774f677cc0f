"""Keep plans by version, try them, and let one decide."""

import asyncio
from collections.abc import Iterable

from engine.infra import outbox, versioned
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.infra.versioned import Match
from engine.kernel import clock, codec
from engine.kernel.errors import LacksLibrary, NotInstalled, PlanInvalid
from engine.kernel.located import Place
from engine.kernel.types import Tenant
from engine.routing.rules import compiling, examples, lifecycle
from engine.routing.store import plans as store
from engine.routing.types.answers import Checked, PlanVersion, Status
from engine.routing.types.plans import PlacedFault, PlanFault, PlanFields


async def put(
    runtime: Runtime, tenant: Tenant, plan: str, fields: PlanFields, match: Match, actor: str
) -> tuple[PlanVersion, bool]:
    """Create a plan, or make its next version: a DRAFT, in the place of the one before if that was.

    Returned is its last version, and whether the plan is new. What it says already changes nothing.

    Raises:
        PlanInvalid: with all that is wrong with it; its examples need not come out yet.
        LacksLibrary: conditions cannot be checked here.
        ValidationFailed: it calls itself by another name than its path.
    """
    if fields.plan != plan:
        codec.refuse("/plan", "must be the name in the path")
    codec.written(fields)
    if wrong := (await _checked(fields, decided=False)).errors:
        raise _invalid(wrong)
    async with runtime.pool.acquire() as connection, connection.transaction():
        await store.lock(connection, tenant)
        saved = await versioned.put(
            connection, store.PLANS, tenant, plan, fields, match=match, actor=actor
        )
        if saved.changed:
            await store.drop_drafts(connection, tenant, plan, saved.kept.version)
        return await store.version(connection, tenant, plan, None), saved.created


async def version(
    runtime: Runtime, tenant: Tenant, plan: str, number: int | None = None
) -> PlanVersion:
    """Return one version, or the last one.

    Raises:
        NotFound: there is none.
    """
    async with runtime.pool.acquire() as connection:
        return await store.version(connection, tenant, plan, number)


async def versions(
    runtime: Runtime, tenant: Tenant, plan: str, below: int, limit: int
) -> list[PlanVersion]:
    """Return versions below one, the last one first.

    Raises:
        NotFound: there is no plan of that name.
    """
    async with runtime.pool.acquire() as connection:
        return await store.versions(connection, tenant, plan, below, limit)


async def page(runtime: Runtime, tenant: Tenant, after: str, limit: int) -> list[PlanVersion]:
    """Return the last versions of plans after one, in the order of their names."""
    async with runtime.pool.acquire() as connection:
        return await store.page(connection, tenant, after, limit)


async def in_use(db: Connection, tenant: Tenant) -> list[PlanVersion]:
    """Return the ACTIVE version first, if there is one, and those that are SHADOW."""
    return await store.in_use(db, tenant)


async def check(runtime: Runtime, tenant: Tenant, plan: str, number: int) -> Checked:
    """Compile a version and decide its examples.

    Raises:
        NotFound: there is no such version.
        LacksLibrary: conditions cannot be checked here.
    """
    found = await version(runtime, tenant, plan, number)
    assert found.fields is not None, "one version is read with what it says"
    return await _checked(found.fields)


async def move(
    runtime: Runtime, tenant: Tenant, plan: str, number: int, status: Status, actor: str
) -> PlanVersion:
    """Give a version another status; where it stands already, nothing changes.

    The one that was ACTIVE is archived in the same transaction, and `plan.activated` tells of it.

    Raises:
        NotFound: there is no such version.
        InConflict: it may not come there from where it stands, or too many are SHADOW.
        PlanInvalid: it is to be ACTIVE, and does not compile or an example comes out otherwise.
        LacksLibrary: conditions cannot be checked here.
    """
    if status == "ACTIVE":
        found = await check(runtime, tenant, plan, number)
        failed = (
            PlacedFault(f"/examples/{n - 1}", Place(1, 1), detail) for n, _, detail in found.failed
        )
        if wrong := [*found.errors, *failed]:
            raise _invalid(wrong)
    now = clock.instant(runtime.clock.now_ms())
    async with runtime.pool.acquire() as connection, connection.transaction():
        await store.lock(connection, tenant)
        kept = await store.version(connection, tenant, plan, number)
        if not lifecycle.moves(kept.status, status):
            return kept
        others = await store.in_use(connection, tenant)
        if status == "SHADOW":
            lifecycle.require_room(sum(one.status == "SHADOW" for one in others))
        active = [one for one in others if one.status == "ACTIVE"]
        for one in active if status == "ACTIVE" else ():
            await store.move(
                connection, tenant, one.plan, one.version, "ARCHIVED", by=actor, at=now
            )
        await store.move(connection, tenant, plan, number, status, by=actor, at=now)
        if status == "ACTIVE":
            before = [{"plan": one.plan, "version": one.version} for one in active]
            told = {"tenant": tenant, "plan": plan, "version": number, "before": before}
            await outbox.write(connection, "plan.activated", actor, [told])
        return await store.version(connection, tenant, plan, number)


async def _checked(fields: PlanFields, *, decided: bool = True) -> Checked:
    """Check a plan beside the loop: the largest one takes a second."""
    try:
        return await asyncio.to_thread(_check, fields, decided=decided)
    except NotInstalled as missing:
        raise LacksLibrary(str(missing)) from missing


def _check(fields: PlanFields, *, decided: bool) -> Checked:
    try:
        compiled = compiling.compile_plan(fields)
    except PlanFault as invalid:
        return Checked(invalid.faults)
    if not decided:
        return Checked((), compiled.notes)
    outcomes = examples.run(fields, compiled.plan)
    failed = tuple((one.number, one.name, one.detail) for one in outcomes if one.detail)
    return Checked((), compiled.notes, len(outcomes), failed)


def _invalid(faults: Iterable[PlacedFault]) -> PlanInvalid:
    errors = [
        {"pointer": one.pointer, "detail": one.detail, **one.place._asdict()} for one in faults
    ]
    return PlanInvalid("this plan cannot be used", errors=errors)
