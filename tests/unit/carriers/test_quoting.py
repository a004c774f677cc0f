"""What parcels cost, as a table: 首重/续重, 体积重, rounding, surcharges, tax, effective dates."""

import random

import pytest

from engine.carriers.rules import quoting
from engine.carriers.types.services import NO_RATE, RateCard, Service, Surcharge

JAN, JUL, NOV = 1_767_225_600_000, 1_782_864_000_000, 1_793_491_200_000  # 2026-01-01, 07-01, 11-01
HANGZHOU, YUHANG, GUANGZHOU, TIANHE = "330100", "330110", "440100", "440106"
URUMQI, LHASA, XIAN = "650100", "540100", "610100"

SERVICE = Service(
    "std", "sf", "standard",
    zones={"330000": "local", "440000": "south", "650000": "far", "540000": "far", "": "rest"},
)  # fmt: skip
# 首重 1 kg 12.00, 续重 1 kg 2.00
PLAIN = RateCard("c", 1, "std", 0, 1 << 60, "", "", 1000, 1200, 1000, 200)
HALF = PLAIN._replace(step_g=500, step=100)


def price(line: RateCard, grams: int, cm3: int = 0, service=SERVICE, **asked):
    one = {"dest": TIANHE, "cod": 0, "insured": 0, "at": NOV} | asked
    return quoting.quote(
        quoting.gathered([line]), service, YUHANG, one["dest"], grams, cm3, one["cod"],
        one["insured"], one["at"],
    )  # fmt: skip


WEIGHTS = [
    # line, grams, billed freight
    ("nothing weighs as much as the first weight", PLAIN, 0, 1200),
    ("one gram", PLAIN, 1, 1200),
    ("just the first weight", PLAIN, 1000, 1200),
    ("a gram more begins a step", PLAIN, 1001, 1400),
    ("a gram less than a step", PLAIN, 1999, 1400),
    ("a whole step", PLAIN, 2000, 1400),
    ("the second step begins", PLAIN, 2001, 1600),
    ("heavy", PLAIN, 30_000, 1200 + 29 * 200),
    ("a ton", PLAIN, 1_000_000, 1200 + 999 * 200),
    ("half kilograms: within the first", HALF, 999, 1200),
    ("half kilograms: one begun", HALF, 1001, 1300),
    ("half kilograms: one whole", HALF, 1500, 1300),
    ("half kilograms: two begun", HALF, 1501, 1400),
    ("HALF: a begun half", PLAIN._replace(rounding="HALF"), 1001, 1300),
    ("HALF: a whole half", PLAIN._replace(rounding="HALF"), 1500, 1300),
    ("HALF: the other half begins", PLAIN._replace(rounding="HALF"), 1501, 1400),
    ("HALF: three halves", PLAIN._replace(rounding="HALF"), 2500, 1500),
    ("HALF: of an odd price goes up", PLAIN._replace(rounding="HALF", step=201), 1200, 1301),
    ("HALF: two of an odd price lose none", PLAIN._replace(rounding="HALF", step=201), 2000, 1401),
    ("HALF: of an odd step", PLAIN._replace(rounding="HALF", step_g=333), 1167, 1400),
    ("NEAREST: less than half is free", PLAIN._replace(rounding="NEAREST"), 1499, 1200),
    ("NEAREST: half goes up", PLAIN._replace(rounding="NEAREST"), 1500, 1400),
    ("NEAREST: one and less than half", PLAIN._replace(rounding="NEAREST"), 2499, 1400),
    ("NEAREST: one and a half", PLAIN._replace(rounding="NEAREST"), 2500, 1600),
    ("EXACT: a gram", PLAIN._replace(rounding="EXACT"), 1001, 1201),
    ("EXACT: five grams are one fen", PLAIN._replace(rounding="EXACT"), 1005, 1201),
    ("EXACT: six are two", PLAIN._replace(rounding="EXACT"), 1006, 1202),
    ("EXACT: half a step", PLAIN._replace(rounding="EXACT"), 1500, 1300),
    ("no further steps", PLAIN._replace(step_g=0, step=0), 9000, 1200),
    ("steps that cost nothing", PLAIN._replace(step=0), 9000, 1200),
    ("no first weight", PLAIN._replace(first_g=0, first=0), 1, 200),
    ("no first weight, nothing", PLAIN._replace(first_g=0, first=0), 0, 0),
    ("least charge above", PLAIN._replace(least=1500), 1500, 1500),
    ("least charge below", PLAIN._replace(least=1500), 3500, 1800),
    ("least charge met", PLAIN._replace(least=1400), 1500, 1400),
]


