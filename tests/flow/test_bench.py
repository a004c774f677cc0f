"""The bench, tiny: that it measures what it says, fails when an order is lost, and leaves nothing.

Rates of so few orders mean nothing; nothing here looks at one.
"""

import asyncio
from dataclasses import replace

import asyncpg
import msgspec
import pytest

from engine import settings as settings_of
from engine.infra.servers import home
from engine.simulation.bench import bench, cpu, meter, routing, run
from engine.simulation.bench.run import Options

NO_CONDITIONS = "cel-expr-python is not installed, so no plan has conditions: pip install it"


@pytest.fixture
def folders(monkeypatch):
    """The temporary directories that are made from here on."""
    made, make = [], home._temporary  # noqa: SLF001 - where it is cannot be told otherwise

    def noted():
        path, lock = make()
        made.append(path)
        return path, lock

    monkeypatch.setattr(home, "_temporary", noted)
    return made


def measured(capsys, settings, *only, **options):
    given = Options(only=only, pairs=options.pop("pairs", 2), **({"orders": 300} | options))
    code = run.run(settings, given, as_json=True)
    told = capsys.readouterr()
    return code, msgspec.json.decode(told.out) if told.out else None, told.err


def rows(report):
    return {row["name"]: row for row in report["rows"]}


async def schemas(url):
    connection = await asyncpg.connect(url)
    try:
        named = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'bench_%'"
        return await connection.fetchval(named)
    finally:
        await connection.close()


def test_an_instance_of_its_own_is_measured_and_certified(capsys, folders):
    own_instance = replace(settings_of.load(), ephemeral=True)
    code, report, said = measured(capsys, own_instance, "bare,single")
    assert code == run.DONE, said
    found = rows(report)
    assert found["bare"]["statuses"] == found["single"]["statuses"] == {"202": 600}
    assert found["single"]["orders"] == 600
    assert report["faults"] == []
    assert report["certificate"]["holds"] is True
    assert report["certificate"]["accepted"] == report["certificate"]["recorded_there"] >= 600
    if cpu.visible():
        costs = found["single"]["cpu_us"]
        assert costs.keys() >= {"generator", "ingest", "cell", "recorder", "postgres", "total"}
        assert all(cost["median"] > 0 for cost in costs.values())
        assert found["single"]["to_bare"]["ingest"]["median"] > 0
    assert "round 2 of 2" in said
    (folder,) = folders
    assert not folder.exists()


def test_over_servers_of_others_their_cpu_is_not_made_up(capsys, settings):
    code, report, said = measured(capsys, settings, "paid,sold-out,cell,latency")
    assert code == run.DONE, said
    found = rows(report)
    assert found["paid"]["statuses"] == {"200": 600, "202": 600}
    assert found["sold-out"]["statuses"] == {"409": 600}
    assert found["cell"]["orders"] == 640
    assert found["latency"]["statuses"] == {"202": 600}
    assert "this postgres is not ours: its CPU is not shown" in report["notes"]
    assert not {"cell", "postgres"} & found["paid"]["cpu_us"].keys()


def test_an_instance_is_filled_and_measured_again(capsys, folders):
    own_instance = replace(settings_of.load(), ephemeral=True)
    code, report, said = measured(capsys, own_instance, "single", orders=200, filled=1_000, pairs=1)
    assert code == run.DONE, said
    found = report["filled"]
    assert (found["campaigns"], found["skus"], found["orders"]) == (10, 100, 1_000)
    accepted = {one["kind"]: (one["accepted"], one["open_holds"]) for one in found["parts"]}
    assert accepted == {"sync": (500, 0), "paid": (100, 0), "pending": (400, 400)}
    assert [row["name"] for row in found["rows"]] == ["bare", "single", "single-wide"]
    assert [row["orders"] for row in found["rows"][1:]] == [200, 200]
    assert found["start"]["orders"] == 0
    # each load has 200 to warm up and 200 that count
    assert found["before"]["orders"] == 400
    assert found["full"]["orders"] == 1_400
    assert found["after"]["orders"] == 2_200
    assert report["faults"] == []
    assert report["certificate"]["holds"] is True
    assert report["certificate"]["recorded_there"] == found["after"]["orders"]
    if cpu.visible():
        legs = {one["leg"] for one in found["growth"] if one["name"] == "single"}
        assert legs >= {"ingest", "cell", "recorder", "postgres", "total"}
    assert "CPU an order, filled : empty, single" in {bar["leg"] for bar in report["bars"]}
    assert found["bytes_per_open_hold"] > 0
    (folder,) = folders
    assert not folder.exists()


