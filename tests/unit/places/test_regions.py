"""Where places are, by the table in the tree."""

import pytest

from engine.places.rules import regions
from engine.places.service import places
from engine.places.types.regions import Region

CHINA = places.regions()


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("440305", ("440305", "440300", "440000", "")),
        ("440300", ("440300", "440000", "")),
        ("440000", ("440000", "")),
        ("US-CA", ("US-CA", "US", "")),
        ("JP", ("JP", "")),
        ("", ("",)),
        ("44030x", ("44030x", "")),
        ("\uff14\uff14\uff10\uff13\uff10\uff15", ("\uff14\uff14\uff10\uff13\uff10\uff15", "")),
    ],
)
def test_what_a_region_lies_in(code, found):
    assert regions.chain(code) == found


@pytest.mark.parametrize(
    ("a", "b", "km"),
    [
        ("110000", "310000", 1068),  # Beijing, Shanghai
        ("440100", "440300", 104),  # Guangzhou, Shenzhen
        ("330110", "330100", 0),  # a district has its city's place
        ("650100", "230100", 3055),  # Urumqi, Harbin
        ("460100", "460200", 212),  # Haikou, Sanya
    ],
)
def test_how_far_apart(a, b, km):
    metres = CHINA.metres(a, b)
    assert metres == CHINA.metres(b, a)
    assert abs(metres / 1000 - km) <= 0.02 * km + 1


def test_what_is_not_known_is_not_guessed():
    assert CHINA.metres("110000", "US-CA") is None
    assert CHINA.metres("", "110000") is None
    assert CHINA.point("999999") is None
    assert CHINA.name("999999") == ""


def test_the_table_has_every_province_with_its_place_and_nearly_every_city():
    codes = CHINA.codes()
    assert len(codes) == 404
    provinces = [code for code in codes if code.endswith("0000")]
    assert len(provinces) == 34
    assert all(CHINA.point(code) for code in codes)
    assert (CHINA.name("440305"), CHINA.name("350000")) == ("深圳市", "福建省")
    assert CHINA.point("659005") == CHINA.point("650000"), "not known: its region's"
    for code in codes:
        latitude, longitude = CHINA.point(code)
        assert 16 < latitude < 54, code
        assert 73 < longitude < 136, code
        assert CHINA.metres(code, code[:2] + "0000") < 1_700_000, code


def test_of_a_region_told_twice_the_later_counts():
    one = Region("1", "a", 0.0, 0.0)
    found = regions.Regions([one, one._replace(name="b", longitude=1.0)])
    assert (found.name("1"), found.point("1")) == ("b", (0.0, 1.0))
    assert regions.metres(0, 0, 0, 180) == regions.metres(90, 0, -90, 0) == 20_015_087
