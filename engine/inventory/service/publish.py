"""Tell the cell what changed: write intentions down in one transaction, then send them.

Sending is safe to repeat: grants are numbered by pool and rules by field, and the cell answers
REPEATED. So nothing is lost when a process dies anywhere in here, and two publishers at once only
do the same work twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog

from engine.campaigns import service as campaigns
from engine.campaigns.types import Ending, Published
from engine.catalogue import service as catalogue
from engine.channels import service as channels
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.inventory import rules
from engine.inventory.rules import Plan
from engine.inventory.store import documents, intentions
from engine.inventory.types import Dimensions, Grant, Wanted
from engine.kernel.clock import to_ms
from engine.kernel.limits import CLAIMS_PER_CALL_MAX

_CHANNELS_MAX: Final = 500  # documents in one planning transaction
_POLICIES_MAX: Final = 500
_CAMPAIGNS_MAX: Final = 20
_ENDINGS_MAX: Final = 20
_SEND_AGAIN_S: Final = 2.0  # a grant that the cell has is folded long before

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Item:
    """One document's plan, why its grants are made, and what it had in the cell before."""

    plan: Plan
    reason: str
    reference: str
    former_fields: Sequence[str] = ()
    former_pools: Sequence[str] = ()


async def publish(runtime: Runtime, db: Connection) -> bool:
    """Plan and send once; True when something may be left to do at once.

    Raises:
        Closed: the cell takes nothing now; what was planned is sent by a later call.
        OutcomeUnknown: likewise.
    """
    planned = await plan(runtime, db)
    if await send_grants(runtime, db) and await send_rules(runtime, db):
        await _mark_published(runtime, db)
    returned = await return_ended(runtime, db)
    return planned or returned


async def plan(runtime: Runtime, db: Connection) -> bool:
    """Write down what changed documents come to; True when there were some."""
    async with db.transaction():
        await intentions.lock_planning(db, runtime.settings.cell)
        planned = await _plan_channels(runtime, db)
        planned = await _plan_policies(runtime, db) or planned
        return await _plan_campaigns(runtime, db) or planned


async def _mark_published(runtime: Runtime, db: Connection) -> None:
    """Note that the cell has all that is planned, unless somebody planned more just now."""
    cell = runtime.settings.cell
    async with db.transaction():
        await intentions.lock_planning(db, cell)
        if await intentions.unsent_pools(db) or await intentions.pending_rules(db, cell, "", 1):
            return
        await channels.mark_published(db)
        await documents.mark_published(db)
        await campaigns.mark_published(db)


async def send_grants(runtime: Runtime, db: Connection) -> bool:
    """Send grants that the cell may lack; True when it has them all."""
    while batch := await intentions.pending_grants(db, _SEND_AGAIN_S, CLAIMS_PER_CALL_MAX):
        reply = await runtime.cell.call("grant", batch)
        done: list[Grant] = []
        expected: dict[str, int] = {}
        for grant, (word, *rest) in zip(batch, reply.results, strict=True):
            if word == "OUT_OF_ORDER":
                expected[grant.pool_id] = _whole(rest[0])
            else:
                done.append(grant)
        await intentions.mark_sent(db, done)
        if expected:
            _log.warning("grants_out_of_order", pools=expected)
            await intentions.send_again(db, expected)
            if not done:
                break
    return not await intentions.unsent_pools(db)


async def send_rules(runtime: Runtime, db: Connection) -> bool:
    """Send rules that the cell lacks; True when it has them all.

    An offer waits for the first grants of the pools it names, so the cell never meets a pool that
    does not exist.
    """
    cell, after, complete = runtime.settings.cell, "", True
    unsent = await intentions.unsent_pools(db)
    while batch := await intentions.pending_rules(db, cell, after, CLAIMS_PER_CALL_MAX):
        after = batch[-1].field
        ready = [rule for rule in batch if not rules.pools_of_rule(rule) & unsent]
        complete = complete and len(ready) == len(batch)
        if ready:
            claims = [[rule.field, rule.version, msgspec.Raw(rule.body)] for rule in ready]
            await runtime.cell.call("rule", claims)
            await intentions.mark_rules(db, cell, ready)
    return complete


