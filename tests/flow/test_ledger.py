"""The ledger over HTTP: postings that balance, by order, SKU, pool, account and instant."""

from collections import Counter

import pytest

from tests.conftest import eventually
from tests.fault.engines import ADMIN, campaign_of, house, id_of


@pytest.fixture
async def api(settings):
    """A sale of which one order is pending, one paid and given back, one cancelled."""
    async with house(settings) as here:
        await here.worker("keeper", "sweeper", "settler", "publisher", "recorder")
        one = await here.api()
        for path, body in campaign_of({"A": 10, "B": 10}):
            assert (await one.call("PUT", path, body)).status == 201
        await eventually(lambda: sold(one), within_s=20)
        for n in ("2", "3"):
            assert (await one.buy(n, ("A", 1), ("B", 2))).status == 202
        await one.pay(id_of("2"), "p", 300)
        await one.cancel(id_of("3"), "c")
        await eventually(lambda: paid(one), within_s=20)
        await one.cancel(id_of("2"), "d")
        await eventually(lambda: returned(one), within_s=20)
        yield one


async def sold(api):
    return (await api.buy("1", ("A", 1))).status in {202, 200}


async def paid(api):
    return await api.process.pool.fetchval("SELECT count(*) FROM ledger WHERE kind = 'confirmed'")


async def returned(api):
    return await api.process.pool.fetchval("SELECT count(*) FROM ledger WHERE kind = 'returned'")


async def items(api, path="/v1/ledger", status=200, key=ADMIN, **query):
    """Read all pages, two rows each."""
    found, cursor = [], ""
    while True:
        asked = "&".join(
            f"{name}={one}" for name, one in {**query, "cursor": cursor}.items() if one
        )
        bearer = f"Bearer {key}"
        answer = await api.call("GET", f"{path}?limit=2&{asked}", Authorization=bearer)
        assert answer.status == status, answer.document
        if status != 200:
            return answer.document
        found += answer.document["items"]
        cursor = answer.document["next_cursor"]
        if cursor is None:
            return found


async def test_an_order_is_followed_from_account_to_account(api):
    rows = await items(api, order=id_of("2"), sku="B")
    assert [(one["kind"], one["debit"], one["credit"], one["units"]) for one in rows] == [
        ("reserved", "hold", "pool", 2),
        ("confirmed", "pool", "hold", 2),
        ("confirmed", "sold", "pool", 2),
        ("returned", "returned", "sold", 2),
        ("returned", "pool", "returned", 2),
    ]
    assert {one["sku"] for one in rows} == {"B"}
    (total,) = await items(api, "/v1/ledger:sums", order=id_of("2"), sku="B")
    assert (total["debits"], total["credits"]) == (10, 10)
    assert {one["account"]: one["balance"] for one in total["accounts"]} == {
        "hold": 0, "pool": 0, "returned": 0, "sold": 0,
    }  # fmt: skip


async def test_all_postings_balance_and_come_to_the_pools(api):
    rows, sums = await items(api), Counter()
    assert len({(one["entry"], one["line"], one["part"]) for one in rows}) == len(rows)
    assert [one["entry"] for one in rows] == sorted(one["entry"] for one in rows)
    for one in rows:
        sums[one["pool"], one["debit"]] += one["units"]
        sums[one["pool"], one["credit"]] -= one["units"]
    pools = await api.process.pool.fetch("SELECT pool_id, available, held, sold FROM pools")
    assert {(row["pool_id"], sums[row["pool_id"], "pool"]) for row in pools} == {
        (row["pool_id"], row["available"]) for row in pools
    }
    assert all(sums[row["pool_id"], "hold"] == row["held"] for row in pools)
    totals = await items(api, "/v1/ledger:sums")
    assert {one["reference"] for one in totals} == {one["reference"] for one in rows}
    assert all(one["debits"] == one["credits"] for one in totals)
    assert sum(one["debits"] for one in totals) == sum(one["units"] for one in rows)


async def test_filters(api):
    rows = await items(api)
    pool = rows[0]["pool"]
    assert await items(api, pool=pool) == [one for one in rows if one["pool"] == pool]
    assert await items(api, sku="A") == [one for one in rows if one["sku"] == "A"]
    sold_ = [one for one in rows if "sold" in {one["debit"], one["credit"]}]
    assert await items(api, account="sold") == sold_
    since = sold_[0]["at"].replace("+", "%2B")
    assert await items(api, since=since) == [one for one in rows if one["at"] >= sold_[0]["at"]]
    assert await items(api, since="2099-01-01T00:00:00Z") == []
    for one in ({"sku": "none"}, {"pool": "none"}, {"order": "none"}):
        assert await items(api, **one) == await items(api, "/v1/ledger:sums", **one) == []
    assert "account" in str(await items(api, status=400, account="cash"))
    assert "since" in str(await items(api, status=400, since="yesterday"))
    far = "WyJ4IiwyMTQ3NDgzNjQ4LDFd"  # ["x", 2147483648, 1]
    assert "cursor" in str((await api.call("GET", f"/v1/ledger?cursor={far}")).document)


async def test_a_key_that_is_bound_sees_the_pools_of_its_channel(api):
    await api.call("PUT", "/v1/channels/other", {"name": "Other"})
    every = await items(api)
    seen = {}
    for channel in ("mall", "other"):
        body = {"name": channel, "scopes": ["stock:read"], "channel": channel}
        made = (await api.call("POST", "/v1/keys", body)).document
        asked = [{"order": id_of("2")}, {"pool": every[0]["pool"]}, {"sku": "A"}, {}]
        seen[channel] = [
            await items(api, path, key=made["key"], **query)
            for path in ("/v1/ledger", "/v1/ledger:sums")
            for query in asked
        ]
        one = "other" if channel == "mall" else "mall"
        await items(api, status=404, key=made["key"], channel=one)
    assert seen["other"] == [[]] * 8
    assert seen["mall"][3] == [one for one in every if one["channel"] == "mall"] != []
    assert all(seen["mall"])
