"""The shops of a demo: for any demand they sell part of it, and more than there is."""

import pytest

from engine.simulation import demand, demo
from engine.simulation.marketplace import Marketplace, shops
from engine.simulation.types import Demand, Line, Order

TEA = [Order(str(n), f"b{n}", n / 50, (Line("TEA", 1, 100),)) for n in range(100)]
ONE_SKU = Demand(title="t", currency="GBP", orders=TEA, stock={"TEA": 90}, names={"TEA": "Tea"})


@pytest.mark.parametrize("sold", [demand.seeded(demo.SEED, 700), ONE_SKU], ids=["seeded", "file"])
def test_the_shops_sell_units_of_the_sale_beyond_what_they_have(sold):
    found = shops.beside(sold, demo.SEED, "c", "m")
    assert [spec.channel for spec in found] == ["demo-tmall", "demo-douyin"]
    assert any(Marketplace(spec).beyond(spec.have) for spec in found)
    for spec in found:
        market = Marketplace(spec)
        assert set(spec.have) <= set(sold.stock)
        assert len(market.truth) > 50
        assert sum(market.beyond(spec.have).values()) < sum(market.wanted().values()) / 2
        documents = [document for body in market.feed() for document in body.documents]
        assert {document["campaign"] for document in documents} == {"c"}
        assert {document["channel_order_id"][:2] for document in documents} == {"m-"}


def test_all_is_told_soon_after_the_last_buyers_of_the_mall():
    """What comes later would only make the demo longer."""
    sold = demand.seeded(demo.SEED)
    for spec in shops.beside(sold, demo.SEED, "c", "m"):
        assert list(Marketplace(spec).feed())[-1].at_s < sold.orders[-1].at_s + 10
