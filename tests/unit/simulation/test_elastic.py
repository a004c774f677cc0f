"""What a past sale is read as, and what is told of it played twice."""

from pathlib import Path

import msgspec
import pytest

from engine import settings as settings_of
from engine.campaigns.types import Elastic
from engine.kernel.errors import ValidationFailed
from engine.simulation.elastic import past, report
from engine.simulation.elastic.play import play
from engine.simulation.elastic.run import Options, run
from engine.simulation.elastic.types import Past, Wish

HEADER = "order_no,sku,name,quantity,placed_at,unit_price,buyer_id,country,channel"


@pytest.fixture
def file(tmp_path) -> Path:
    """Two shops: one sells three a second, the other one every five seconds, for a minute."""
    rows = [HEADER]
    for n in range(300):
        second, tenth = divmod(n * 2, 10)
        shop = "jd" if n % 25 == 0 else "mall"
        moment = f"2026-11-11T00:{second // 60:02}:{second % 60:02}.{tenth}00+00:00"
        rows.append(f"{n},TEA,Tea,1,{moment},1.00,b{n},CN,{shop}")
    path = tmp_path / "orders.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_file_is_split_over_its_shops(file):
    found = past.of_file(file, {}, [])
    assert found.quotas == {"TEA": {"jd": 135, "mall": 135}}
    assert (found.wishes[0], len(found.wishes)) == (Wish(0.0, "jd", "TEA", 1), 300)
    assert found.lasts_s == pytest.approx(60.8)
    assert past.of_file(file, {"mall": 2, "jd": 1}, ["jd"]).quotas["TEA"] == {"jd": 90, "mall": 180}


@pytest.mark.parametrize(
    ("split", "told"),
    [({"tmall": 1}, "tmall is no shop of the file"), ({"jd": 0, "mall": 0}, "a share above 0")],
)
def test_a_split_that_cannot_be_is_refused(file, split, told):
    with pytest.raises(ValidationFailed) as refusal:
        past.of_file(file, split, [])
    assert told in refusal.value.extra["errors"][0]["detail"]


def test_without_a_channel_countries_are_the_shops_and_a_year_is_no_sale(tmp_path):
    path = tmp_path / "orders.csv"
    head = HEADER.removesuffix(",channel")
    rows = ["1,TEA,Tea,9,2026-11-11T00:00:00Z,1,b,France", "2,TEA,Tea,9,2026-11-12T00:00:00Z,1,b,"]
    path.write_text("\n".join([head, *rows]))
    assert past.of_file(path, {}, []).quotas == {"TEA": {"?": 8, "France": 8}}
    path.write_text("\n".join([head, rows[0], rows[1].replace("11-12", "12-12")]))
    with pytest.raises(ValidationFailed):
        past.of_file(path, {}, [])


def test_rounding_a_split_loses_no_unit():
    for units in range(50):
        split = past._split(units, ["a", "b", "c"], {"a": 1, "b": 1, "c": 5})  # noqa: SLF001
        assert sum(split.values()) == units


def test_what_a_sold_out_shop_was_asked_for_is_guessed_by_the_others():
    recorded = [
        *(Wish(float(n), "mall", "TEA", 2) for n in range(10)),
        *(Wish(float(n), "jd", "TEA", 1) for n in range(30)),
    ]
    recorded.sort()
    guessed = past.guess(recorded, "TEA", {"mall": 20, "jd": 100})
    # 20 beside 10 of the other shop until the tenth second, so 2 beside each of the 20 afterwards
    assert len(guessed) == 40
    assert {(one.shop, one.units) for one in guessed} == {("mall", 1)}
    assert min(one.at_s for one in guessed) == 10
    assert past.guess(recorded, "TEA", {"mall": 21, "jd": 100}) == []
    assert past.guess(recorded, "TEA", {"mall": 20, "jd": 30}) == [], "nobody to go by"


def test_the_picture_has_both_splits_and_every_reason():
    wishes = [Wish(n / 4, "mall", "TEA", 1) for n in range(240)]
    sale = Past(
        title="t",
        wishes=wishes,
        quotas={"TEA": {"jd": 100, "mall": 100}},
        lasts_s=60.0,
        notes=["n"],
    )
    policy = Elastic(step=10, cool_down_seconds=2, horizon_seconds=20, floor=5)
    static, elastic = play(sale, None), play(sale, policy)
    found = report.compare(sale, policy, static, elastic)
    told = report.picture(found, sale, static, elastic)
    assert "static split: 100 units sold; elastic: 195 (+95) by" in told
    assert found.moves[0]["reason"] in told
    assert "note: n" in told
    (jd, mall) = found.shops
    assert (jd.lent, mall.borrowed, mall.refused_static, mall.refused_elastic) == (95, 95, 140, 45)
    assert all(line.count("█") <= 40 for line in told.splitlines())


async def test_the_command_tells_it_as_json(file, tmp_path, capsysbinary):
    policy = tmp_path / "policy.json"
    policy.write_text('{"step": 20, "cool_down_seconds": 2, "horizon_seconds": 20}')
    options = Options(file=file, policy=policy, split=("jd=1", "mall=1"), as_json=True)
    assert await run(settings_of.load(), options) == 0
    told = msgspec.json.decode(capsysbinary.readouterr().out)
    assert told["policy"]["step"] == 20
    assert told["elastic"]["sold"] > told["static"]["sold"] == 147
    assert told["moves"][0]["shop"] == "jd"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"split": ("mall",)}, "write SHOP=SHARE"),
        ({"split": ("mall=-1",)}, "write SHOP=SHARE"),
        ({"split": ("mall=nan",)}, "write SHOP=SHARE"),
        ({"marketplaces": ("tmall",)}, "tmall is no shop of the file"),
    ],
)
async def test_wrong_options_are_refused(file, capsys, given, told):
    assert await run(settings_of.load(), Options(file=file, **given)) == 2
    assert told in capsys.readouterr().err


async def test_a_wrong_policy_is_refused(file, tmp_path, capsys):
    policy = tmp_path / "policy.json"
    policy.write_text('{"cool_down_seconds": 0}')
    assert await run(settings_of.load(), Options(file=file, policy=policy)) == 2
    assert "/cool_down_seconds" in capsys.readouterr().err
