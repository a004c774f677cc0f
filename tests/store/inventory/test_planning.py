"""One document that cannot be planned is noted and passed by; the others go on."""

from contextlib import nullcontext
from types import SimpleNamespace

import asyncpg
import msgspec
import pytest

from engine.inventory.service import planning

SETTINGS = SimpleNamespace(cell="1", tenant="main")
RUNTIME = SimpleNamespace(settings=SETTINGS)
NO_OFFERS_OF_B = """
    ALTER TABLE cell_rules ADD CHECK (field NOT LIKE E'offer\\x1f%\\x1fb\\x1f%')
"""
NO_CHANNEL_B = "ALTER TABLE cell_rules ADD CHECK (field NOT LIKE E'channel\\x1f%\\x1fb')"
DEADLOCK = """
    CREATE FUNCTION fall() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'deadlock_detected'; END $$;
    CREATE TRIGGER falls BEFORE INSERT ON cell_rules EXECUTE FUNCTION fall()
"""
UNREADABLE = "/name: Expected `str`, got `int`"


def campaign(sku="tea", **fields):
    return {
        "name": "Sale",
        "starts_at": "2026-11-11T00:00:00Z",
        "ends_at": "2026-11-12T00:00:00Z",
        "channels": ["mall"],
        "skus": [{"sku": sku, "quota": {"mall": 5}}],
        **fields,
    }


def policy(name, **fields):
    return {"sku": f"sku-{name}", "shared": 20, "channels": [{"channel": name}], **fields}


async def put_campaign(pg, name, document):
    await pg.execute(
        "INSERT INTO campaigns"
        " (tenant, campaign, version, document, actor, starts_at, ends_at, returns)"
        " VALUES ('main', $1, 1, $2, 'test', now(), now(), true)",
        name, msgspec.json.encode(document).decode(),
    )  # fmt: skip


async def put_policy(pg, name, document):
    await pg.execute(
        "INSERT INTO supply_policies (tenant, policy, owner, sku, version, document, actor)"
        " VALUES ('main', $1, 'acme', $3, 1, $2, 'test')",
        name, msgspec.json.encode(document).decode(), document["sku"],
    )  # fmt: skip


async def put_channel(pg, name, document):
    await pg.execute(
        "INSERT INTO channels (tenant, channel, version, document, actor)"
        " VALUES ('main', $1, 1, $2, 'test')",
        name, msgspec.json.encode(document).decode(),
    )  # fmt: skip


async def planned(pg, table="campaigns", column="campaign"):
    rows = await pg.fetch(f"SELECT {column} FROM {table} WHERE planned_version = version")  # noqa: S608
    return {row[column] for row in rows}


async def noted(pg):
    pool = SimpleNamespace(acquire=lambda: nullcontext(pg))
    return await planning.noted(SimpleNamespace(settings=SETTINGS, pool=pool))


@pytest.fixture
async def shelf(pg):
    for sku in ("tea", "b"):
        await pg.execute(
            "INSERT INTO skus (tenant, sku, owner, version, document, actor)"
            " VALUES ('main', $1, 'acme', 1, '{}', 'test')",
            sku,
        )


# fmt: off
CAMPAIGNS = {
    "it cannot be read":        (campaign(name=1),     None, UNREADABLE),
    "it sells what is nowhere": (campaign(sku="gone"), None, "there is no SKU gone"),
    "Postgres refuses it":      (campaign(),           NO_OFFERS_OF_B, "CheckViolationError: "),
}
POLICIES = {
    "it cannot be read":    (policy("b", shared="20"), None, "/shared: Expected `int`, got `str`"),
    "Postgres refuses it":  (policy("b"), NO_OFFERS_OF_B, "CheckViolationError: "),
}
CHANNELS = {
    "it cannot be read":    ({"name": "B", "hold_seconds": -5}, None,
                             "/hold_seconds: Expected `int` >= 1"),
    "Postgres refuses it":  ({"name": "B"}, NO_CHANNEL_B, "CheckViolationError: "),
}
# fmt: on


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize(("bad", "before", "reason"), CAMPAIGNS.values(), ids=CAMPAIGNS)
async def test_a_bad_campaign_is_passed_by(pg, capsys, bad, before, reason):
    if before:
        await pg.execute(before)
    for name, document in (("a", campaign()), ("b", bad), ("c", campaign())):
        await put_campaign(pg, name, document)
    assert await planning.plan(RUNTIME, pg)
    assert await planned(pg) == {"a", "c"}
    offers = await pg.fetch("SELECT field FROM cell_rules WHERE field LIKE 'offer%'")
    assert {row["field"].split("\x1f")[2] for row in offers} == {"a", "c"}
    assert (await noted(pg)).startswith(f"campaign b, version 1, cannot be planned: {reason}")
    assert capsys.readouterr().out.count("document_not_planned") == 1
    assert not await planning.plan(RUNTIME, pg), "nothing is left to do at once"
    assert capsys.readouterr().out == "", "it was told"


