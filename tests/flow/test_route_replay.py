"""`tidegate route replay` as it is run: on orders that were bought, by its exit code and output."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tests.conftest import eventually
from tests.flow.fulfilment import NEAREST, brand
from tests.flow.surface import Surface

NORTH = """\
plan: north
stages:
  - seq: 1
    match: units > 1
    rules:
      - seq: 1
        filters: [{field: node, value: beijing}]
        scorers: [{metric: freight}]
  - seq: 2
    rules: [{seq: 1, name: nearest, scorers: [{metric: distance}]}]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "north.yaml"
    path.write_text(NORTH)
    return path


def hours(n):
    return (datetime.now(UTC) + timedelta(hours=n)).isoformat()


async def test_orders_that_were_bought_are_decided_by_a_plan_of_a_file(settings, pg, file):
    async with brand(settings, pg, eventually) as one:
        await one.activate(NEAREST)
        ids = []
        for n in (1, 2, 3):  # one after the other, so that it is known which are the latest
            ids.append(await one.buy(f"b{n}", ("tea", n)))
            await eventually(lambda: one.shipments(ids[-1]), within_s=30)
        shell = Surface(None, None, one.api.process.settings)
        words = "route", "replay", "--plan", file, "--since", hours(-1)
        done = await shell.command(*words, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        found = msgspec.json.decode(done.stdout)
        total = found["total"]
        assert (total["orders"], total["same"], found["as_recorded"]) == (3, 1, 3)
        assert total["parcels"] == {"decided": 3, "tried": 3}
        assert {each["order_id"] for each in found["largest"]} == set(ids[1:])
        (large,) = [each for each in found["largest"] if each["order_id"] == ids[2]]
        assert (large["tried"]["parcels"][0]["node"], large["tried"]["stage"]) == ("beijing", 1)
        assert large["decided"]["parcels"][0]["node"] == "hangzhou"
        done = await shell.command(*words, "--limit", "2")
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert lines[0].startswith("north beside what decided the latest 2 orders, ")
        assert any(line.startswith("beside near v1: 2 orders, 0 the same") for line in lines)
        assert any("hangzhou sf-std, 8.00 CNY" in line for line in lines)
        assert (
            "by the plans that decided them, 2 of 2 orders come out as they are recorded" in lines
        )
        assert {line.partition(":")[0] for line in lines} >= {"of then", "of now", "left out"}


@pytest.mark.usefixtures("pg")
async def test_what_it_refuses(settings, file, tmp_path):
    shell = Surface(None, None, settings)

    async def replay(*words, plan=file, url=True):
        done = await shell.command("route", "replay", "--plan", plan, *words, url=url)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    code, out, err = await replay("--since", hours(-1), "--json")
    assert (code, msgspec.json.decode(out)["total"]["orders"]) == (1, 0)
    assert err.startswith("nothing was compared of ")
    code, out, err = await replay("--since", "yesterday")
    assert (code, out) == (2, "")
    assert err.startswith("--since: 'yesterday' is not an instant with a zone")
    code, _, err = await replay("--since", hours(-1), "--until", hours(-2))
    assert (code, "is not before the end" in err) == (2, True)
    assert (await replay("--since", hours(-1), "--limit", "0"))[0] == 2
    assert (await replay())[0] == 2
    assert (await replay("--since", hours(-1), plan=tmp_path / "none.yaml"))[0] == 2
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(NORTH.replace("units > 1", "unit > 1"))
    code, out, err = await replay("--since", hours(-1), plan=wrong)
    assert (code, out) == (1, "")
    assert err.startswith(f"{wrong}:4:12: ")
    assert (await replay("--since", hours(-1), url=False))[0] == 3
