"""What a carrier's service may not say, with the field that says it."""

import msgspec
import pytest

from engine.carriers.rules.documents import normal_service
from engine.carriers.types.documents import ServiceFields
from engine.kernel.errors import ValidationFailed


def test_a_desk_is_called_over_tls_or_where_plain_http_is_said_to_do():
    told = {"carrier": "sf", "tier": "standard", "zones": {"*": "all"}, "days": {"all": 1},
            "desk_url": "http://desk.example/x"}  # fmt: skip
    fields = msgspec.convert(told, ServiceFields)
    with pytest.raises(ValidationFailed) as refused:
        normal_service(fields)
    assert [one["pointer"] for one in refused.value.extra["errors"]] == ["/desk_url"]
    assert normal_service(fields, ["desk.example"]) == fields
