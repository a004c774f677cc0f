"""Write down what changed documents come to for the cell: pools, grants and rules, as differences.

A document that cannot be planned is noted and passed by: what the cell had of it stays, and the
others go on. It is tried again with every planning, for what it lacks may come.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

import asyncpg
import structlog

from engine.campaigns import service as campaigns
from engine.campaigns.types import Published
from engine.catalogue import service as catalogue
from engine.channels import service as channels
from engine.infra.postgres import UNAVAILABLE, Connection
from engine.infra.publishing import Unplannable, why
from engine.infra.runtime import Runtime
from engine.infra.versioned import Kept
from engine.inventory import rules
from engine.inventory.rules import Plan, bundling
from engine.inventory.store import documents, intentions, notes
from engine.inventory.types import Wanted
from engine.kernel.errors import NotFound
from engine.kernel.types import Tenant

_CHANNELS_MAX: Final = 500  # documents in one planning transaction
_POLICIES_MAX: Final = 500
_CAMPAIGNS_MAX: Final = 20
_BUNDLES_MAX: Final = 500
_NOTES_SHOWN_MAX: Final = 5

_log = structlog.get_logger(__name__)


class _Found(Protocol):
    @property
    def tenant(self) -> Tenant: ...

    @property
    def kept(self) -> Kept[Any]: ...


D = TypeVar("D", bound=_Found)


@dataclass(frozen=True, slots=True)
class _Kind(Generic[D]):
    """One kind of document: where changed ones are found, and how some are planned together."""

    name: str
    most: int
    find: Callable[[Connection, int], Awaitable[Sequence[D | Unplannable]]]
    write: Callable[[Runtime, Connection, Sequence[D]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Item:
    """One document's plan, why its grants are made, and what it had in the cell before."""

    plan: Plan
    reason: str
    reference: str
    former_fields: Sequence[str] = ()
    former_pools: Sequence[str] = ()


async def plan(runtime: Runtime, db: Connection) -> bool:
    """Write down what changed documents come to; True when there were some."""
    async with db.transaction():
        await intentions.lock_planning(db, runtime.settings.cell)
        planned = await _plan(_CHANNELS, runtime, db)
        planned = await _plan(_POLICIES, runtime, db) or planned
        for tenant, bundle in await catalogue.take_changed_bundles(db, _BUNDLES_MAX):
            await campaigns.replan_naming(db, tenant, bundle)
        return await _plan(_CAMPAIGNS, runtime, db) or planned


async def noted(runtime: Runtime) -> str:
    """Tell which documents cannot be planned as they stand, "" when all can."""
    async with runtime.pool.acquire() as connection:
        found = await notes.standing(connection, runtime.settings.tenant, _NOTES_SHOWN_MAX + 1)
    told = [
        f"{kind} {one.id}, version {one.version}, cannot be planned: {one.reason}"
        for kind, one in found[:_NOTES_SHOWN_MAX]
    ]
    return "; ".join([*told, "and more"] if len(found) > len(told) else told)


async def _plan(kind: _Kind[D], runtime: Runtime, tx: Connection) -> bool:
    """Plan what changed of one kind; True when anything was planned.

    Those that cannot be are found again by every search, so it reaches as much further.
    """
    passed: set[tuple[Tenant, str]] = set()
    while True:
        most = kind.most + len(passed)
        found = await kind.find(tx, most)
        fresh = [one for one in found if _key(one) not in passed]
        bad = [one for one in fresh if isinstance(one, Unplannable)]
        good = [one for one in fresh if not isinstance(one, Unplannable)]
        bad += await _write_apart(kind, runtime, tx, good)
        for one in bad:
            passed.add(_key(one))
            if await notes.note(tx, kind.name, one):
                _log.error(
                    "document_not_planned",
                    kind=kind.name, id=one.id, version=one.version, reason=one.reason,
                )  # fmt: skip
        if len(bad) < len(fresh) or len(found) < most:
            return len(bad) < len(fresh)


async def _write_apart(
    kind: _Kind[D], runtime: Runtime, tx: Connection, good: Sequence[D]
) -> list[Unplannable]:
    """Plan these together; where that fails, halve until what cannot be planned stands alone."""
    if not good:
        return []
    try:
        async with tx.transaction():
            await kind.write(runtime, tx, good)
    except Exception as failure:
        if not _is_of_a_document(failure):
            raise
        if len(good) == 1:
            kept = good[0].kept
            return [Unplannable(good[0].tenant, kept.id, kept.version, why(failure))]
        middle = len(good) // 2
        first = await _write_apart(kind, runtime, tx, good[:middle])
        return first + await _write_apart(kind, runtime, tx, good[middle:])
    return []


