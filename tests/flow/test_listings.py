"""Listings from HTTP and from files into Postgres and into the memory of a process."""

import asyncio

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from engine.catalogue import api as catalogue
from engine.catalogue.store import SKUS
from engine.catalogue.types import SkuFields
from engine.channels import api as channels
from engine.channels.store import CHANNELS
from engine.channels.types import ChannelFields
from engine.infra.http import keys, openapi
from engine.listings import api
from engine.listings.registry import LISTINGS, Listings
from tests.flow.surface import ADMIN, Surface, served

SLICES = (keys, catalogue, channels, api)
OPERATIONS = [one for slice_ in SLICES for one in slice_.OPERATIONS]
HEADER = "channel,item_id,sku_id,sku,units_per\n"


def row(item="1", sku="A", units=1, channel="shop", **more):
    return {"channel": channel, "item_id": item, "sku": sku, "units_per": units, **more}


class Shop(Surface):
    """With channels shop and mall and SKUs A to C."""

    @property
    def listings(self):
        return self.app[LISTINGS]

    async def post(self, *rows, status=200, key=ADMIN, **more):
        return await self.call("POST", "/v1/listings", {"listings": rows, **more}, status, key)

    async def faults(self, *rows, **more):
        refusal = await self.post(*rows, status=400, **more)
        assert refusal["code"] == "validation_failed"
        return [(one["pointer"], one["detail"]) for one in refusal["errors"]]

    async def kept(self, **query):
        page = await self.call("GET", "/v1/listings", **query)
        return [(one["channel"], one["item_id"], one["sku"], one["units_per"])
                for one in page["items"]]  # fmt: skip

    async def bound(self, channel, *scopes):
        body = {"name": "shop", "scopes": scopes, "channel": channel}
        return (await self.call("POST", "/v1/keys", body, 201))["key"]


def remember(app, process):
    app[LISTINGS] = Listings(process.pool, process.clock)


@pytest.fixture
async def shop(settings, database_url, pg):
    async with served(settings, database_url, SLICES, Shop, remember) as one:
        for channel in ("shop", "mall"):
            await CHANNELS.insert(pg, "main", channel, ChannelFields(channel), "test")
        for sku in "ABC":
            await SKUS.insert(pg, "main", sku, SkuFields(sku), "test")
        yield one


@pytest.fixture
def file(tmp_path):
    def write(*rows, encoding="utf-8"):
        path = tmp_path / "listings.csv"
        path.write_text(HEADER + "".join(f"{one}\n" for one in rows), encoding=encoding)
        return path

    return write


async def test_what_is_posted_is_kept_counted_and_known_at_once(shop):
    rows = [row(), row(sku_id="red", units=2), row("2", "B", 10_000)]
    counts = {"created": 3, "updated": 0, "unchanged": 0, "removed": 0, "doubled": 0}
    assert await shop.post(*rows) == counts
    assert await shop.post(*rows) == counts | {"created": 0, "unchanged": 3}
    assert shop.listings.resolve("main", "shop", "1", "red") == [("A", 2)]
    assert await shop.post(row(units=5), row("3")) == counts | {"created": 1, "updated": 1}
    assert await shop.kept() == [
        ("shop", "1", "A", 5), ("shop", "1", "A", 2), ("shop", "2", "B", 10_000),
        ("shop", "3", "A", 1),
    ]  # fmt: skip
    (one,) = (await shop.call("GET", "/v1/listings", item_id="2"))["items"]
    assert one["actor"] == "admin"
    assert set(one) == {field.name for field in msgspec.structs.fields(api.ListingView)}


async def test_every_process_learns_what_one_was_told(here, pg, eventually):
    await CHANNELS.insert(pg, "main", "shop", ChannelFields("shop"), "test")
    await SKUS.insert(pg, "main", "A", SkuFields("A"), "test")
    one, other = await here.api(), await here.api()
    known = other.client.app[LISTINGS]
    assert (await one.call("POST", "/v1/listings", {"listings": [row()]})).status == 200
    await eventually(lambda: known.resolve("main", "shop", "1", "") == [("A", 1)])
    gone = await one.call("DELETE", "/v1/listings?channel=shop&item_id=1")
    assert gone.document == {"removed": 1}
    await eventually(lambda: known.resolve("main", "shop", "1", "") == [])


