"""Parcels and scores as they are shown."""

from datetime import date

import asyncpg

from engine.infra.postgres import Pool
from engine.logistics.store import ways
from engine.logistics.types import LegView, MilestoneView, ParcelsView, ParcelView, ScoreView


async def parcels(pool: Pool, tenant: str, channel: str, waybill: str) -> ParcelsView:
    """Return the parcels of a number with their ways; those of one channel where one is named."""
    async with pool.acquire() as db:
        rows = await ways.parcels_shown(db, tenant, channel, waybill)
        told = await ways.milestones(db, tenant, {(row["carrier"], waybill) for row in rows})
        legs = await ways.legs(db, [row["parcel_id"] for row in rows])
    return ParcelsView(
        [
            ParcelView(
                row["parcel_id"], row["shipment_id"], row["order_id"], row["carrier"], waybill,
                row["service"], ways.moment(row["shipped_at"]) or "", row["milestone"],
                ways.moment(row["milestone_at"]), ways.moment(row["promised_deliver_by"]),
                [
                    MilestoneView(
                        seen.milestone, ways.moment(seen.at) or "", seen.source, seen.place,
                        ways.moment(received) or "",
                    )
                    for seen, received in told[row["carrier"], waybill]
                ],
                [
                    LegView(leg.leg, ways.moment(leg.due_at) or "", ways.moment(leg.met_at),
                            leg.state)
                    for leg in legs[row["parcel_id"]]
                ],
            )
            for row in rows
        ]
    )  # fmt: skip


async def scores(  # noqa: PLR0913 - which, of when, behind which, how many
    pool: Pool,
    tenant: str,
    service: str,
    since: date | None,
    until: date | None,
    *,
    after: tuple[str, str, str],
    limit: int,
) -> list[ScoreView]:
    """Return scores of days, both ends included, by service, day and province."""
    rows = await ways.cards(pool, tenant, service, since, until, *after, limit)
    return [_score(row) for row in rows]


def _score(row: asyncpg.Record) -> ScoreView:
    mean = row["minutes_sum"] // row["delivered"] if row["delivered"] else None
    return ScoreView(
        row["service"], row["region2"], row["day"].isoformat(), row["parcels"], row["on_time"],
        row["breached"], row["delivered"], row["damaged"], row["refused"], row["lost"], mean,
    )  # fmt: skip