@pytest.mark.parametrize(("bad", "before", "reason"), POLICIES.values(), ids=POLICIES)
async def test_a_bad_policy_is_passed_by(pg, bad, before, reason):
    if before:
        await pg.execute(before)
    for name, document in (("a", policy("a")), ("b", bad), ("c", policy("c"))):
        await put_policy(pg, name, document)
    assert await planning.plan(RUNTIME, pg)
    assert await planned(pg, "supply_policies", "policy") == {"a", "c"}
    told = await noted(pg)
    assert told.startswith(f"supply_policy b, version 1, cannot be planned: {reason}")


@pytest.mark.parametrize(("bad", "before", "reason"), CHANNELS.values(), ids=CHANNELS)
async def test_a_bad_channel_is_passed_by(pg, capsys, bad, before, reason):
    if before:
        await pg.execute(before)
    for name, document in (("a", {"name": "A"}), ("b", bad), ("c", {"name": "C"})):
        await put_channel(pg, name, document)
    assert await planning.plan(RUNTIME, pg)
    assert await planned(pg, "channels", "channel") == {"a", "c"}
    assert (await noted(pg)).startswith(f"channel b, version 1, cannot be planned: {reason}")
    assert not await planning.plan(RUNTIME, pg), "nothing is left to do at once"
    assert capsys.readouterr().out.count("document_not_planned") == 1
    await pg.execute("UPDATE channels SET version = 2 WHERE channel = 'b'")
    assert await noted(pg) == "", "nobody knows yet what the new one is like"


@pytest.mark.usefixtures("shelf")
async def test_more_bad_ones_than_a_transaction_takes_are_in_nobodys_way(pg):
    for n in range(45):
        bad = campaign(name=1) if n % 2 else campaign(sku="gone")
        await put_campaign(pg, f"a{n:02}", bad)
    await put_campaign(pg, "z", campaign())
    assert await planning.plan(RUNTIME, pg)
    assert await planned(pg) == {"z"}
    told = await noted(pg)
    assert told.startswith("campaign a00, version 1, cannot be planned: there is no SKU gone; ")
    assert told.endswith("; and more")
    assert len(told) < 2_000


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("how", ["by a new version", "by what it lacked"])
async def test_a_mended_one_is_planned_and_noted_no_more(pg, how):
    await put_campaign(pg, "b", campaign(sku="gone"))
    assert not await planning.plan(RUNTIME, pg)
    assert await noted(pg)
    if how == "by a new version":
        document = msgspec.json.encode(campaign()).decode()
        await pg.execute("UPDATE campaigns SET version = 2, document = $1", document)
        assert await noted(pg) == "", "nobody knows yet what the new one is like"
    else:
        await pg.execute("UPDATE skus SET sku = 'gone' WHERE sku = 'tea'")
    assert await planning.plan(RUNTIME, pg)
    assert await planned(pg) == {"b"}
    assert await noted(pg) == ""


@pytest.mark.usefixtures("shelf")
async def test_another_reason_is_told_again(pg, capsys):
    await put_campaign(pg, "b", campaign(sku="gone"))
    await planning.plan(RUNTIME, pg)
    assert capsys.readouterr().out.count("document_not_planned") == 1
    await pg.execute("UPDATE skus SET sku = 'gone' WHERE sku = 'tea'")
    await pg.execute(NO_OFFERS_OF_B)
    assert not await planning.plan(RUNTIME, pg)
    assert capsys.readouterr().out.count("document_not_planned") == 1
    assert "CheckViolationError" in await noted(pg)


