"""Physical stock over HTTP and from files."""

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from engine.catalogue import api as catalogue
from engine.infra.http import keys, openapi
from engine.physical import api
from tests.conftest import eventually
from tests.flow.surface import Surface, served

SLICES = (keys, catalogue, api)
OPERATIONS = [one for slice_ in SLICES for one in slice_.OPERATIONS]
MOVEMENTS, COUNTS = "/v1/inventory/movements", "/v1/inventory/counts"
BALANCES = "/v1/inventory/balances"


class House(Surface):
    """With nodes N and M and SKUs A to C."""

    async def move(self, reference, *lines, status=200, kind="receipt", **more):
        body = {"reference": reference, "kind": kind, "lines": lines, **more}
        return await self.call("POST", MOVEMENTS, body, status)

    async def count(self, report, *lines, status=200, **more):
        body = {"report": report, "node": "N", "basis": "on_hand", "lines": lines,
                "as_of": "2026-11-11T00:00:00Z"} | more  # fmt: skip
        return await self.call("POST", COUNTS, body, status)

    async def held(self, **query):
        page = await self.call("GET", BALANCES, **query)
        return [(one["node"], one["sku"], one["condition"], one["sellable"])
                for one in page["items"]]  # fmt: skip


@pytest.fixture
async def house(settings, database_url):
    async with served(settings, database_url, SLICES, House) as one:
        for node in "NM":
            await one.call("PUT", f"/v1/nodes/{node}", {"name": node}, 201)
        for sku in "ABC":
            body = {"name": sku, "units": {"case": 12} if sku == "A" else {}}
            await one.call("PUT", f"/v1/skus/{sku}", body, 201)
        yield one


def line(sku="A", quantity=1, node="N", **more):
    return {"node": node, "sku": sku, "quantity": quantity, **more}


async def test_a_movement_answers_with_what_there_is_then(house):
    lines = line(quantity=2, unit="case"), line("B", 3, condition="CC")
    first = await house.move(
        "r", *lines, reason="delivery 7", happened_at="2026-11-11T00:00:00+08:00"
    )
    told = [(one["quantity"], one["condition"], one["applied"], one["balance"]["on_hand"])
            for one in first["lines"]]  # fmt: skip
    assert told == [(24, "good", True, 24), (3, "defective", True, 3)]
    assert first["happened_at"] == "2026-11-10T16:00:00.000Z"
    await house.move("s", line())
    again = await house.move("r", *lines, reason="delivery 7", happened_at="2026-11-10T16:00:00Z")
    assert again == first
    other = await house.move("r", line(), status=422)
    assert other["code"] == "idempotency_conflict"
    assert await house.held() == [("N", "A", "good", 25), ("N", "B", "defective", 3)]


async def test_faults_point_at_their_lines(house):
    refusal = await house.move("r", line(), line("X", node="Y"), line(unit="box"), status=400)
    assert [(one["pointer"], one["detail"]) for one in refusal["errors"]] == [
        ("/lines/1/node", "there is no such node"),
        ("/lines/1/sku", "there is no such SKU"),
        ("/lines/2/unit", "the SKU has no such unit; it has: case"),
    ]
    for body in ({"lines": []}, {"lines": [line(condition="AA")]}, {"kind": "sale"}):
        good = {"reference": "r", "kind": "receipt", "lines": [line()]}
        refusal = await house.call("POST", MOVEMENTS, good | body, 400)
        assert refusal["code"] == "validation_failed"
    many = [line() for _ in range(501)]
    assert (await house.move("r", *many, status=400))["errors"][0]["pointer"] == "/lines"
    assert await house.held() == []


async def test_a_count_in_pages(house):
    await house.move("r", line("C", 9), happened_at="2026-11-10T00:00:00Z")
    head = {"pages": 2, "owner": "", "complete": True, "sequence": 3}
    one = await house.count("k", {"sku": "A", "quantity": 5, "locked": 1}, page=1, **head)
    assert (one["applied"], one["pages_missing"]) == (1, 1)
    two = await house.count("k", {"sku": "B", "quantity": 1, "unit": "case"}, page=2, status=400,
                            **head)  # fmt: skip
    assert two["errors"][0]["pointer"] == "/lines/0/unit"
    two = await house.count("k", {"sku": "B", "quantity": 1, "condition": "XS"}, page=2, **head)
    assert (two["applied"], two["zeroed"], two["pages_missing"]) == (1, 1, 0)
    assert await house.held() == [
        ("N", "A", "good", 4), ("N", "B", "box_damaged", 1), ("N", "C", "good", 0),
    ]  # fmt: skip
    assert await house.held(condition="XS") == [("N", "B", "box_damaged", 1)]
    assert await house.held(sku="A", node="N", condition="good") == [("N", "A", "good", 4)]
    refusal = await house.count("other", {"sku": "A", "quantity": 6}, sequence=3, status=422)
    assert "raise the sequence" in refusal["detail"]
    assert (await house.count("gone", node="X", status=400))["errors"][0]["pointer"] == "/node"
    (shown,) = (await house.call("GET", BALANCES, sku="A"))["items"]
    assert (shown["report"], shown["sequence"], shown["as_of"]) == (
        "k", 3, "2026-11-11T00:00:00.000Z",
    )  # fmt: skip


