"""A brand's files into a shadow, and what its report says of them."""

import csv

import msgspec
import pytest

from engine.catalogue import api as catalogue
from engine.channels import api as channels
from engine.infra.http import keys
from engine.listings import api as listings
from engine.physical import api as physical
from engine.shadow import files
from tests.flow.surface import Surface, served
from tests.unit.shadow.worlds import SHOPS, World, count, line, links, shown, syncing

SLICES = (keys, channels, catalogue, listings, physical)


class Brand(Surface):
    """With three shops, a node, and the SKU TEA behind a link in each shop."""

    def write(self, name, columns, facts):
        """Write facts as a file of a present system, instants and all."""
        path = self.folder / name
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(
                {
                    column: value.isoformat() if hasattr(value, "isoformat") else value
                    for column, value in told(fact).items()
                }
                for fact in facts
            )
        return path

    async def bring(self, world, *words):
        """Import a world; return what became of the rows, by kind."""
        told = {}
        for kind, columns, facts, more in (
            ("orders", files.ORDER_COLUMNS, world.lines, ()),
            ("stock", files.COUNT_COLUMNS, world.counts, ("--shadow",)),
            ("numbers", files.NUMBER_COLUMNS, world.shown, ()),
        ):
            path = self.write(f"{kind}.csv", columns, facts)
            done = await self.import_(kind, path, "--json", *more, *words)
            assert done.returncode == 0, done.stdout + done.stderr
            told[kind] = msgspec.json.decode(done.stdout)
        return told

    async def report(self, *words):
        done = await self.command("shadow", "report", "--json", "--lag", "0", *words)
        assert done.returncode == 0, done.stderr
        return msgspec.json.decode(done.stdout)

    async def live(self, pg):
        """Count the rows of everything that is not the shadow's."""
        tables = await pg.fetch("SELECT relname FROM pg_stat_user_tables ORDER BY relname")
        names = [row["relname"] for row in tables if not row["relname"].startswith("shadow_")]
        assert {"orders", "stock_balances", "stock_changes", "pools"} <= {*names}
        return {name: await rows_in(pg, name) for name in names}


def told(fact):
    """A fact by the names of its columns."""
    cells = fact._asdict()
    return {**cells, "line_id": cells.pop("line")} if "line" in cells else cells


async def rows_in(pg, table):
    return await pg.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - a table's name


@pytest.fixture
async def brand(settings, database_url, tmp_path):
    async with served(settings, database_url, SLICES, Brand) as one:
        one.folder = tmp_path
        for shop in SHOPS:
            body = {"name": shop, "authority": "external"}
            await one.call("PUT", f"/v1/channels/{shop}", body, 201)
        await one.call("PUT", "/v1/skus/TEA", {"name": "Tea", "owner": "brand"}, 201)
        await one.call("PUT", "/v1/nodes/dc", {"name": "Centre"}, 201)
        mapped = tmp_path / "listings.csv"
        rows = (f"{shop},i-TEA,,TEA,1\n" for shop in SHOPS)
        mapped.write_text(f"channel,item_id,sku_id,sku,units_per\n{''.join(rows)}")
        done = await one.import_("listings", mapped)
        assert done.returncode == 0, done.stderr
        yield one


async def test_from_files_to_the_report_and_its_page(brand, pg):
    before = await brand.live(pg)
    world = syncing(3, every_s=240)
    told = await brand.bring(world)
    assert told["orders"]["created"] == len(world.lines)
    assert told["stock"]["created"] == len(world.counts)
    assert told["numbers"]["created"] == len(world.shown)
    page = brand.folder / "shadow.html"
    found = await brand.report("--html", page)
    assert {(one["sku"], one["channel"]): one["units"] for one in found["oversold"]} == (
        world.oversold
    )
    firsts = {(one["sku"], one["channel"]): one["first_order"] for one in found["oversold"]}
    assert firsts == world.first
    assert await brand.live(pg) == before
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == len(found["drift"]) == 3
    assert text.count('<circle class="mark"') > 0
    assert "http" not in text, "a page that needs nothing else"
    shown_to_people = await brand.command("shadow", "report", "--lag", "0")
    assert shown_to_people.returncode == 0
    assert "two shops showed the same units: " in shown_to_people.stdout
    assert next(iter(world.first.values())) in shown_to_people.stdout


async def test_control_a_brand_without_faults(brand):
    await brand.bring(syncing(3, every_s=0))
    found = await brand.report()
    assert found["empty"]
    told = await brand.command("shadow", "report", "--lag", "0")
    assert "nothing to find" in told.stdout


async def test_the_same_files_again_change_nothing(brand, pg):
    world = syncing(4, every_s=240)
    await brand.bring(world)
    first = await brand.report()
    told = await brand.bring(world)
    for kind, rows in (("orders", world.lines), ("stock", world.counts), ("numbers", world.shown)):
        assert (told[kind]["unchanged"], told[kind]["created"]) == (len(rows), 0)
    assert await brand.report() == first
    assert await rows_in(pg, "shadow_lines") == len(world.lines)


