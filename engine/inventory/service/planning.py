"""Write down what changed documents come to for the cell: pools, grants and rules, as differences.

A document that cannot be planned is noted and passed by: what the cell had of it stays, and the
others go on. It is tried again with every planning, for what it lacks may come.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import asyncpg
import structlog

from engine.campaigns import service as campaigns
from engine.campaigns.types import CampaignFields, Published
from engine.catalogue import service as catalogue
from engine.channels import service as channels
from engine.infra.postgres import UNAVAILABLE, Connection
from engine.infra.publishing import Unplannable, why
from engine.infra.runtime import Runtime
from engine.infra.versioned import Kept
from engine.inventory import rules
from engine.inventory.rules import bundling
from engine.inventory.rules import policies as resolving
from engine.inventory.rules.bundling import Bundles
from engine.inventory.service import skus
from engine.inventory.store import changes, documents, intentions, notes, supply
from engine.kernel.errors import NotFound
from engine.kernel.types import Tenant

_CHANNELS_MAX: Final = 500  # documents in one planning transaction
_POLICIES_MAX: Final = 500
_CAMPAIGNS_MAX: Final = 20
_BUNDLES_MAX: Final = 500
_SKU: Final = "sku"
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
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


class _Changed(NamedTuple):
    """A SKU whose pools may have to change."""

    tenant: Tenant
    kept: Kept[Any]


async def plan(runtime: Runtime, db: Connection) -> bool:
    """Write down what changed documents and SKUs come to; True when there were some."""
    async with db.transaction():
        await intentions.lock_planning(db, runtime.settings.cell)
        planned = await _plan(_CHANNELS, runtime, db)
        planned = await _plan(_POLICIES, runtime, db) or planned
        for tenant, bundle in await catalogue.take_changed_bundles(db, _BUNDLES_MAX):
            await campaigns.replan_naming(db, tenant, bundle)
        planned = await _plan(_CAMPAIGNS, runtime, db) or planned
        await changes.ripen(db)
        return await _plan(_SKUS, runtime, db) or planned


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
    bodies: dict[str, list[Any]] = {}
    for tenant, kept in changed:
        bodies |= rules.channel_rule(tenant, kept.id, kept.value)
    await _write_rules(runtime, tx, bodies)
    await channels.mark_planned(tx, [(tenant, kept.id) for tenant, kept in changed])


async def _write_policies(
    runtime: Runtime, tx: Connection, changed: Sequence[documents.Unplanned]
) -> None:
    await documents.mark_planned(tx, [(one.tenant, one.kept.id) for one in changed])
    for tenant in {one.tenant for one in changed}:
        found = [one.kept for one in changed if one.tenant == tenant]
        last = await skus.plan(
            runtime, tx, tenant, [kept.value.sku for kept in found if kept.value.sku]
        )
        for kept in found:
            if not kept.value.sku:
                reached = await supply.matching(tx, tenant, *resolving.target(kept.value))
                last = max(last, await changes.add(tx, tenant, reached))
        await documents.await_changes(tx, [(tenant, kept.id) for kept in found], last)


async def _write_campaigns(
    runtime: Runtime, tx: Connection, changed: Sequence[campaigns.Unplanned]
) -> None:
    for tenant in {one.tenant for one in changed}:
        found = [one for one in changed if one.tenant == tenant]
        planned, fields = [], {}
        for _, kept, former, _, room_key in found:
            bundles = await _bundles(tx, tenant, kept.value)
            offers = bundling.offers(tenant, kept.id, kept.value, bundles)
            fields[kept.id] = sorted(offers)
            bodies = rules.bodies(offers, set(former) - offers.keys(), {})
            bodies |= rules.campaign_rule(tenant, kept.id, kept.value, room_key)
            await _write_rules(runtime, tx, bodies)
            planned += _claims(tenant, kept, bundles)
        dropped = await supply.write_claims(tx, tenant, [one.kept.id for one in found], planned)
        named = dropped | {one.says.sku for one in planned}
        last = await skus.plan(runtime, tx, tenant, sorted(named))
        pools = await supply.pools_of_campaigns(tx, tenant, [one.kept.id for one in found])
        done = [
            Published(
                tenant, one.kept.id, fields[one.kept.id],
                sorted({*one.pools, *pools.get(one.kept.id, ())}),
            )
            for one in found
        ]  # fmt: skip
        await campaigns.mark_planned(tx, done, last)


async def _write_skus(runtime: Runtime, tx: Connection, changed: Sequence[_Changed]) -> None:
    for tenant in {one.tenant for one in changed}:
        await skus.plan(
            runtime, tx, tenant, [one.kept.id for one in changed if one.tenant == tenant]
        )


async def _find_skus(tx: Connection, limit: int) -> list[_Changed | Unplannable]:
    found = await changes.find(tx, limit)
    return [_Changed(tenant, Kept(sku, 0, _NEVER, None)) for tenant, sku in found]


async def _bundles(tx: Connection, tenant: Tenant, fields: CampaignFields) -> Bundles:
    """Return which of a campaign's SKUs are bundles of what; none becomes one meanwhile."""
    named = [one.sku for one in fields.skus]
    owners = await catalogue.owners_of(tx, tenant, named)
    if gone := [sku for sku in named if sku not in owners]:
        raise NotFound(f"there is no SKU {gone[0]}")
    return await catalogue.components_of(tx, tenant, named)


def _claims(tenant: Tenant, kept: Kept[CampaignFields], bundles: Bundles) -> list[supply.Planned]:
    waves = bundling.waves(kept.value, bundles)
    whole = bundling.unbundled(kept.value, bundles)
    return [
        supply.Planned(tenant, kept.id, kept.version, whole.channels, one, waves.get(one.sku, []))
        for one in whole.skus
    ]


async def _write_rules(runtime: Runtime, tx: Connection, bodies: dict[str, list[Any]]) -> None:
    cell = runtime.settings.cell
    stored = await intentions.stored_rules(tx, cell, bodies)
    await intentions.write_rules(tx, cell, rules.changed_rules(bodies, stored))


_CHANNELS: Final = _Kind("channel", _CHANNELS_MAX, channels.unplanned, _write_channels)
_POLICIES: Final = _Kind(
    "supply_policy", _POLICIES_MAX, documents.unplanned_policies, _write_policies
)
_CAMPAIGNS: Final = _Kind("campaign", _CAMPAIGNS_MAX, campaigns.unplanned, _write_campaigns)
_SKUS: Final = _Kind(_SKU, skus.SKUS_MAX, _find_skus, _write_skus)
