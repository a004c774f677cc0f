"""What of an address that is told anew makes it another one."""

import pytest

from engine.shipments.rules.addresses import has_moved, region_of

PLAIN = {
    "name": "张三", "phone": "13800000000", "country": "CN", "province": "浙江省", "city": "宁波市",
    "region_code": "330200", "address": "Zhongshan Rd 1",
}  # fmt: skip
HIDDEN = {"consignee_id": "oaid-1", "region_code": "330200", "name": "张*", "phone": "138****0000"}


@pytest.mark.parametrize(
    ("more", "moved"),
    [
        ({"address": "Zhongshan Rd 2"}, True),
        ({"address": "zhongshan  rd 1 "}, False),
        ({"name": "李四"}, True),
        ({"name": "李*"}, False),
        ({"phone": "13900000000"}, True),
        ({"region_code": "110105"}, True),
        ({"city": "杭州市"}, True),
        ({"city": ""}, False),
        ({"city": 7}, False),
        ({"postcode": "315000", "town": "江东"}, False),
        ({"consignee_id": "oaid-1"}, False),
        ({"merge_key": "k", "revision": 2, "latitude": 29.8}, False),
    ],
)
def test_a_text_that_both_have_and_is_another_is_another_address(more, moved):
    assert has_moved(PLAIN, PLAIN | more) is moved
    assert has_moved(PLAIN | more, PLAIN) is moved


@pytest.mark.parametrize(
    ("more", "moved"),
    [
        ({"name": "Li", "phone": "1", "address": "hidden elsewhere"}, False),
        ({"consignee_id": "oaid-2"}, True),
        ({"region_code": "330100"}, True),
    ],
)
def test_behind_an_id_stands_the_whole_consignee(more, moved):
    plain = HIDDEN | {"name": "Zhang", "phone": "2", "address": "hidden"}
    assert has_moved(plain, plain | more) is moved


def test_nothing_told_changes_nothing_and_after_nothing_all_is_new():
    assert not has_moved(PLAIN, {})
    assert not has_moved({}, {})
    assert has_moved({}, PLAIN)


def test_a_region_is_its_code_or_its_names():
    assert region_of(PLAIN) == "330200"
    assert region_of(PLAIN | {"region_code": ""}) == "CN/浙江省/宁波市/"
    assert region_of({"address": "Zhongshan Rd 1"}) == ""
