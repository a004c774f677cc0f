"""Who got the units of a campaign: many buyers, or a few of them."""

from typing import Final

from engine.infra.postgres import Pool
from engine.kernel import codec
from engine.kernel.clock import Clock, rfc3339
from engine.kernel.types import Tenant
from engine.orders.store import SQL

_WITHIN_S: Final = 60.0


class Fairness(codec.Answer, frozen=True):
    """Units of a campaign's orders that are not cancelled or expired, by who ordered them.

    `top_buyers` are the one buyer in a hundred (at least one) with most units, `top_share` their
    part of all `units` of named buyers, from 0 to 1: 0.01 where everybody got the same. Units of
    orders without a `buyer_id` are `unnamed_units` and in no other figure. A bundle is one unit.
    """

    campaign: str
    as_of: str
    buyers: int
    units: int
    top_buyers: int
    top_units: int
    top_share: float
    most_of_one_buyer: int
    unnamed_units: int


async def of_campaign(pool: Pool, clock: Clock, tenant: Tenant, campaign: str) -> Fairness:
    """Add up what is recorded; reads all orders of the tenant, so it is asked now and then."""
    row = await pool.fetchrow(SQL["fairness"], tenant, campaign, timeout=_WITHIN_S)
    assert row is not None, "an aggregate has a row"
    share = row["top_units"] / row["units"] if row["units"] else 0.0
    return Fairness(
        campaign, rfc3339(clock.now_ms()), row["buyers"], row["units"], row["top_buyers"],
        row["top_units"], round(share, 4), row["most"], row["unnamed"],
    )  # fmt: skip