async def test_a_dry_run_counts_and_keeps_nothing(brand):
    told = await brand.bring(syncing(4, every_s=240), "--dry-run")
    assert told["orders"]["created"] > 0
    done = await brand.command("shadow", "report")
    assert done.returncode == 1
    assert "there is nothing to report" in done.stderr


async def test_a_newer_version_of_a_line_counts_whichever_came_first(brand):
    world = World(mapped=links("TEA"))
    world.counts = [count(0, 5)]
    world.shown = [shown(0, 5)]
    world.lines = [line("t-1", 60, 7, version="10"), line("t-1", 60, 5, version="9")]
    told = await brand.bring(world)
    assert (told["orders"]["created"], told["orders"]["stale"]) == (1, 1)
    assert (await brand.report())["oversold_units"] == 2
    world.lines = [line("t-1", 60, 4, version="11")]
    told = await brand.bring(world)
    assert told["orders"]["updated"] == 1
    assert (await brand.report())["oversold_units"] == 0


async def test_bad_rows_are_named_and_a_mended_file_is_taken(brand):
    path, rejected = brand.folder / "orders.csv", brand.folder / "rejected.csv"
    path.write_text(
        "channel_order_id,placed_at,quantity,sku,item_id,cancelled_at\n"
        "o-1,2025-11-11T00:00:00Z,1,TEA,,\n"
        "o-2,2025-11-11 00:00:00,1,TEA,,\n"
        "o-3,2025-11-11T00:00:00Z,0,TEA,,\n"
        "o-4,2025-11-11T00:00:00Z,1,,,\n"
        "o-5,2025-11-11T00:00:00Z,1,GONE,,\n"
        ",2025-11-11T00:00:00Z,1,TEA,,\n"
        "o-7,2025-11-11T00:00:00Z,1,TEA,,2025-11-10T00:00:00Z\n"
        "o-1,2025-11-11T00:00:00Z,2,TEA,,\n"
        "8.8E+15,2025-11-11T00:00:00Z,1,TEA,,\n"
        "o-9,2199-01-01T00:00:00Z,1,TEA,\n",
        encoding="utf-8",
    )
    words = (path, "--channel", "tmall", "--rejected", rejected)
    done = await brand.import_("orders", *words, "--json")
    assert done.returncode == 1
    told = msgspec.json.decode(done.stdout)
    assert (told["created"], told["rejected"]) == (1, 9)
    assert [(one["line"], one["field"]) for one in told["errors"]] == [
        (3, "placed_at"), (4, "quantity"), (5, "sku"), (6, "sku"), (7, "channel_order_id"),
        (8, "cancelled_at"), (9, ""), (10, "channel_order_id"), (11, ""),
    ]  # fmt: skip
    text = rejected.read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["channel_order_id"] for row in rows][:2] == ["o-2", "o-3"]
    text = text.replace("2025-11-11 00:00:00", "2025-11-11T00:00:00Z")
    rejected.write_text("\n".join(text.splitlines()[:2]) + "\n", encoding="utf-8")
    done = await brand.import_("orders", rejected, "--channel", "tmall", "--json")
    assert msgspec.json.decode(done.stdout)["created"] == 1


async def test_orders_of_channels_that_do_not_exist_and_of_none_are_refused(brand):
    path = brand.folder / "orders.csv"
    path.write_text("channel_order_id,placed_at,quantity,sku\no-1,2025-11-11T00:00:00Z,1,TEA\n")
    for words, told in ((("--channel", "jd"), "there is no channel 'jd'"), ((), "is required")):
        done = await brand.import_("orders", path, *words)
        assert done.returncode == 1
        assert told in done.stderr


async def test_a_history_of_counts_says_when_each_was_made(brand):
    path = brand.folder / "stock.csv"
    path.write_text("node,sku,quantity,safety,received_at\ndc,TEA,5,2,\n")
    done = await brand.import_("stock", path, "--shadow")
    assert done.returncode == 1
    assert "as_of is required" in done.stderr.replace(":", "")


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        ("orders", "channel_order_id,placed_at,quantity"),
        ("numbers", "seen_at,quantity"),
    ],
)
async def test_what_is_no_such_file_is_refused_as_a_whole(brand, kind, header):
    path = brand.folder / "other.csv"
    path.write_text("a,b\n1,2\n")
    done = await brand.import_(kind, path)
    assert done.returncode == 2
    assert header in done.stderr


async def test_terms_that_are_no_instants_are_refused(brand):
    done = await brand.command("shadow", "report", "--since", "yesterday")
    assert done.returncode == 2
    assert "--since: 'yesterday' is not an instant" in done.stderr


async def test_facts_are_forgotten(brand, pg):
    await brand.bring(syncing(4, every_s=240))
    done = await brand.command("shadow", "forget")
    assert done.stdout.startswith("forgotten: ")
    for table in ("shadow_lines", "shadow_counts", "shadow_numbers"):
        assert await rows_in(pg, table) == 0
