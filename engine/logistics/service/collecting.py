"""Goods collected at the counter: a code made for the buyer, and redeemed once."""

import secrets
from datetime import datetime
from typing import Final

from engine.aftersales import answering
from engine.infra.postgres import Connection, Pool
from engine.kernel.clock import to_ms
from engine.kernel.errors import AlreadyRedeemed, InConflict, NotFound, WrongCode
from engine.logistics.rules import codes as rules
from engine.logistics.store import codes as store
from engine.logistics.store import ways
from engine.logistics.types import CodeView, RedeemedView
from engine.orders.types import OPEN
from engine.shipments import service as shipments
from engine.shipments.service.locked import lock
from engine.shipments.types.shipments import Shipment, Told

# What the store has or may be handing out; not what is being stopped.
_THERE: Final = frozenset({"sent", "accepted", "picked", "packed"})
_REPORT: Final = "redeemed"


async def make_code(
    pool: Pool, tenant: str, channel: str, shipment_id: str, now: datetime
) -> CodeView:
    """Make a code; the one before is worth nothing from now on.

    Raises:
        NotFound: no such shipment.
        InConflict: it is not to be collected, or was, or will not be.
    """
    code = rules.code_of(secrets.randbits(128))
    async with pool.acquire() as tx, tx.transaction():
        one, _ = await _locked(tx, tenant, channel, shipment_id)
        if one.mode != "pickup" or not one.live:
            raise InConflict("this shipment is not to be collected")
        expires_at = now + rules.LASTS
        if not await store.put(tx, shipment_id, rules.digest(shipment_id, code), expires_at):
            raise AlreadyRedeemed
    return CodeView(shipment_id, code, ways.moment(expires_at) or "")


async def redeem(  # noqa: PLR0913 - whose, what is shown, who looks at it and when
    pool: Pool,
    tenant: str,
    channel: str,
    shipment_id: str,
    code: str,
    *,
    actor: str,
    now: datetime,
) -> RedeemedView:
    """Hand goods out for a code: once, however many counters try at the same moment.

    Raises:
        NotFound: no such shipment, or no code was made for it.
        WrongCode: another code, one that has expired, or one that was tried too often.
        AlreadyRedeemed: the goods were handed out.
        InConflict: they are not there to be handed out, or somebody wants them stopped.
    """
    async with pool.acquire() as tx, tx.transaction():
        one, order = await _locked(tx, tenant, channel, shipment_id)
        kept = await store.lock(tx, shipment_id)
        if kept is None:
            raise NotFound("no code was made for this shipment")
        verdict = rules.judged(
            kept.digest, rules.digest(shipment_id, code), kept.tries,
            redeemed=kept.redeemed_at is not None, expires_at=kept.expires_at, now=now,
        )  # fmt: skip
        if verdict == "wrong":
            await store.note_wrong(tx, shipment_id)
        if verdict == "right" and order != OPEN:
            raise InConflict(f"the order is {order}")
        if verdict == "right":
            await _hand_out(tx, one, actor, now)
    if verdict == "redeemed":
        raise AlreadyRedeemed
    if verdict != "right":
        raise WrongCode(_WHY[verdict])
    return RedeemedView(shipment_id, ways.moment(now) or "")


_WHY: Final = {
    "wrong": "this is not the code",
    "spent": "wrong codes were tried too often: make a new one",
    "expired": "the code has expired: make a new one",
}


async def _locked(
    tx: Connection, tenant: str, channel: str, shipment_id: str
) -> tuple[Shipment, str]:
    """Return a shipment, and the state of its order, which is locked."""
    order_id = await store.order_of(tx, tenant, channel, shipment_id)
    if order_id is None:
        raise NotFound("no such shipment")
    locked = await lock(tx, [order_id])
    return locked.shipments[shipment_id], locked.orders[order_id].state


async def _hand_out(tx: Connection, one: Shipment, actor: str, now: datetime) -> None:
    if one.state not in _THERE or one.cancelling:
        raise InConflict(f"this shipment is {one.state}")
    if await store.is_blocked(tx, one.order_id):
        raise InConflict("the order is blocked")
    await store.redeem(tx, one.shipment_id, now, actor)
    for kind in ("shipped", "delivered"):
        told = {one.shipment_id: Told(kind, _REPORT, now)}
        outcome = await shipments.report(tx, {one.order_id}, told, now)
        await answering.act(tx, outcome.answered, to_ms(now))
