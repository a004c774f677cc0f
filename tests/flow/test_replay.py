"""The real order lines of the folder that TIDEGATE_TEST_DATA names, replayed through HTTP."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from engine import settings as settings_of
from engine.simulation import demo, orderfile

FOLDER = os.environ.get("TIDEGATE_TEST_DATA", "")
FILES = sorted(Path(FOLDER).glob("*.csv")) if FOLDER else []

pytestmark = pytest.mark.skipif(
    not FILES,
    reason="set TIDEGATE_TEST_DATA to a folder of order lines (*.csv with the columns of "
    "`tidegate demo --orders`) to replay them",
)


@pytest.mark.parametrize("path", FILES[:1], ids=lambda path: path.stem)
def test_real_orders_are_sold_up_to_the_shelf_and_never_beyond(path):
    replay(path)


@pytest.mark.soak
@pytest.mark.usefixtures("asked_for_soak")
@pytest.mark.parametrize("path", FILES[1:], ids=lambda path: path.stem)
def test_so_are_those_of_every_other_file(path):
    replay(path)


def replay(path):
    demand = orderfile.read(path)
    settings = replace(settings_of.load(), ephemeral=True, http_port=0)
    found, certificate = demo.play(settings, demand)
    assert found.faults == []
    assert certificate.holds
    assert found.orders["sent"] == len(demand.orders)
    assert found.orders["accepted"] + sum(found.refused.values()) == len(demand.orders)
    theirs = sum(shop["orders"] for shop in found.marketplaces.values())
    assert found.fulfilment is not None
    theirs += found.fulfilment.orders  # of the everyday shop, of goods of its own
    assert found.orders["accepted"] == found.orders["recorded"] == certificate.orders - theirs > 0
    shelf, sold = Counter(), Counter()
    for row in certificate.pools:
        if row.channel in found.marketplaces or row.sku not in demand.stock:
            continue  # what they have and sell is theirs, beside the file's own orders
        shelf[row.sku] += row.cell.granted
        sold[row.sku] += row.cell.sold + row.cell.held
    assert shelf == Counter(demand.stock)
    assert all(sold[sku] <= units for sku, units in demand.stock.items())
    assert sold.total() > 0
    assert found.naive["oversold"] > 0