async def pages(house, path, **query):
    items, cursor = [], ""
    while cursor is not None:
        page = await house.call("GET", path, limit=2, cursor=cursor, **query)
        items += page["items"]
        cursor = page["next_cursor"]
    return items


async def test_lists_page_to_the_end(house):
    for n in range(3):
        await house.move(f"r{n}", line("A"), line("B", batch=f"b{n}"), line("B", node="M"))
    moved = await pages(house, MOVEMENTS)
    assert [one["reference"] for one in moved] == [f"r{n}" for n in range(3) for _ in range(3)]
    ids = [one["movement_id"] for one in moved]
    assert ids == sorted(set(ids))
    assert len(await pages(house, MOVEMENTS, sku="B", node="N")) == 3
    since = moved[3]["received_at"]  # to the millisecond, in which more may have come
    assert {one["movement_id"] for one in await pages(house, MOVEMENTS, since=since)} >= set(
        ids[3:]
    )
    assert await pages(house, MOVEMENTS, since="2099-01-01T00:00:00Z") == []
    held = [(one["node"], one["sku"], one["batch"]) for one in await pages(house, BALANCES)]
    assert held == [
        ("M", "B", ""), ("N", "A", ""), ("N", "B", "b0"), ("N", "B", "b1"), ("N", "B", "b2"),
    ]  # fmt: skip
    for path, wrong in [
        (MOVEMENTS, {"since": "yesterday"}), (MOVEMENTS, {"since": "2026-11-11T00:00:00"}),
        (MOVEMENTS, {"cursor": "WzEsIDld"}), (MOVEMENTS, {"cursor": "x"}),
        (BALANCES, {"condition": "bad"}), (BALANCES, {"cursor": "WzEsIDld"}),
    ]:  # fmt: skip
        await house.call("GET", path, status=400, **wrong)


async def test_the_list_of_movements_is_followed_to_its_end_and_further(house):
    seen, resume = [], ""

    async def further():
        nonlocal resume
        page = await house.call("GET", MOVEMENTS, limit=2, cursor=resume)
        resume = page["resume"] or ""
        seen.extend(one["reference"] for one in page["items"])
        return seen

    for n in range(3):
        await house.move(f"r{n}", line())
    await eventually(lambda: told(further(), {"r0", "r1", "r2"}))
    await house.move("r3", line())
    await eventually(lambda: told(further(), {"r0", "r1", "r2", "r3"}))
    assert (await house.call("GET", MOVEMENTS, node="M"))["resume"] is None


async def told(reading, wanted):
    return set(await reading) == wanted


async def test_keys_that_are_bound_or_lack_the_scope_are_refused(house):
    async def key(channel, *scopes):
        body = {"name": "a", "scopes": scopes, "channel": channel}
        return (await house.call("POST", "/v1/keys", body, 201))["key"]

    bound, reader = await key("mall", "stock:read", "stock:write"), await key("", "stock:read")
    body = {"reference": "r", "kind": "receipt", "lines": [line()]}
    for one in (bound, reader):
        await house.call("POST", MOVEMENTS, body, 403, key=one)
    for path in (MOVEMENTS, BALANCES):
        await house.call("GET", path, status=403, key=bound)
        await house.call("GET", path, key=reader)
    assert await house.held() == []


async def test_an_owner_stays_once_there_is_stock(house):
    await house.move("r", line("B"))
    await house.call("PUT", "/v1/skus/B", {"name": "B", "owner": "other"}, 409)
    await house.call("PUT", "/v1/skus/C", {"name": "C", "owner": "other"})
    moved = await house.move("s", line("C"), line("C", owner="third"))
    assert [one["owner"] for one in moved["lines"]] == ["other", "third"]


async def test_units_of_a_sku_are_checked(house):
    for units, pointer in [({"case": 0}, "/units"), ({"a\x00": 1}, "/units/a\x00")]:
        refusal = await house.call("PUT", "/v1/skus/D", {"name": "D", "units": units}, 400)
        assert refusal["errors"][0]["pointer"] == pointer


def test_the_calls_are_described():
    document = openapi.document(OPERATIONS, "1")
    OpenAPIV31SpecValidator(document).validate()
    assert set(document["paths"][MOVEMENTS]) == {"post", "get"}
    assert set(document["paths"][COUNTS]) == {"post"}
    assert set(document["paths"][BALANCES]) == {"get"}


@pytest.fixture
def file(tmp_path):
    def write(header, *rows, encoding="utf-8"):
        path = tmp_path / "stock.csv"
        path.write_text("\n".join((header, *rows)) + "\n", encoding=encoding)
        return path

    return write