def test_what_a_user_would_write_is_measured_and_leaves_no_table(capsys, settings):
    code, report, said = measured(capsys, settings, "rowlock")
    assert code == run.DONE, said
    assert rows(report)["rowlock"]["statuses"] == {"202": 120}
    assert asyncio.run(schemas(settings.database_url)) == 0


def test_a_lost_order_fails_the_bench(capsys, settings, monkeypatch):
    """The control of all that hold: nothing else differs from them."""

    async def one_fewer(self, shelf):
        return await counted(self, shelf) - 1

    counted = meter.Meter.recorded_orders
    monkeypatch.setattr(meter.Meter, "recorded_orders", one_fewer)
    code, report, said = measured(capsys, settings, "single", pairs=1)
    assert code == run.FAILED
    assert report["faults"] == ["500 orders were accepted and 499 are recorded"]
    assert "no matter of speed" in said


def test_without_a_certificate_it_fails_and_still_tells_what_was_measured(
    capsys, settings, monkeypatch
):
    async def too_long(*_, **__):
        raise TimeoutError

    monkeypatch.setattr(bench, "certify", too_long)
    code, report, _ = measured(capsys, settings, "single", pairs=1)
    assert code == run.FAILED
    assert report["faults"] == ["no certificate: a statement took too long"]
    assert report["certificate"] is None
    assert rows(report)["single"]["orders"] == 300


def test_an_order_that_certainly_costs_more_than_the_baseline_ends_with_99(
    capsys, settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(run, "_AGAIN_PAIRS", 2)
    code, report, said = measured(capsys, settings, "single", pairs=1)
    assert code == run.DONE, said
    kept = tmp_path / "kept.json"
    for row in report["rows"]:
        for figure in row["to_bare"].values():
            figure["median"] /= 100
    kept.write_bytes(msgspec.json.encode(report))
    code, report, said = measured(capsys, settings, "single", pairs=1, against=kept)
    assert code == run.SLOWER
    assert [one["leg"] for one in report["changes"] if one["worse"]] == ["ingest", "recorder"]
    assert "single looked slower: measured again, 2 pairs" in said
    assert "measured again, 2 pairs" in "".join(report["notes"])
    assert "write a new baseline" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"only": ("speed",)}, "--only speed: there are bare, single"),
        ({"against": "kept.json"}, "cannot be read"),
        ({"filled": 1_000}, "--filled needs --ephemeral"),
    ],
)
def test_nonsense_is_refused_before_anything_starts(capsys, tmp_path, options, said):
    if "against" in options:
        options = {"against": tmp_path / "kept.json"}
    assert run.run(settings_of.load(), Options(**options), as_json=False) == run.USAGE
    told = capsys.readouterr()
    assert said in told.err
    assert "starting" not in told.err


@pytest.fixture
def few_to_warm_up(monkeypatch):
    monkeypatch.setattr(routing, "_WARM_UP", 60)


@pytest.mark.usefixtures("few_to_warm_up")
def test_routing_is_measured_in_a_database_of_its_own_that_is_gone_after(capsys, settings):
    code, report, said = measured(capsys, settings, "routing", pairs=1, orders=200, quick=True)
    if "library" in said:
        pytest.skip(NO_CONDITIONS)
    assert code == run.DONE, said
    found = [(row["nodes"], row["lines"], row["processes"]) for row in report["routing"]]
    assert found == [(20, "real", 1), (20, "real", 2), (20, "sale", 1), (20, "sale", 2)]
    for row in report["routing"]:
        assert row["orders"] == 200
        assert row["parcels"] >= 200
        cpu_us = row["cpu_us"]
        assert 0 < cpu_us["decide"] < cpu_us["router"]
        assert 0 < cpu_us["bind"] < cpu_us["router"]
    legs = {bar["leg"]: bar for bar in report["bars"]}
    assert legs["routing decision, CPU an order"]["hit"] in {True, False}
    assert not asyncio.run(databases(settings.database_url))


async def databases(url):
    connection = await asyncpg.connect(url)
    try:
        named = "SELECT datname FROM pg_database WHERE datname LIKE 'bench_routing_%'"
        return await connection.fetch(named)
    finally:
        await connection.close()


@pytest.mark.usefixtures("few_to_warm_up")
def test_an_order_that_is_not_routed_fails_the_bench(capsys, settings, monkeypatch):
    statement = "SELECT 1::bigint AS orders, 0::bigint AS parcels, length($1)::bigint AS waiting"
    monkeypatch.setitem(routing.SQL, "routed", statement)
    code, report, said = measured(capsys, settings, "routing", pairs=1, orders=20, quick=True)
    if "library" in said:
        pytest.skip(NO_CONDITIONS)
    assert code == run.FAILED
    assert "of 60 orders 1 are routed" in report["faults"][0]
