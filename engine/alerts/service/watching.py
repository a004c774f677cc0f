"""Look at stock, raise alerts, and let them stand no longer."""

from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from engine.alerts.rules import documents, judging
from engine.alerts.store import measured, standing
from engine.alerts.store.documents import RULES
from engine.alerts.store.standing import Kept
from engine.alerts.types.documents import AlertKind
from engine.alerts.types.facts import Alert, Fact, Rule, Standing, Subject
from engine.infra import outbox
from engine.infra.postgres import Connection
from engine.infra.runtime import Runtime
from engine.inventory.service import selling as inventory
from engine.kernel.errors import Overloaded
from engine.kernel.types import Tenant
from engine.listings import service as listings

# What changes within seconds, and what does not and costs more to find out.
QUICK: Final[tuple[AlertKind, ...]] = (
    "low", "sold_out", "short", "owed", "listing_drift", "unmapped_listing", "stale_feed",
)  # fmt: skip
SLOW: Final[tuple[AlertKind, ...]] = ("aging", "slow_mover")

_FOR_SALE: Final[tuple[AlertKind, ...]] = ("low", "sold_out")
_PAGE: Final = 1_000
_RULES_MAX: Final = 10_000  # of a tenant that are applied; people write them by hand
_ACTOR: Final = "watcher"

_log = structlog.get_logger(__name__)


async def look(runtime: Runtime, db: Connection, kinds: Sequence[AlertKind]) -> int:
    """Measure, judge, and write down what began and what is over; return how many did.

    An event tells of each (`stock_alert`, `stock_alert_over`). Safe to repeat, and beside another.
    Where draws are capped, which the cell counts, and it does not answer, alerts of what is for
    sale stay as they are.
    """
    changes = 0
    for tenant in await measured.tenants(db):
        told = await RULES.page(db, tenant, "", _RULES_MAX)
        rules = [documents.compiled(kept.id, kept.value) for kept in told]
        facts: list[Fact] = []
        known = list(kinds)
        for kind in kinds:
            try:
                facts += await _facts(runtime, db, tenant, kind, rules)
            except Overloaded as away:
                _log.warning("alerts_not_measured", kinds=_FOR_SALE, reason=away.detail)
                known = [one for one in known if one not in _FOR_SALE]
        cards = await measured.cards(db, tenant, (fact.subject.sku for fact in facts))
        found = judging.judge(facts, cards, rules)
        async with db.transaction():
            changes += await _keep(db, tenant, known, found)
    return changes


async def _facts(
    runtime: Runtime, db: Connection, tenant: Tenant, kind: AlertKind, rules: Sequence[Rule]
) -> list[Fact]:
    if kind == "sold_out":
        return []  # measured as `low`
    if kind == "low":
        return await _for_sale(runtime, db, tenant, judging.furthest(rules, "low") or 0)
    if kind == "unmapped_listing":
        return await _unmapped(runtime, tenant)
    least = judging.nearest(rules, kind)
    return [] if least is None else await measured.facts(db, tenant, kind, least)


async def _for_sale(runtime: Runtime, db: Connection, tenant: Tenant, most: int) -> list[Fact]:
    found: list[Fact] = []
    after: list[str] | None = ["", "", ""]
    while after is not None:
        items, after = await inventory.scarce(runtime, db, tenant, most, after, _PAGE)
        ever = await measured.ever_granted(db, tenant, (one.sku for one in items))
        found += [
            Fact("low", Subject(one.sku, one.channel, one.campaign), one.sellable)
            for one in items
            if one.sku in ever
        ]
    return found


async def _unmapped(runtime: Runtime, tenant: Tenant) -> list[Fact]:
    found: list[Fact] = []
    after: Sequence[str] = ("", "", "", "")
    while True:
        wanted = listings.Wanted(tenant, "", after, _PAGE)
        page = await listings.alarms(runtime, wanted, "")
        found += [
            Fact(
                "unmapped_listing",
                Subject(one.sku, one.channel, item_id=one.item_id, sku_id=one.sku_id),
                one.orders,
            )
            for one in page
        ]
        if len(page) < _PAGE:
            return found
        last = page[-1]
        after = (last.channel, last.item_id, last.sku_id, last.sku)


async def _keep(
    tx: Connection, tenant: Tenant, kinds: Sequence[AlertKind], found: Mapping[Standing, Alert]
) -> int:
    known = await standing.standing(tx, tenant, kinds)
    fresh = {which: alert for which, alert in found.items() if which not in known}
    over = {which: kept for which, kept in known.items() if which not in found}
    await standing.begin(tx, tenant, fresh)
    await standing.change(
        tx,
        [
            Kept(kept.alert_id, found[which])
            for which, kept in known.items()
            if which in found and found[which] != kept.alert
        ],
    )
    await standing.end(tx, over.values())
    began = [_told(which, alert) for which, alert in fresh.items()]
    await outbox.write(tx, "stock_alert", _ACTOR, began)
    ended = [_told(which, kept.alert) for which, kept in over.items()]
    await outbox.write(tx, "stock_alert_over", _ACTOR, ended)
    return len(fresh) + len(over)


def _told(which: Standing, alert: Alert) -> dict[str, object]:
    kind, subject = which
    about = {name: value for name, value in subject._asdict().items() if value}
    return {"kind": kind, **about, **alert._asdict()}