@pytest.mark.parametrize(("why", "line", "grams", "freight"), WEIGHTS)
def test_freight_by_weight(why, line, grams, freight):
    found = price(line, grams)
    assert (found.freight, found.price, found.billed_g) == (freight, freight, grams), why


VOLUMES = [
    # divisor of the service, of the card, grams, cm3, billed grams
    ("none is asked", 0, 0, 1000, 60_000, 1000),
    ("6000: a kilogram", 6000, 0, 500, 6_000, 1000),
    ("6000: begun grams are whole", 6000, 0, 500, 6_001, 1001),
    ("weight is more", 6000, 0, 1001, 6_000, 1001),
    ("both are the same", 6000, 0, 1000, 6_000, 1000),
    ("5000 is dearer", 5000, 0, 500, 6_000, 1200),
    ("8000 is cheaper", 8000, 0, 500, 6_000, 750),
    ("the card's counts before the service's", 6000, 12_000, 400, 6_000, 500),
    ("the card's alone", 0, 6000, 400, 6_000, 1000),
    ("no volume", 6000, 0, 700, 0, 700),
    ("a pillow: 40 x 40 x 30 cm", 6000, 0, 900, 48_000, 8000),
]


@pytest.mark.parametrize(("why", "divisor", "own", "grams", "cm3", "billed"), VOLUMES)
def test_volumetric_weight(why, divisor, own, grams, cm3, billed):
    found = price(
        PLAIN._replace(divisor=own), grams, cm3, service=SERVICE._replace(divisor=divisor)
    )
    assert found.billed_g == billed, why
    assert found.freight == quoting.freight_of(PLAIN, billed)


REMOTE = Surcharge("remote", fixed=500, regions=frozenset({"650000", "540000"}))
PEAK = Surcharge("peak", fixed=100, since=NOV, until=NOV + 86_400_000)
FUEL = Surcharge("fuel", bp=850)
COD = Surcharge("cod", bp=100, least=300, most=2000)
SURE = Surcharge("insurance", bp=50, least=100)
LARGE = Surcharge("oversize", fixed=1000, bp=1000, over_g=20_000)

