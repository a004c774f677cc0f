"""What the pools of SKUs are planned from, read for many SKUs at once."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from engine.campaigns.types import CampaignSku
from engine.infra import queries
from engine.infra.postgres import Connection
from engine.inventory.types import Dimensions, PolicyFields
from engine.inventory.types.supply import Card, Claim, Policy, Pool
from engine.kernel import codec
from engine.kernel.clock import instant
from engine.kernel.types import Tenant

SQL: Final = queries.load("engine.inventory")
_SUM_FROM: Final = 64  # grants that are folded and not yet summed up, from which on they are
_decode_policy: Final = codec.Decoder(PolicyFields)
_decode_sku: Final = codec.Decoder(CampaignSku)


class Planned(NamedTuple):
    """What is planned of a campaign: its entry of one SKU, and the waves of that SKU."""

    tenant: Tenant
    campaign: str
    version: int
    channels: Sequence[str]
    says: CampaignSku
    waves: Sequence[tuple[int, Mapping[str, int]]]


async def cards(db: Connection, tenant: Tenant, skus: Collection[str]) -> dict[str, Card]:
    """Return what policies find those SKUs by that exist."""
    rows = await db.fetch(SQL["cards"], tenant, list(skus))
    return {row["sku"]: Card(*row) for row in rows}


async def pools(
    db: Connection, tenant: Tenant, skus: Collection[str], *, sum_up: bool
) -> dict[str, list[Pool]]:
    """Return the pools of SKUs with what their grants amount to.

    With `sum_up` grants that were folded long ago are added up once and for all.
    """
    found: defaultdict[str, list[Pool]] = defaultdict(list)
    sums = []
    for row in await db.fetch(SQL["pools_of_skus"], tenant, list(skus)):
        moved = row["granted"] - row["folded"]
        name = Dimensions(
            tenant, row["owner"], row["sku"], row["channel"], row["campaign"], row["node_group"]
        )
        found[row["sku"]].append(
            Pool(
                row["pool_id"], name, row["last_seq"], row["given"], moved, row["available"],
                row["used"], row["ended"], row["drained"],
            )
        )  # fmt: skip
        if row["folded_seq"] - row["summed_seq"] >= _SUM_FROM:
            sums.append((row["pool_id"], row["folded_seq"], row["folded"]))
    if sums and sum_up:
        await db.execute(SQL["sum_grants"], *(list(column) for column in zip(*sums, strict=True)))
    return found


async def lock_pools(tx: Connection, pools: Collection[str]) -> set[str]:
    """Lock those of these pools that nobody else has locked, and return them."""
    return {row["pool_id"] for row in await tx.fetch(SQL["lock_pools"], list(pools))}


async def regroup(tx: Connection, groups: Mapping[str, str]) -> None:
    """Let pools be of other groups of nodes, by id."""
    if groups:
        await tx.execute(SQL["regroup_pools"], list(groups), list(groups.values()))


async def policies(
    db: Connection, tenant: Tenant, skus: Collection[str]
) -> tuple[dict[str, list[Policy]], list[Policy], dict[str, str]]:
    """Return planned policies of these SKUs, those of many, and whose these SKUs are by them."""
    own: defaultdict[str, list[Policy]] = defaultdict(list)
    wide, owners = [], {}
    for row in await db.fetch(SQL["planned_policies"], tenant, list(skus)):
        policy = Policy(
            row["policy"], row["planned_version"], _decode_policy(row["planned"].encode())
        )
        if policy.fields.sku:
            own[policy.fields.sku].append(policy)
            owners[policy.fields.sku] = row["owner"]
        else:
            wide.append(policy)
    return own, wide, owners


async def claims(db: Connection, tenant: Tenant, skus: Collection[str]) -> dict[str, list[Claim]]:
    """Return what campaigns say of SKUs."""
    found: defaultdict[str, list[Claim]] = defaultdict(list)
    for row in await db.fetch(SQL["claims"], tenant, list(skus)):
        waves = [(instant(at), units) for at, units in msgspec.json.decode(row["waves"])]
        says = _decode_sku(row["document"].encode())
        found[row["sku"]].append(
            Claim(row["campaign"], row["version"], row["channels"], says, waves)
        )
    return found


async def write_claims(
    tx: Connection, tenant: Tenant, campaigns: Collection[str], planned: Sequence[Planned]
) -> set[str]:
    """Write what campaigns say of their SKUs; return those of which they say nothing any more."""
    named = [(one.campaign, one.says.sku) for one in planned]
    rows = await tx.fetch(
        SQL["drop_claims"], tenant, list(campaigns), [one for one, _ in named],
        [sku for _, sku in named],
    )  # fmt: skip
    await tx.execute(
        SQL["write_claims"],
        tenant,
        [one.campaign for one in planned],
        [one.says.sku for one in planned],
        [one.version for one in planned],
        [msgspec.json.encode(one.channels).decode() for one in planned],
        [msgspec.json.encode(one.says).decode() for one in planned],
        [msgspec.json.encode(one.waves).decode() for one in planned],
    )
    return {row["sku"] for row in rows}


async def pools_of_campaigns(
    db: Connection, tenant: Tenant, campaigns: Collection[str]
) -> dict[str, list[str]]:
    """Return the ids of all pools that these campaigns ever had."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for row in await db.fetch(SQL["pools_of_campaigns"], tenant, list(campaigns)):
        found[row["campaign"]].append(row["pool_id"])
    return found


async def external(db: Connection, tenant: Tenant) -> set[str]:
    """Return the channels that are marketplaces."""
    return {row["channel"] for row in await db.fetch(SQL["external_channels"], tenant)}


async def matching(db: Connection, tenant: Tenant, kind: str, name: str) -> list[str]:
    """Return the SKUs of a category or brand, or all."""
    rows = await db.fetch(SQL["matching_skus"], tenant, kind, name)
    return [row["sku"] for row in rows]


async def now(db: Connection) -> datetime:
    """Return Postgres' time."""
    at: datetime = await db.fetchval(SQL["present"])
    return at
