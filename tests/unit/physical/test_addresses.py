"""Which addresses of nodes are taken, and where the fault is in others."""

import pytest

from engine.physical.rules.addresses import faults
from engine.physical.types.nodes import Address


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ({}, []),
        ({"country": "CN", "region_code": "440305"}, []),
        ({"region_code": "710000"}, []),
        ({"country": "DE", "region_code": "DE-BE"}, []),
        ({"latitude": 22.5, "longitude": 113.9}, []),
        ({"latitude": 0.0, "longitude": 0.0}, []),
        ({"region_code": "DE-BE"}, ["/a/region_code"]),
        ({"country": "CN", "region_code": "44030"}, ["/a/region_code"]),
        ({"country": "CN", "region_code": "990305"}, ["/a/region_code"]),
        ({"region_code": "\uff14\uff1440305"}, ["/a/region_code"]),
        ({"country": "cn"}, ["/a/country"]),
        ({"country": "C"}, ["/a/country"]),
        ({"country": "中国"}, ["/a/country"]),
        ({"latitude": 22.5}, ["/a/longitude"]),
        ({"longitude": 0.0}, ["/a/latitude"]),
    ],
)
def test_an_address_is_one_that_routing_can_go_by(told, wrong):
    assert [one.pointer for one in faults(Address(**told), "/a")] == wrong