async def test_a_link_told_twice_keeps_both_and_is_an_alarm_until_it_is_replaced(shop):
    await shop.post(row(), row("2"))
    assert (await shop.post(row(sku="B"), row("2")))["doubled"] == 1
    assert shop.listings.resolve("main", "shop", "1", "") == [("A", 1), ("B", 1)]
    (alarm,) = (await shop.call("GET", "/v1/listings:alarms", reason="doubled"))["items"]
    assert (alarm["item_id"], alarm["skus"], alarm["orders"]) == ("1", ["A", "B"], 0)
    assert set(alarm) == {field.name for field in msgspec.structs.fields(api.AlarmView)}
    kept = await shop.post(row(sku="C"), replace=True)
    assert (kept["created"], kept["removed"], kept["doubled"]) == (1, 2, 0)
    assert shop.listings.resolve("main", "shop", "1", "") == [("C", 1)]
    assert shop.listings.resolve("main", "shop", "2", "") == [("A", 1)], "it was not named"
    assert (await shop.call("GET", "/v1/listings:alarms"))["items"] == []


async def test_two_that_replace_the_same_link_at_once_do_not_double_it(shop):
    for round_ in range(10):
        async with asyncio.TaskGroup() as tasks:
            for sku in "ABC":
                tasks.create_task(shop.post(row(str(round_), sku), replace=True))
        assert len(await shop.kept(item_id=str(round_))) == 1


async def test_every_bad_row_is_named_and_nothing_is_changed(shop):
    faults = await shop.faults(
        row("1"),
        row("2", "X"),
        row("3", units=0),
        row("4", channel="gone"),
        {"channel": "shop", "item_id": "5"},
        row("6", "Y", channel="gone"),
        row("7", extra=1),
        row("1", units=2),
        row("8\x00"),
        7,
        row("9", units=1.0),
    )
    assert [pointer for pointer, _ in faults] == [
        "/listings/1/sku", "/listings/2/units_per", "/listings/3/channel", "/listings/4/sku",
        "/listings/5/channel", "/listings/5/sku", "/listings/6/extra", "/listings/7/units_per",
        "/listings/8/item_id", "/listings/9", "/listings/10/units_per",
    ]  # fmt: skip
    assert faults[0][1] == "there is no such SKU"
    assert await shop.kept() == []


async def test_of_many_bad_rows_fifty_are_named(shop):
    refusal = await shop.post(*(row(str(n), "X") for n in range(60)), status=400)
    assert len(refusal["errors"]) == 50
    assert refusal["errors"][49]["pointer"] == "/listings/49/sku"
    assert "10 more errors are not shown" in refusal["detail"]


async def test_a_request_has_1_to_5000_rows(shop):
    assert [pointer for pointer, _ in await shop.faults()] == ["/listings"]
    rows = [row(str(n)) for n in range(5_001)]
    assert [pointer for pointer, _ in await shop.faults(*rows)] == ["/listings"]
    assert (await shop.post(*rows[:5_000]))["created"] == 5_000


async def test_pages_follow_each_other(shop):
    await shop.post(*(row(str(n)) for n in range(5)))
    first = await shop.call("GET", "/v1/listings", limit="3")
    rest = await shop.call("GET", "/v1/listings", limit="3", cursor=first["next_cursor"])
    items = [one["item_id"] for one in first["items"] + rest["items"]]
    assert items == ["0", "1", "2", "3", "4"]
    assert rest["next_cursor"] is None
    await shop.call("GET", "/v1/listings", status=400, cursor="x")


async def test_a_mapping_can_be_removed(shop):
    await shop.post(row(), row(sku="B"), row(sku_id="red"))
    link = {"channel": "shop", "item_id": "1"}
    path = "/v1/listings"
    assert await shop.call("DELETE", path, **link, sku="B") == {"removed": 1}
    assert shop.listings.resolve("main", "shop", "1", "") == [("A", 1)]
    await shop.call("DELETE", path, status=404, **link, sku="B")
    assert await shop.call("DELETE", path, **link) == {"removed": 1}
    assert shop.listings.resolve("main", "shop", "1", "red") == [("A", 1)]
    assert await shop.call("DELETE", path, **link, sku_id="red") == {"removed": 1}
    for missing in ({"item_id": "1"}, {"channel": "shop"}, {"channel": "", "item_id": "1"}):
        await shop.call("DELETE", path, status=400, **missing)


