"""What is hard about files of counts: parts of them, times, pipes, an end half-way."""

import asyncio
import csv
import os
import random

import msgspec
import pytest

from engine.infra import importing
from engine.infra.importing import Options
from engine.physical import importer
from engine.physical.service import imports
from tests.conftest import eventually
from tests.flow import test_physical_stock as physical

house, file = physical.house, physical.file


@pytest.fixture
def here(house, monkeypatch, capsys):
    """Import in this process, some rows at a time."""

    async def run(path, *, rows=2, dry_run=False, rejected=None):
        monkeypatch.setattr(importing, "_SLICE", rows)
        code = await importer.run(house.settings, Options(path, dry_run, rejected, as_json=True))
        told = msgspec.json.decode(capsys.readouterr().out)
        del told["dry_run"]
        return code, told

    return run


async def test_a_dry_run_knows_what_earlier_rows_would_have_done(here, file, house):
    path = file(
        "node,sku,quantity,as_of",
        *(f"N,A,{n},2026-11-11T00:00:00Z" for n in (1, 1, 2)),
        "N,A,9,2026-11-10T00:00:00Z",
        "N,A,3,2026-11-12T00:00:00Z",
    )
    dry = await here(path, dry_run=True)
    assert await house.held() == []
    assert dry[1] | {"errors": []} == {
        "rows": 5, "applied": 2, "stale": 2, "corrected": 2, "rejected": 1, "errors": [],
    }  # fmt: skip
    assert await here(path) == dry


@pytest.mark.parametrize("seed", range(8))
async def test_a_dry_run_tells_exactly_what_the_real_run_does(here, file, house, tmp_path, seed):
    dice = random.Random(seed)
    await house.count("k", {"sku": "A", "quantity": 2}, as_of="2026-11-12T00:00:00Z")
    rows = [
        ",".join((
            dice.choice("NNNNMX"), dice.choice("AAAABC"), dice.choice("012012x"), dice.choice("01"),
            dice.choice(["", "", "b"]), dice.choice(["on_hand", "available", ""]),
            f"2026-11-1{dice.randint(0, 3)}T00:00:00Z", dice.choice("01"),
            dice.choice([*[""] * 9, "2027-01-31"]),
        ))
        for _ in range(40)
    ]  # fmt: skip
    path = file("node,sku,quantity,locked,batch,basis,as_of,sequence,expires_on", *rows)
    many = dice.choice([1, 3, 7, 100])
    files = [tmp_path / name for name in ("dry.csv", "real.csv")]
    before = await house.held()
    dry = await here(path, rows=many, dry_run=True, rejected=files[0])
    assert await house.held() == before
    assert await here(path, rows=many, rejected=files[1]) == dry
    assert files[0].read_text() == files[1].read_text()
    counts = dry[1]
    assert counts["applied"] + counts["stale"] + counts["rejected"] == counts["rows"] == 40


async def test_control_the_files_have_what_a_dry_run_could_get_wrong(here, file, monkeypatch):
    """If a dry run that forgets its earlier rows is right, the tests above prove nothing."""
    keep = imports.keep
    monkeypatch.setattr(imports, "keep", lambda *told, earlier: keep(*told, earlier=earlier and {}))
    path = file("node,sku,quantity,as_of", *(f"N,A,{n},2026-11-11T00:00:00Z" for n in (1, 1, 2)))
    assert await here(path, dry_run=True) != await here(path)


async def test_a_pipe_is_refused_since_it_can_be_read_only_once(house):
    reader, writer = os.pipe()
    os.write(writer, b"node,sku,quantity\nN,A,5\n")
    os.close(writer)
    told = await house.import_("stock", f"/proc/{os.getpid()}/fd/{reader}")
    os.close(reader)
    assert (told.returncode, told.stdout) == (2, "")
    assert "pipe" in told.stderr
    assert await house.held() == []


async def test_a_sequence_may_have_nineteen_digits(here, file, house):
    path = file("node,sku,quantity,sequence", "N,A,5,1763856000000000000", f"N,B,1,{2**62 + 1}")
    code, told = await here(path)
    assert (code, told["applied"]) == (1, 1)
    assert "4611686018427387904" in told["errors"][0]["detail"]
    assert await house.held() == [("N", "A", "good", 5)]


async def test_a_rejected_row_keeps_the_instant_at_which_it_was_read(here, file, house, tmp_path):
    """Mended tomorrow it is still a count of today, and what came in between is not lost."""
    rejected = tmp_path / "rejected.csv"
    path = file("node,sku,quantity", "N,A,five")
    await here(path, rejected=rejected)
    with rejected.open(newline="") as lines:
        (row,) = csv.DictReader(lines)
    await house.move("r", physical.line("A", 3))
    mended = tmp_path / "mended.csv"
    mended.write_text(rejected.read_text().replace("five", "5"))
    assert row["as_of"]
    await here(mended)
    assert await house.held() == [("N", "A", "good", 8)]


@pytest.mark.parametrize("dates", ["2027-02-01,2027-01-31", "0001-01-01,20270131"])
async def test_dates_of_a_batch_are_in_order_and_spelled_as_they_are(here, file, house, dates):
    path = file("node,sku,quantity,batch,produced_on,expires_on", f"N,A,5,b,{dates}")
    code, told = await here(path)
    assert (code, told["rejected"]) == (1, 1)
    produced, expires = dates.split(",")
    refusal = await house.count(
        "k", {"sku": "A", "quantity": 5, "batch": "b", "produced_on": produced,
              "expires_on": expires}, status=400,
    )  # fmt: skip
    assert refusal["errors"][0]["pointer"] == "/lines/0/expires_on"


async def test_an_import_that_is_killed_half_way_is_finished_by_the_next(house, file, pg):
    many = 12_000
    rows = (f"N,A,{n % 7},{n},2026-11-11T00:00:00Z" for n in range(many))
    path = file("node,sku,quantity,batch,as_of", *rows)
    process = await asyncio.create_subprocess_exec(
        *house.commanded("import", "stock", path), env=house.environment(),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip

    async def some():
        return await pg.fetchval("SELECT count(*) FROM stock_balances WHERE as_of > '2026-01-01'")

    await eventually(some, 30)
    process.kill()
    await process.wait()
    told = await house.import_("stock", path, "--json")
    counts = msgspec.json.decode(told.stdout)
    assert counts["applied"] + counts["stale"] == many
    assert counts["stale"] > 0, "what was kept before the kill is not kept twice"
    held = await pg.fetchrow("SELECT count(*), sum(on_hand) FROM stock_balances")
    assert tuple(held) == (many, sum(n % 7 for n in range(many)))


async def test_an_import_whose_postgres_goes_away_says_how_far_it_came(house, file, pg):
    path = file("node,sku,quantity,batch", *(f"N,A,1,{n}" for n in range(12_000)))
    ended = asyncio.create_task(house.import_("stock", path))

    async def cut():
        return await pg.fetchval(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ="
            " current_database() AND query LIKE '%stock_balances%' AND pid <> pg_backend_pid()"
            " AND state <> 'idle' LIMIT 1"
        )

    await eventually(cut, 30)
    told = await ended
    assert told.returncode == 1
    assert "of 12,000 rows" in told.stderr
    assert "Traceback" not in told.stderr


async def test_a_full_disk_under_rejected_rows_is_told(house, file):
    path = file("node,sku,quantity", "N,A,many")
    told = await house.import_("stock", path, "--rejected", "/dev/full")
    assert told.returncode == 1
    assert "No space left" in told.stderr
    assert "Traceback" not in told.stderr
