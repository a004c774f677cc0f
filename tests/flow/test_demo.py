"""The demo, small: a whole instance, a killed Valkey, and the proof; and its refusals."""

from dataclasses import replace

import msgspec

from engine import settings as settings_of
from engine.simulation import demand, demo, naive
from engine.simulation.fulfilment import wishes, world
from engine.simulation.fulfilment.types import MARKET
from engine.simulation.types import Demand, Line, Order

FOLLOWED = [
    "POST: ", "paid ", "blocked: review", "block lifted: review", "routed by plan ",
    "standard, ", "second: ", ": has it", "parcel ", ": collected", "signed for",
]  # fmt: skip
STEPS = [": accepted", ": picked", ": packed"]  # by the warehouse's clock, and told in any order
HEADER = "order_no,sku,name,quantity,placed_at,unit_price,buyer_id,country\n"


def own_instance():
    return replace(settings_of.load(), ephemeral=True, http_port=0)


def test_a_small_demo_proves_itself_and_says_so_in_one_json_document(capsys, monkeypatch):
    small, few = demand.seeded(demo.SEED, 700), wishes.seeded(demo.SEED, 60)
    monkeypatch.setattr(demand, "seeded", lambda _seed: small)
    monkeypatch.setattr(wishes, "seeded", lambda _seed: few)
    assert demo.run(own_instance(), None, as_json=True) == demo.PROVED
    told = capsys.readouterr()
    found = msgspec.json.decode(told.out)
    assert found["proved"] is True
    assert found["certificate"]["holds"] is True
    assert found["certificate"]["oversold_by_us"] == 0
    assert found["naive"]["oversold"] > 0
    assert found["orders"]["sent"] == 700
    assert found["orders"]["accepted"] == found["orders"]["recorded"] > 300
    assert found["payments"]["answered"] == found["payments"]["recorded"] > 100
    assert found["refused"]["sold_out"] > 0
    assert found["answers"]["replayed"] > 0
    assert found["orders"]["cancelled"] > 0
    assert found["orders"]["expired"] > 0
    assert found["orders"]["refund_due"] > 0
    assert 0 < found["interruption_s"] < 8
    assert "kill -9 of Valkey" in told.err
    assert_marketplaces(found)
    assert_fulfilment(found, few)


def assert_fulfilment(found, bought):
    """Each order arrived, was stopped, or waits with its reason; and all is told of one of them."""
    sent = found["fulfilment"]
    held = sum(one.risk >= world.RISK_MIN for one in bought) - 1  # the followed one was let go
    cut_off = sum(one.place == world.CUT_OFF for one in bought)
    answers = [one["answer"] for one in sent["stops"]]
    assert {*answers} == {"stopped", "not_stopped"}
    assert sent["orders"] == len(bought)
    waiting = {name.partition(":")[0]: orders for name, orders in sent["queues"].items()}
    assert waiting == {"HELD_RISK": held, "UNFILLABLE": cut_off}
    assert sent["delivered"] == len(bought) - held - cut_off - answers.count("stopped")
    by_parcels = {int(parcels): orders for parcels, orders in sent["orders_by_parcels"].items()}
    assert sent["parcels"] == sum(parcels * orders for parcels, orders in by_parcels.items())
    assert sum(by_parcels.values()) == sent["delivered"]
    assert sent["parcels_per_order"] == round(sent["parcels"] / sent["delivered"], 3) > 1
    assert sent["parcels"] >= sent["promise"]["kept"] > 0
    assert sent["promise"]["parcels"] == sum(sent["parcels_by_service"].values()) == sent["parcels"]
    assert set(sent["orders_by_node"]) == {site.node for site in world.SITES}
    freight, each = sent["freight"]["amount"], sent["freight_per_parcel"]["amount"]
    assert 0 < each == round(freight / sent["parcels"])
    assert 0 < sent["routed_ms"]["p50"] <= sent["routed_ms"]["p99"]
    assert sent["acks"].keys() == {"acked"}
    assert sent["acks"]["acked"] >= sum(one.channel == MARKET for one in bought) > 0
    assert sent["shipped_after_stop"] == found["certificate"]["shipped_after_stop"] == 0
    told = "\n".join(sent["followed"])
    places = [told.index(word) for word in FOLLOWED]
    assert places == sorted(places), told
    assert all(step in told for step in STEPS), told
    assert sent["followed_order"] in told


def assert_marketplaces(found):
    """All their orders are recorded, in spite of the feed, and what is owed can be named."""
    shops = found["marketplaces"]
    assert set(shops) == {"demo-tmall", "demo-douyin"}
    for counts in shops.values():
        assert counts["orders"] >= counts["created"] > 100  # one answer may have died with Valkey
        assert counts["updated"] > 50
        assert counts["stale"] > 0
        assert counts["unchanged"] > 0
    beyond = found["beyond_stock"]
    assert {row["channel"] for row in beyond} <= set(shops)
    assert found["certificate"]["sold_beyond_stock"] == sum(row["units"] for row in beyond) > 0
    assert all(row["orders"] > 0 for row in beyond)
    remedies = [row["remedy"] for row in beyond]
    assert all("free units from demo" in one or one.startswith("grant ") for one in remedies)


def test_a_malformed_file_is_refused_before_anything_starts(tmp_path, capsys):
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + "1,TEA,Tea,two,2010-12-01T08:26,2.55,b1,France\n")
    assert demo.run(own_instance(), path, as_json=False) == demo.USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"--orders {path}: line 2, column quantity: 'two' is not a whole")
    assert "starting" not in told.err


def shelf_of(units, orders):
    made = [Order(str(n), f"b{n}", 0.0, (Line("TEA", 1, 100),)) for n in range(orders)]
    return Demand(
        title="t", currency="CNY", orders=made, stock={"TEA": units}, names={"TEA": "Tea"}
    )


async def test_the_naive_script_oversells_because_it_is_many(valkey_url):
    """Alone it is right: what oversells is the race, not the arithmetic."""
    wanted = shelf_of(100, 1_000)
    assert (await naive.sell(valkey_url, wanted, clients=1)).sold == 100
    assert (await naive.sell(valkey_url, wanted, clients=64)).oversold > 0


async def test_the_naive_script_leaves_nothing_behind(valkey_url, valkey):
    await naive.sell(valkey_url, shelf_of(10, 50), clients=8)
    assert await valkey.dbsize() == 0