async def return_ended(runtime: Runtime, db: Connection) -> bool:
    """Move what campaigns did not sell to the shared pools, and end their own; True if any did."""
    endings = await campaigns.ended(db, _ENDINGS_MAX)
    if not endings:
        return False
    # Postgres' clock found them; the cell's decides, since it is the one that refuses claims.
    now_ms = (await runtime.cell.call("move", [])).now_ms
    due = [one for one in endings if to_ms(one.ends_at) <= now_ms]
    done = [await _return_one(runtime, db, one) for one in due]
    return any(done)


async def _return_one(runtime: Runtime, db: Connection, ending: Ending) -> bool:
    pools = await intentions.open_pools(db, ending.pools)
    targets = await _shared_pools(runtime, db, pools, ending.campaign)
    if not await send_grants(runtime, db):
        return False
    claims = [
        [f"end:{pool}", pool, targets[name.shared], -1, 1, f"end of {ending.campaign}"]
        for pool, name in sorted(pools.items())
    ]
    for first in range(0, len(claims), CLAIMS_PER_CALL_MAX):
        batch = claims[first : first + CLAIMS_PER_CALL_MAX]
        reply = await runtime.cell.call("move", batch)
        refused = [
            (claim[1], word)
            for claim, (word, *_) in zip(batch, reply.results, strict=True)
            if word not in {"MOVED", "REPEATED"}
        ]
        if refused:
            _log.error("campaign_stock_not_returned", campaign=ending.campaign, pools=refused)
            return False
    await campaigns.mark_returned(db, ending.tenant, ending.campaign)
    return True


async def _shared_pools(
    runtime: Runtime, db: Connection, pools: Mapping[str, Dimensions], campaign: str
) -> dict[Dimensions, str]:
    """Return the shared pool of each pool's SKU; one without a policy is made, with 0 units."""
    cell, names = runtime.settings.cell, {name.shared for name in pools.values()}
    async with db.transaction():
        await intentions.lock_planning(db, cell)
        ids = await intentions.make_pools(db, cell, names)
        given = await intentions.given(db, ids.values())
        fresh = [one for one in given if not one.last_seq]
        wanted = {one.pool_id: Wanted(0, "campaign_end", campaign) for one in fresh}
        await intentions.write_grants(db, rules.grants(wanted, fresh))
    return ids


async def _plan_channels(runtime: Runtime, tx: Connection) -> bool:
    changed = await channels.unplanned(tx, _CHANNELS_MAX)
    items = [
        Item(rules.channel_plan(tenant, kept.id, kept.value), "channel", kept.id)
        for tenant, kept in changed
    ]
    await _write(runtime, tx, items)
    if changed:
        await channels.mark_planned(tx, [(tenant, kept.id) for tenant, kept in changed])
    return bool(changed)


async def _plan_policies(runtime: Runtime, tx: Connection) -> bool:
    changed = await documents.unplanned_policies(tx, _POLICIES_MAX)
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
    if changed:
        done = [
            documents.Planned(one.tenant, one.kept.id, sorted(item.plan.fields), ids)
            for one, item, ids in zip(changed, items, pools, strict=True)
        ]
        await documents.mark_planned(tx, done)
        for tenant in {one.tenant for one in changed}:
            skus = [one.kept.value.sku for one in changed if one.tenant == tenant]
            await campaigns.replan_drawing(tx, tenant, skus)
    return bool(changed)


async def _plan_campaigns(runtime: Runtime, tx: Connection) -> bool:
    changed = await campaigns.unplanned(tx, _CAMPAIGNS_MAX)
    items = []
    for tenant, kept, fields, pools in changed:
        owners = await catalogue.owners_of(tx, tenant, [one.sku for one in kept.value.skus])
        shared = {one.sku: owners[one.sku] for one in kept.value.skus if one.draws_shared}
        policies = await documents.policies_of_skus(tx, tenant, shared)
        plan = rules.campaign_plan(tenant, kept.id, kept.value, owners, policies)
        items.append(Item(plan, "campaign", f"{kept.id}@{kept.version}", fields, pools))
    written = await _write(runtime, tx, items)
    if changed:
        done = [
            Published(one.tenant, one.kept.id, sorted(item.plan.fields), ids)
            for one, item, ids in zip(changed, items, written, strict=True)
        ]
        await campaigns.mark_planned(tx, done)
    return bool(changed)


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


def _whole(value: object) -> int:
    assert isinstance(value, int), "the cell counts in integers"
    return value