ADDED = [
    # surcharges, what is asked for, what they come to
    ("remote, where it is", (REMOTE,), {"dest": URUMQI}, (("remote", 500),)),
    ("remote, in another one of it", (REMOTE,), {"dest": LHASA}, (("remote", 500),)),
    ("remote, elsewhere", (REMOTE,), {}, ()),
    ("peak, at its beginning", (PEAK,), {"at": NOV}, (("peak", 100),)),
    ("peak, before it", (PEAK,), {"at": NOV - 1}, ()),
    ("peak, at its end", (PEAK,), {"at": NOV + 86_400_000}, ()),
    ("peak, at its last instant", (PEAK,), {"at": NOV + 86_399_999}, (("peak", 100),)),
    ("fuel is a share of freight", (FUEL,), {}, (("fuel", 102),)),
    ("a share's begun fen is whole", (Surcharge("fuel", bp=851),), {}, (("fuel", 103),)),
    ("fuel of fuel is none", (FUEL, FUEL), {}, (("fuel", 102), ("fuel", 102))),
    ("cod, without any", (COD,), {}, ()),
    ("cod, least", (COD,), {"cod": 100}, (("cod", 300),)),
    ("cod, at its least", (COD,), {"cod": 30_000}, (("cod", 300),)),
    ("cod, its share", (COD,), {"cod": 30_001}, (("cod", 301),)),
    ("cod, most", (COD,), {"cod": 1_000_000}, (("cod", 2000),)),
    ("insurance, without any", (SURE,), {"cod": 9000}, ()),
    ("insurance, least", (SURE,), {"insured": 1}, (("insurance", 100),)),
    ("insurance, its share", (SURE,), {"insured": 100_000}, (("insurance", 500),)),
    ("oversize, at its bound", (LARGE,), {"grams": 20_000}, ()),
    ("oversize, a gram more", (LARGE,), {"grams": 20_001}, (("oversize", 1000 + 520),)),
    ("all that apply, in the card's order", (REMOTE, FUEL, COD, PEAK), {"dest": URUMQI, "cod": 1},
     (("remote", 500), ("fuel", 102), ("cod", 300), ("peak", 100))),
    ("one of nothing is not told", (Surcharge("handling"),), {}, ()),
    ("fixed and a share", (Surcharge("handling", fixed=50, bp=100),), {}, (("handling", 62),)),
]  # fmt: skip


@pytest.mark.parametrize(("why", "surcharges", "asked", "additions"), ADDED)
def test_surcharges(why, surcharges, asked, additions):
    asked = {"grams": 800} | asked
    found = price(PLAIN._replace(surcharges=surcharges), **asked)
    assert found.surcharges == additions, why
    assert found.price == found.freight + sum(amount for _, amount in additions)


@pytest.mark.parametrize(
    ("bp", "surcharges", "tax", "total"),
    [
        (0, (), 0, 1200),
        (600, (), 72, 1272),
        (604, (), 72, 1272),  # 72.48
        (605, (), 73, 1273),  # 72.60
        (625, (Surcharge("handling", fixed=8),), 76, 1284),  # 75.5: half up
        (600, (REMOTE,), 72, 1272),
        (600, (FUEL,), 78, 1380),  # 78.12, of freight and surcharge
    ],
)
def test_tax_is_of_all_and_half_goes_up(bp, surcharges, tax, total):
    found = price(PLAIN._replace(tax_bp=bp, surcharges=surcharges), 1000)
    assert (found.tax, found.price) == (tax, total)


def line(card, dest="", origin="", **dated):
    told = {"version": 1, "since": 0, "until": 1 << 60, "first": 1000} | dated
    return RateCard(
        card, told["version"], "std", told["since"], told["until"], origin, dest, 1000,
        told["first"], 1000, 100,
    )  # fmt: skip


ZONE, GD, GZ = line("zone", "south"), line("gd", "440000"), line("gz", "440100")
TH, FROM = line("th", "440106"), line("from", origin="330100")
PLACES = [
    # lines, origin, destination, card
    ("any to any", [line("any")], YUHANG, TIANHE, "any"),
    ("a zone before any", [line("any"), ZONE], YUHANG, TIANHE, "zone"),
    ("a province before its zone", [ZONE, GD], YUHANG, TIANHE, "gd"),
    ("a city before its province", [GD, GZ], YUHANG, TIANHE, "gz"),
    ("a district before its city", [GZ, TH], YUHANG, TIANHE, "th"),
    ("another district has the city's", [GZ, TH], YUHANG, "440103", "gz"),
    ("origin before destination", [TH, FROM], YUHANG, TIANHE, "from"),
    ("an origin that goes elsewhere", [TH, line("x", "65", "330100")], YUHANG, TIANHE, "th"),
    ("the zone of an origin", [line("any"), line("z", origin="local")], YUHANG, TIANHE, "z"),
    ("the zone of the rest", [line("rest", "rest")], YUHANG, XIAN, "rest"),
    ("another zone", [line("far", "far")], YUHANG, TIANHE, ""),
    ("no origin known", [line("any"), line("zj", origin="330000")], "", TIANHE, "any"),
    ("both special", [line("a", "440000", "330000"), line("b", "440100", "330000")], YUHANG,
     TIANHE, "b"),
    ("no line at all", [], YUHANG, TIANHE, ""),
]  # fmt: skip


