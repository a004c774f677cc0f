"""What Postgres has of the marketplaces of one sale, and what follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.assurance.types import Certificate
from engine.infra import queries
from engine.infra.postgres import Pool
from engine.simulation.marketplace import beyond
from engine.simulation.marketplace.beyond import Booked, Owed, PoolState, Remedied
from engine.simulation.marketplace.syncing import Syncing

SQL: Final = queries.load("engine.simulation")


@dataclass(slots=True)
class Markets:
    """By shop what was synced, what all of them sold beyond stock, and what does not agree."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    beyond: list[Remedied] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


async def compare(
    pool: Pool, feeds: Sequence[Syncing], campaign: str, certificate: Certificate
) -> Markets:
    """Compare what is recorded of a sale's marketplaces with their truth and the certificate."""
    found = Markets()
    pools = await pool.fetch(SQL["market_pools"], campaign)
    shorts = {
        (row["channel"], row["sku"]): row["units"]
        for row in await pool.fetch(SQL["market_shorts"], campaign)
    }
    for feed in feeds:
        channel = feed.market.spec.channel
        booked = await _booked(pool, channel, campaign)
        states = {
            row["sku"]: PoolState(row["granted"], row["wanted"], row["owed"])
            for row in pools
            if row["channel"] == channel
        }
        found.faults += [*feed.faults, *beyond.faults(feed.market, booked, states)]
        found.counts[channel] = {"orders": len(booked), **dict(sorted(feed.counts.items()))}
    for row in pools:
        units = sum(shorts.get((row["channel"], row["sku"]), ()))
        if units != row["owed"]:
            found.faults.append(
                f"{row['channel']}: {row['owed']} units of {row['sku']} are owed, {units} of them"
                " to orders that can be named"
            )
    owed = [Owed(*pool_of, units) for pool_of, units in shorts.items()]
    # what a marketplace still shows must not leave its pool: it would only sell it once more
    shown = {feed.market.spec.channel for feed in feeds}
    free = {
        (row["sku"], row["channel"] or "shared"): row["available"]
        for row in pools
        if row["channel"] not in shown
    }
    found.beyond = beyond.remedies(owed, free)
    markets = [feed.market for feed in feeds]
    found.faults += beyond.certificate_faults(markets, campaign, certificate)
    return found


async def _booked(pool: Pool, channel: str, campaign: str) -> dict[str, Booked]:
    booked: dict[str, Booked] = {}
    for row in await pool.fetch(SQL["market_orders"], channel, campaign):
        known = booked.setdefault(row["channel_order_id"], Booked(row["version"], {}))
        if row["sku"] is not None:
            booked[row["channel_order_id"]] = known._replace(
                units={**known.units, row["sku"]: row["units"]}
            )
    return booked
