"""What a publisher of an earlier version planned is what 0010 finds, and the next plan keeps."""

from importlib import resources

import asyncpg
import msgspec

from engine.inventory.store import supply

FILES = sorted(
    (one for one in resources.files("engine.infra.migrations").iterdir()
     if one.name.endswith(".sql")),
    key=lambda one: one.name,
)  # fmt: skip
POLICY = {"sku": "tea", "shared": 5, "channels": [{"channel": "mall", "quota": 3}]}
CAMPAIGN = {
    "name": "Sale", "starts_at": "2026-11-11T00:00:00Z", "ends_at": "2026-11-12T00:00:00Z",
    "channels": ["mall", "app"], "skus": [{"sku": "tea", "quota": {"mall": 2}}],
}  # fmt: skip


async def put(db, kind, table, key, document, *versions):
    for version, text in versions:
        await db.execute(
            "INSERT INTO reference_versions (tenant, kind, id, version, document, actor)"
            " VALUES ('main', $1, $2, $3, $4, 'test')",
            kind, key, version, msgspec.json.encode(text).decode(),
        )  # fmt: skip
    await db.execute(table, key, msgspec.json.encode(document).decode())


async def test_what_is_planned_stays_planned(empty_database_url):
    db = await asyncpg.connect(empty_database_url)
    try:
        for one in FILES:
            if one.name >= "0010":
                break
            async with db.transaction():
                await db.execute(one.read_text(encoding="utf-8"))
        await put(
            db, "supply_policy",
            "INSERT INTO supply_policies (tenant, policy, owner, sku, version, planned_version,"
            " document, actor) VALUES ('main', $1, '', 'tea', 2, 1, $2, 'test')",
            "p", {**POLICY, "shared": 9}, (1, POLICY), (2, {**POLICY, "shared": 9}),
        )  # fmt: skip
        await put(
            db, "campaign",
            "INSERT INTO campaigns (tenant, campaign, version, planned_version, starts_at, ends_at,"
            " returns, document, actor) VALUES ('main', $1, 1, 1, now(), now(), true, $2, 'test')",
            "d11", CAMPAIGN, (1, CAMPAIGN),
        )  # fmt: skip
        (file,) = (one for one in FILES if one.name.startswith("0010"))
        async with db.transaction():
            await db.execute(file.read_text(encoding="utf-8"))
        own, wide, _ = await supply.policies(db, "main", ["tea"])
        assert [(one.version, one.fields.shared) for one in own["tea"]] == [(1, 5)]
        assert wide == []
        ((claim,),) = (await supply.claims(db, "main", ["tea"])).values()
        assert (claim.campaign, claim.version, claim.channels) == ("d11", 1, ["mall", "app"])
        assert (claim.says.quota, claim.waves) == ({"mall": 2}, [])
    finally:
        await db.close()
