"""What a profile may not say, with the field that says it."""

import msgspec
import pytest

from engine.kernel.errors import ValidationFailed
from engine.places.rules.profiles import normal
from engine.places.types.profiles import NodeWms, ProfileFields


def faults(*hosts, **fields):
    profile = msgspec.convert(fields, ProfileFields)
    try:
        normal(profile, hosts)
    except ValidationFailed as refused:
        return [(one["pointer"], one["detail"]) for one in refused.extra["errors"]]
    return []


def test_a_nodes_system_is_called_over_tls_or_where_plain_http_is_said_to_do():
    wms = {"language": "plain", "url": "http://wms.example/x"}
    (fault,) = faults(wms=wms)
    assert fault[0] == "/wms/url"
    assert fault[1].startswith("must be an https address; http is for this machine")
    assert faults("wms.example", wms=wms) == []
    assert faults(wms=wms | {"url": "http://127.0.0.1:8080/x"}) == []
    assert faults(wms=wms | {"url": "https://wms.example/x"}) == []
    assert faults(wms=wms | {"url": ""}) == [("/wms/url", "must be an http or https address")]
    assert NodeWms().url == ""


@pytest.mark.parametrize("name", ["sequence", "distance_km", "node_load", "pick_cost", "parcels"])
def test_a_measure_is_not_called_as_something_of_ours(name):
    told = "is what a plan calls something of ours: a measure needs a name of its own"
    assert faults(metrics={name: 1, "vip_rank": 2}) == [(f"/metrics/{name}", told)]


def test_measures_that_plans_know_are_what_profiles_are_for():
    assert faults(metrics={"sales_velocity": 1, "reject_rate_30d": 2, "vip_rank": 3}) == []
