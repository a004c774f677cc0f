"""Tell the cell what changed: have intentions written down in one transaction, then send them.

Sending is safe to repeat: grants are numbered by pool and rules by field, and the cell answers
REPEATED. So nothing is lost when a process dies anywhere in here, and two publishers at once only
do the same work twice.
"""

from collections.abc import Collection
from typing import Final

import msgspec
import structlog

from engine.campaigns import service as campaigns
from engine.campaigns.types import Ending
from engine.channels import service as channels
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.inventory import rules
from engine.inventory.service import shortages
from engine.inventory.service.planning import plan
from engine.inventory.store import documents, intentions, supply
from engine.inventory.types import Dimensions, Grant, Wanted
from engine.kernel.clock import to_ms
from engine.kernel.limits import CLAIMS_PER_CALL_MAX

_ENDINGS_MAX: Final = 20
_PENDING_MAX: Final = 16 * CLAIMS_PER_CALL_MAX
_SEND_AGAIN_S: Final = 2.0  # a grant that the cell has is folded long before

_log = structlog.get_logger(__name__)


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
    await shortages.tell(db)
    return planned or returned


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
    while pending := await intentions.pending_grants(db, _SEND_AGAIN_S, _PENDING_MAX):
        done: list[Grant] = []
        expected: dict[str, int] = {}
        for first in range(0, len(pending), CLAIMS_PER_CALL_MAX):
            batch = pending[first : first + CLAIMS_PER_CALL_MAX]
            reply = await runtime.cell.call("grant", batch)
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
    had = await supply.pools_of_campaigns(db, ending.tenant, [ending.campaign])
    ids = {*ending.pools, *had.get(ending.campaign, ())}
    pools, targets = await _shared_pools(runtime, db, ids, ending.campaign)
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
    runtime: Runtime, db: Connection, of: Collection[str], campaign: str
) -> tuple[dict[str, Dimensions], dict[Dimensions, str]]:
    """Return which of these pools are open, and their shared ones.

    One without a policy is made, with 0 units.
    """
    cell = runtime.settings.cell
    async with db.transaction():
        await intentions.lock_planning(db, cell)
        pools = await intentions.open_pools(db, of)
        ids = await intentions.make_pools(db, cell, {name.shared for name in pools.values()})
        given = await intentions.given(db, ids.values())
        fresh = [one for one in given if not one.last_seq]
        wanted = {one.pool_id: Wanted(0, "campaign_end", campaign) for one in fresh}
        await intentions.write_grants(db, rules.grants(wanted, fresh))
    return pools, ids


def _whole(value: object) -> int:
    assert isinstance(value, int), "the cell counts in integers"
    return value