@pytest.mark.parametrize(("why", "lines", "origin", "dest", "card"), PLACES)
def test_the_most_special_line_counts(why, lines, origin, dest, card):
    for some in (lines, lines[::-1]):
        cards = quoting.gathered(some)
        assert quoting.quote(cards, SERVICE, origin, dest, 1, 0, 0, 0, NOV).card == card, why


OLD, NEW, SPAN = (
    line("c", version=1, since=JAN, first=1000), line("c", version=2, since=JUL, first=1100),
    line("d11", version=1, since=NOV, until=NOV + 10, first=1500),
)  # fmt: skip
DATES = [
    ("before all", [OLD, NEW], JAN - 1, ("", 0, 0)),
    ("at its instant", [OLD, NEW], JAN, ("c", 1, 1000)),
    ("the last instant of the old", [OLD, NEW], JUL - 1, ("c", 1, 1000)),
    ("the first of the new", [OLD, NEW], JUL, ("c", 2, 1100)),
    ("later", [OLD, NEW], NOV, ("c", 2, 1100)),
    ("a card of a few days", [OLD, NEW, SPAN], NOV, ("d11", 1, 1500)),
    ("at its end", [OLD, NEW, SPAN], NOV + 10, ("c", 2, 1100)),
    ("a version that was brought forward", [OLD, NEW, line("c", version=3, since=JAN + 5)], JUL,
     ("c", 3, 1000)),
    ("what a new version leaves out is not in the old one", [OLD, line("c", "x", version=2)], NOV,
     ("", 0, 0)),
    ("but not before it", [OLD, NEW, line("c", version=3, since=JAN + 5)], JAN + 4, ("c", 1, 1000)),
    ("two cards of one instant: by name", [line("b"), line("a")], NOV, ("a", 1, 1000)),
]  # fmt: skip


@pytest.mark.parametrize(("why", "lines", "at", "found"), DATES)
def test_the_version_in_force_counts_and_is_named(why, lines, at, found):
    for some in (lines, lines[::-1]):
        one = quoting.quote(quoting.gathered(some), SERVICE, YUHANG, TIANHE, 1, 0, 0, 0, at)
        assert (one.card, one.version, one.price) == found, why
        assert (one == NO_RATE) == (not found[0])


def test_a_heavier_parcel_never_costs_less_and_parts_sum():
    rnd = random.Random(5)
    for _ in range(2_000):
        one = RateCard(
            "c", 1, "std", 0, 1 << 60, "", "", rnd.choice((0, 500, 1000)), rnd.randrange(3000),
            rnd.choice((0, 100, 333, 500, 1000)), rnd.randrange(500), rnd.choice((0, 1500)),
            rnd.choice(("CEIL_STEP", "HALF", "NEAREST", "EXACT")), (REMOTE, FUEL, COD, LARGE),
            rnd.choice((0, 600)), rnd.choice((0, 6000)),
        )  # fmt: skip
        grams, more = rnd.randrange(30_000), rnd.randrange(1, 2_000)
        dest, cod = rnd.choice((TIANHE, URUMQI)), rnd.choice((0, 5_000))
        light, heavy = (price(one, g, cod=cod, dest=dest) for g in (grams, grams + more))
        assert light.price <= heavy.price
        for found in (light, heavy):
            assert found.price == found.freight + sum(a for _, a in found.surcharges) + found.tax


def test_a_zone_is_that_of_the_smallest_region_named():
    service = Service("s", zones={"440000": "south", "440106": "city", "US": "abroad"})
    zones = [quoting.zone_of(service, one) for one in (TIANHE, "440103", "US-CA", HANGZHOU, "")]
    assert zones == ["city", "south", "abroad", None, None]
