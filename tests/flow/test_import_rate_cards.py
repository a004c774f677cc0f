"""`tidegate import rate-cards` and `import regions`, as processes of their own."""

import msgspec
import pytest

from engine.carriers import api
from engine.infra.runtime import RUNTIME
from engine.places.service import places
from tests.flow.surface import Surface, served

HEADER = "card,service,origin,dest,first_grams,first,step_grams,step,effective_from"
SINCE = "2026-01-01T00:00:00+08:00"
SERVICE = {"carrier": "sf", "tier": "standard", "zones": {"*": "all"}, "days": {"all": 3}}


@pytest.fixture
async def here(settings, database_url):
    async with served(settings, database_url, (api,), Surface) as one:
        for service in ("air", "road"):
            await one.call("PUT", f"/v1/carriers/{service}", SERVICE, 201)
        yield one


@pytest.fixture
def file(tmp_path):
    def write(*rows, header=HEADER):
        path = tmp_path / "cards.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8-sig")
        return path

    return write


ROWS = (
    f"air-26,air,,310000,1000,1200,1000,200,{SINCE}",
    f"air-26,air,330100,440000,1000,1800,1000,600,{SINCE}",
    f"road-26,road,,,3000,900,1000,100,{SINCE}",
)


async def test_a_file_is_imported_and_again_changes_nothing(here, file):
    told = await here.import_("rate-cards", file(*ROWS), "--dry-run")
    assert (told.returncode, told.stdout) == (
        0, "2 cards, 2 created, 0 changed, 0 unchanged (dry run: nothing was changed)\n"
    )  # fmt: skip
    assert (await here.call("GET", "/v1/rate-cards"))["items"] == []
    told = await here.import_("rate-cards", file(*ROWS), "--json")
    assert msgspec.json.decode(told.stdout) == {
        "cards": 2, "created": 2, "changed": 0, "unchanged": 0, "dry_run": False, "errors": [],
    }  # fmt: skip
    card = await here.call("GET", "/v1/rate-cards/air-26")
    assert [(one["origin"], one["dest"], one["first"]) for one in card["lines"]] == [
        ("", "310000", 1200), ("330100", "440000", 1800)
    ]  # fmt: skip
    told = await here.import_("rate-cards", file(*ROWS))
    assert told.stdout == "2 cards, 0 created, 0 changed, 2 unchanged\n"


async def test_a_new_version_keeps_the_surcharges(here, file):
    body = {
        "service": "air", "effective_from": SINCE, "lines": [{"first_grams": 1, "first": 1}],
        "surcharges": [{"kind": "peak", "fixed": 100, "from": "2026-11-01T00:00:00Z"}],
    }  # fmt: skip
    before = await here.call("PUT", "/v1/rate-cards/air-26", body, 201)
    header = HEADER.removesuffix(",effective_from")
    rows = file("air-26,air,,,1000,1300,1000,200", header=header)
    told = await here.import_("rate-cards", rows, "--effective-from", "2126-01-01T00:00:00Z")
    assert told.stdout == "1 cards, 0 created, 1 changed, 0 unchanged\n", told.stderr
    card = await here.call("GET", "/v1/rate-cards/air-26")
    assert (card["version"], card["surcharges"]) == (2, before["surcharges"])


REFUSED = [
    ((ROWS[0], ROWS[0]), "line 3: has the origin and destination of a line before it"),
    ((ROWS[0].replace("1200", "12.00"),), "line 2, first: must be a whole number"),
    ((ROWS[0].replace(",air,", ",sea,"),), "line 2, service: there is no such service"),
    ((ROWS[0].replace("26-01-01", "26-13-01"),), "line 2, effective_from: "),
    ((ROWS[0], ROWS[1].replace("2026", "2025")), "line 3, effective_from: must be that of"),
    (("air-26,air,,1", ROWS[2]), "line 2: 4 fields where the header has 9"),
    ((",air,,,1,1,1,1," + SINCE,), "line 2, card: is required"),
    (("a,air,,,1,1,1,1,",), "line 2, effective_from: is required, here or as"),
    (("a,air,,,1,1,,1," + SINCE,), "line 2, step_grams: is required with step"),
]


@pytest.mark.parametrize(("rows", "detail"), REFUSED, ids=lambda one: str(one)[-40:])
async def test_of_a_file_with_a_bad_row_nothing_is_kept(here, file, rows, detail):
    told = await here.import_("rate-cards", file(*rows, ROWS[2]))
    assert told.returncode == 1
    assert told.stderr.startswith(detail), told.stderr
    assert told.stderr.endswith("nothing was imported\n")
    assert (await here.call("GET", "/v1/rate-cards"))["items"] == []


async def test_what_is_in_force_is_refused_by_its_row(here, file):
    await here.import_("rate-cards", file(*ROWS))
    told = await here.import_("rate-cards", file(ROWS[0].replace("1200", "1300"), *ROWS[1:]))
    assert told.stderr.startswith("line 2, effective_from: version 1 stays as it is"), told.stderr
    assert (await here.call("GET", "/v1/rate-cards/air-26"))["version"] == 1


async def test_what_is_no_such_file_is_refused(here, file):
    assert (await here.import_("rate-cards", file(header="a,b"))).returncode == 2
    assert (await here.import_("rate-cards", file())).returncode == 2


async def test_regions_of_ones_own_are_imported_and_count_first(here, file):
    rows = ("330110,余杭区,30.42,120.30", "X1,Depot,,", "X2,Wrong,99,1", "X3,Half,1,")
    told = await here.import_("regions", file(*rows, header="code,name,latitude,longitude"))
    assert told.returncode == 1
    assert "2 changed, 0 unchanged, 2 rejected" in told.stdout
    assert "line 4, latitude: must be degrees, up to 90" in told.stderr
    assert "line 5, latitude: is required with longitude" in told.stderr
    async with here.app[RUNTIME].pool.acquire() as db:
        known = await places.all_regions(db, "main")
    assert known.point("330110") == (30.42, 120.3)
    assert known.name("X1") == "Depot"