def _is_of_a_document(failure: Exception) -> bool:
    """Tell it from a server in trouble, for which no document can be blamed."""
    if isinstance(
        failure, ValueError | asyncpg.DataError | asyncpg.IntegrityConstraintViolationError
    ):
        return True
    return not isinstance(failure, (*UNAVAILABLE, asyncpg.PostgresError))


def _key(one: _Found | Unplannable) -> tuple[Tenant, str]:
    return one.tenant, one.id if isinstance(one, Unplannable) else one.kept.id


async def _write_channels(
    runtime: Runtime, tx: Connection, changed: Sequence[channels.Unplanned]
) -> None:
    items = [
        Item(rules.channel_plan(tenant, kept.id, kept.value), "channel", kept.id)
        for tenant, kept in changed
    ]
    await _write(runtime, tx, items)
    await channels.mark_planned(tx, [(tenant, kept.id) for tenant, kept in changed])


async def _write_policies(
    runtime: Runtime, tx: Connection, changed: Sequence[documents.Unplanned]
) -> None:
    items = [
        Item(
            rules.policy_plan(one.tenant, one.owner, one.kept.value),
            "supply_policy",
            f"{one.kept.id}@{one.kept.version}",
            one.fields,
            one.pools,
        )
        for one in changed
    ]
    pools = await _write(runtime, tx, items)
    done = [
        documents.Planned(one.tenant, one.kept.id, sorted(item.plan.fields), ids)
        for one, item, ids in zip(changed, items, pools, strict=True)
    ]
    await documents.mark_planned(tx, done)
    for tenant in {one.tenant for one in changed}:
        skus = [one.kept.value.sku for one in changed if one.tenant == tenant]
        await campaigns.replan_drawing(tx, tenant, skus)


async def _write_campaigns(
    runtime: Runtime, tx: Connection, changed: Sequence[campaigns.Unplanned]
) -> None:
    items = []
    for tenant, kept, fields, pools in changed:
        named = [one.sku for one in kept.value.skus]
        await catalogue.owners_of(tx, tenant, named)  # none of them becomes a bundle meanwhile
        bundles = await catalogue.components_of(tx, tenant, named)
        whole = bundling.unbundled(kept.value, bundles)
        skus = whole.skus
        owners = await catalogue.owners_of(tx, tenant, [one.sku for one in skus])
        if gone := [one.sku for one in skus if one.sku not in owners]:
            raise NotFound(f"there is no SKU {gone[0]}")
        shared = {one.sku: owners[one.sku] for one in skus if one.draws_shared}
        policies = await documents.policies_of_skus(tx, tenant, shared)
        plan = rules.campaign_plan(tenant, kept.id, whole, owners, policies)
        plan.offers |= bundling.offers(tenant, kept.id, kept.value, bundles)
        items.append(Item(plan, "campaign", f"{kept.id}@{kept.version}", fields, pools))
    written = await _write(runtime, tx, items)
    done = [
        Published(one.tenant, one.kept.id, sorted(item.plan.fields), ids)
        for one, item, ids in zip(changed, items, written, strict=True)
    ]
    await campaigns.mark_planned(tx, done)


async def _write(runtime: Runtime, tx: Connection, items: Sequence[Item]) -> list[list[str]]:
    """Write plans down as differences and return, for each, the ids of the pools it fills.

    What one had before and has no more: such a pool is emptied, such an offer sells nothing.
    """
    if not items:
        return []
    cell = runtime.settings.cell
    ids = await intentions.make_pools(tx, cell, {name for one in items for name in one.plan.pools})
    wanted: dict[str, Wanted] = {}
    bodies: dict[str, list[Any]] = {}
    for one in items:
        wanted |= {pool: Wanted(0, one.reason, one.reference) for pool in one.former_pools}
        for name, units in one.plan.units.items():
            wanted[ids[name]] = Wanted(units, one.reason, one.reference)
        bodies |= rules.bodies(one.plan, one.former_fields, ids)
    given = await intentions.given(tx, wanted)
    await intentions.write_grants(tx, rules.grants(wanted, given))
    stored = await intentions.stored_rules(tx, cell, bodies)
    await intentions.write_rules(tx, cell, rules.changed_rules(bodies, stored))
    return [sorted({ids[name] for name in one.plan.units} | set(one.former_pools)) for one in items]


_CHANNELS: Final = _Kind("channel", _CHANNELS_MAX, channels.unplanned, _write_channels)
_POLICIES: Final = _Kind(
    "supply_policy", _POLICIES_MAX, documents.unplanned_policies, _write_policies
)
_CAMPAIGNS: Final = _Kind("campaign", _CAMPAIGNS_MAX, campaigns.unplanned, _write_campaigns)