@pytest.mark.usefixtures("shelf")
async def test_a_server_in_trouble_is_no_documents_fault(pg):
    await pg.execute(DEADLOCK)
    await put_campaign(pg, "b", campaign())
    with pytest.raises(asyncpg.DeadlockDetectedError):
        await planning.plan(RUNTIME, pg)
    assert await noted(pg) == ""
    await pg.execute("DROP TRIGGER falls ON cell_rules")
    assert await planning.plan(RUNTIME, pg)


@pytest.mark.usefixtures("shelf")
async def test_a_sku_that_cannot_be_planned_is_noted_and_the_others_go_on(pg):
    channel = [{"channel": "mall", "quota": 1}]
    document = msgspec.json.encode({"sku": "tea", "channels": channel}).decode()
    for sku in ("tea", "b"):
        await pg.execute(
            "INSERT INTO supply_policies"
            " (tenant, policy, owner, sku, version, document, actor, planned, planned_version)"
            " VALUES ('main', $1, 'acme', $1, 1, $2, 'test', $2, 1)",
            sku, document.replace("tea", sku),
        )  # fmt: skip
    await pg.execute("ALTER TABLE cell_rules ADD CHECK (field NOT LIKE E'offer%\\x1fb')")
    await pg.execute(
        "INSERT INTO stock_changes (tenant, sku) VALUES ('main', 'b'), ('main', 'tea')"
    )
    assert await planning.plan(RUNTIME, pg)
    assert await pg.fetchval("SELECT count(*) FROM cell_rules WHERE field LIKE E'offer%\\x1ftea'")
    assert (await noted(pg)).startswith("sku b, version 0, cannot be planned: CheckViolationError")
    assert not await planning.plan(RUNTIME, pg), "nothing is left to do at once"
    await pg.execute("ALTER TABLE cell_rules DROP CONSTRAINT cell_rules_field_check")
    assert await planning.plan(RUNTIME, pg)
    assert await noted(pg) == ""


@pytest.mark.usefixtures("shelf")
async def test_a_pool_that_is_being_written_to_follows_later(pg, database_url):
    """The planner waits for no recorder, and plans the SKU only once its pools are where it is."""
    await put_campaign(pg, "a", campaign())
    assert await planning.plan(RUNTIME, pg)
    await pg.execute(
        "UPDATE pools SET granted = 5, held = 3, available = 2;"
        " UPDATE grants SET applied = delta;"
        " INSERT INTO nodes (tenant, node, version, document, actor)"
        " VALUES ('main', 'E', 1, '{\"name\": \"E\", \"group\": \"east\"}', '');"
        " INSERT INTO stock_keys (tenant, node, owner, sku, condition, batch)"
        " VALUES ('main', 'E', 'acme', 'tea', 'good', '');"
        " INSERT INTO stock_balances (key_id, counted, as_of) SELECT key_id, 9, now()"
        " FROM stock_keys; INSERT INTO stock_changes (tenant, sku) VALUES ('main', 'tea')"
    )
    other = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.execute("UPDATE pools SET held = 4, available = 1")
        assert await planning.plan(RUNTIME, pg)
        assert await pg.fetchval("SELECT array_agg(node_group) FROM pools") == [""]
        assert await pg.fetchval("SELECT count(*) FROM stock_changes") == 1
    await other.close()
    assert await planning.plan(RUNTIME, pg)
    rows = await pg.fetch(
        "SELECT p.node_group, p.campaign, p.held, sum(g.delta)::int FROM pools AS p"
        " JOIN grants AS g USING (pool_id) GROUP BY 1, 2, 3 ORDER BY 2"
    )
    assert [tuple(row) for row in rows] == [("east", "", 0, 4), ("east", "a", 4, 5)]
    assert not await pg.fetchval("SELECT count(*) FROM stock_shorts")