async def test_a_file_is_imported_and_a_second_time_changes_nothing(house, file):
    path = file(
        "node,sku,quantity,locked,condition,batch,unit,basis,as_of,sequence,expires_on",
        "N,A,2,,,,case,,2026-11-11T00:00:00Z,,",
        "N,B,7,1,CC,b1,,available,2026-11-11T00:00:00Z,3,2027-01-31",
        "M,B,5,,,,,,2026-11-11T00:00:00Z,,",
        encoding="utf-8-sig",
    )
    told = await house.import_("stock", path)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == "3 rows, 3 applied, 0 stale, 3 corrected, 0 rejected\n"
    assert await house.held() == [
        ("M", "B", "good", 5), ("N", "A", "good", 24), ("N", "B", "defective", 7),
    ]  # fmt: skip
    told = await house.import_("stock", path, "--json")
    assert msgspec.json.decode(told.stdout) == {
        "rows": 3, "applied": 0, "stale": 3, "corrected": 0, "rejected": 0, "dry_run": False,
        "errors": [],
    }  # fmt: skip
    (shown,) = (await house.call("GET", BALANCES, condition="CC"))["items"]
    assert (shown["expires_on"], shown["locked"], shown["report"]) == (
        "2027-01-31", 1, "import stock.csv",
    )  # fmt: skip


async def test_bad_rows_are_written_down_and_a_mended_file_is_taken(house, file, tmp_path):
    rejected = tmp_path / "rejected.csv"
    path = file(
        "node,sku,quantity,as_of,unit",
        "N,A,5,2026-11-11T00:00:00Z,",
        "X,Y,5,,",
        "N,B,many,,",
        "N,B,1,,case",
        "N,A,6,2026-11-11T00:00:00Z,",
        "N,C",
        "N,C,3,2099-01-01T00:00:00Z,",
        "N,C,3,2026-11-11T00:00:00Z,",
    )
    told = await house.import_("stock", path, "--rejected", rejected)
    assert told.returncode == 1
    assert told.stdout == "8 rows, 2 applied, 0 stale, 2 corrected, 6 rejected\n"
    assert told.stderr.splitlines()[:3] == [
        "line 3, node: there is no such node",
        "line 3, sku: there is no such SKU",
        "line 4, quantity: must be a whole number from 0 to 1000000000",
    ]
    assert await house.held() == [("N", "A", "good", 5), ("N", "C", "good", 3)]
    written = rejected.read_text().splitlines()
    assert [one.split(",")[0] for one in written] == ["line", "3", "4", "5", "6", "7", "8"]
    assert written[1].startswith(
        "3,node,node there is no such node; sku there is no such SKU,X,Y,5"
    )
    rejected.write_text("\n".join([written[0], written[2].replace("many", "4")]) + "\n")
    told = await house.import_("stock", rejected)
    assert told.stdout == "1 rows, 1 applied, 0 stale, 1 corrected, 0 rejected\n"
    assert ("N", "B", "good", 4) in await house.held()


async def test_a_dry_run_of_a_file_counts_and_changes_nothing(house, file, tmp_path):
    path = file("node,sku,quantity", "N,A,5", "N,X,5")
    rejected = tmp_path / "rejected.csv"
    told = await house.import_("stock", path, "--dry-run", "--rejected", rejected)
    assert told.returncode == 1
    assert told.stdout == (
        "2 rows, 1 applied, 0 stale, 1 corrected, 1 rejected (dry run: nothing was changed)\n"
    )
    assert len(rejected.read_text().splitlines()) == 2
    assert await house.held() == []


async def test_what_is_no_file_of_counts_is_a_usage_error(house, file, tmp_path):
    for header, rows in [
        ("node,sku", ["N,A"]), ("node,sku,quantity,price", ["N,A,1,1"]),
        ("node,sku,quantity,sku", ["N,A,1,B"]), ("node,sku,quantity", []),
        ("node,sku,quantity", ["N,A,1"] * 3 + ['N,"A,1']),
    ]:  # fmt: skip
        told = await house.import_("stock", file(header, *rows))
        assert (told.returncode, told.stdout) == (2, ""), header
    told = await house.import_("stock", file("node,sku,quantity", "N,商品,1", encoding="gbk"))
    assert (told.returncode, "GBK" in told.stderr) == (2, True)
    path = file("node,sku,quantity", "N,A,1")
    assert (
        await house.import_("stock", path, "--rejected", tmp_path / "no" / "file")
    ).returncode == 2
    assert (await house.import_("stock", path, "--rejected", path)).returncode == 2
    assert "N,A,1" in path.read_text(), "the file itself is never written"
    assert await house.held() == []
    assert (await house.import_("stock", path, url=False)).returncode == 3


async def test_an_address_that_nobody_could_route_by_is_refused(house):
    body = {"name": "Z", "address": {"region_code": "1", "latitude": 1}}
    refusal = await house.call("PUT", "/v1/nodes/Z", body, 400)
    assert [one["pointer"] for one in refusal["errors"]] == [
        "/address/region_code", "/address/longitude",
    ]  # fmt: skip
    await house.call("GET", "/v1/nodes/Z", status=404)