async def test_a_bound_key_sees_and_changes_its_channel_alone(shop):
    await shop.post(row(), row(sku="B"), row(channel="mall"), row(sku="B", channel="mall"))
    key = await shop.bound("shop", "stock:read", "stock:write")
    assert {one["channel"] for one in
            (await shop.call("GET", "/v1/listings", key=key))["items"]} == {"shop"}  # fmt: skip
    alarms = await shop.call("GET", "/v1/listings:alarms", key=key)
    assert [one["channel"] for one in alarms["items"]] == ["shop"]
    for path in ("/v1/listings", "/v1/listings:alarms"):
        told = [await shop.call("GET", path, key=key, channel=one) for one in ("mall", "gone")]
        assert told == [{"items": [], "next_cursor": None}] * 2
    for channel in ("mall", "gone"):
        refusal = await shop.post(row("2"), row("2", channel=channel), key=key, status=403)
        assert refusal["code"] == "forbidden"
        link = {"channel": channel, "item_id": "1"}
        await shop.call("DELETE", "/v1/listings", key=key, status=403, **link)
    assert len(await shop.kept()) == 4
    assert (await shop.post(row("2"), key=key))["created"] == 1


async def test_each_call_needs_its_scope(shop):
    reader, writer = await shop.bound("", "stock:read"), await shop.bound("", "stock:write")
    await shop.post(row(), key=reader, status=403)
    link = {"channel": "shop", "item_id": "1"}
    await shop.call("DELETE", "/v1/listings", key=reader, status=403, **link)
    for path in ("/v1/listings", "/v1/listings:alarms"):
        await shop.call("GET", path, key=writer, status=403)


async def test_an_unknown_reason_is_refused(shop):
    refusal = await shop.call("GET", "/v1/listings:alarms", status=400, reason="x")
    assert "unmapped, doubled, unknown_sku" in refusal["errors"][0]["detail"]


def test_the_calls_are_described():
    document = openapi.document(OPERATIONS, "1")
    OpenAPIV31SpecValidator(document).validate()
    assert set(document["paths"]["/v1/listings"]) == {"post", "get", "delete"}
    assert "get" in document["paths"]["/v1/listings:alarms"]


async def test_a_file_is_imported_as_it_would_be_posted(shop, file):
    path = file("shop,1,,A,1", "shop,2,red,B,3", "mall,1,,A,1", encoding="utf-8-sig")
    told = await shop.import_("listings", path)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == "3 created, 0 updated, 0 unchanged, 0 removed, 0 doubled\n"
    assert len(await shop.kept()) == 3
    told = await shop.import_("listings", file("shop,1,,B,1", "shop,2,red,B,4"), "--json")
    assert msgspec.json.decode(told.stdout) == {
        "created": 1, "updated": 1, "unchanged": 0, "removed": 0, "doubled": 1, "dry_run": False,
        "errors": [],
    }  # fmt: skip
    told = await shop.import_("listings", file("shop,1,,B,1"), "--replace")
    assert told.stdout == "0 created, 0 updated, 1 unchanged, 1 removed, 0 doubled\n"
    await shop.listings.refresh()
    assert shop.listings.resolve("main", "shop", "1", "") == [("B", 1)]


async def test_a_dry_run_counts_and_changes_nothing(shop, file):
    await shop.post(row())
    told = await shop.import_(
        "listings", file("shop,1,,B,1", "shop,2,,A,1"), "--dry-run", "--replace"
    )
    assert told.returncode == 0
    assert told.stdout == (
        "2 created, 0 updated, 0 unchanged, 1 removed, 0 doubled (dry run: nothing was changed)\n"
    )
    assert await shop.kept() == [("shop", "1", "A", 1)]


async def test_bad_rows_are_named_by_their_lines_and_nothing_is_imported(shop, file):
    path = file("shop,1,,A,1", "shop,2,,X,1", "", "gone,3,,A,1", "shop,4,,A,many", "shop,5")
    told = await shop.import_("listings", path)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.splitlines() == [
        "line 3, sku: there is no such SKU",
        "line 5, channel: there is no such channel",
        "line 6, units_per: must be a whole number from 1 to 10000",
        "line 7: 2 fields where the header has 5",
        "nothing was imported",
    ]
    assert await shop.kept() == []
    told = await shop.import_("listings", path, "--json")
    assert told.returncode == 1
    errors = msgspec.json.decode(told.stdout)["errors"]
    assert errors[0] == {"line": 3, "field": "sku", "detail": "there is no such SKU"}
    assert len(errors) == 4


async def test_what_is_no_file_of_listings_is_a_usage_error(shop, file, tmp_path):
    told = await shop.import_("listings", file("shop,商品,,A,1", encoding="gbk"))
    assert told.returncode == 2
    assert "listings.csv is not UTF-8" in told.stderr
    assert "GBK" in told.stderr
    assert (await shop.import_("listings", tmp_path / "missing.csv")).returncode == 2


async def test_without_an_instance_the_answer_is_3(shop, file):
    told = await shop.import_("listings", file("shop,1,,A,1"), url=False)
    assert told.returncode == 3
    assert "start one with `tidegate up`, or set TIDEGATE_DATABASE_URL" in told.stderr
