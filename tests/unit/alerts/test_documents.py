"""An alert rule has the number that its kind needs, and no other."""

import pytest

from engine.alerts.rules.documents import compiled, normal
from engine.alerts.types.documents import AlertRuleFields
from engine.alerts.types.facts import Rule
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed

read = codec.Decoder(AlertRuleFields)


def faults(text):
    with pytest.raises(ValidationFailed) as refusal:
        normal(read(text))
    return [(one["pointer"], one["detail"]) for one in refusal.value.extra["errors"]]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (b'{"kind": "low"}', [("/units", "is required for kind low")]),
        (b'{"kind": "low", "units": 0}', [("/units", "Expected `int` >= 1")]),
        (b'{"kind": "sold_out", "units": 3}', [("/units", "is not for kind sold_out")]),
        (b'{"kind": "aging", "seconds": 3}',
         [("/seconds", "is not for kind aging"), ("/days", "is required for kind aging")]),
        (b'{"kind": "stale_feed", "seconds": 9, "match": {"sku": "s"}}',
         [("/match/sku", "is not for kind stale_feed")]),
        (b'{"kind": "low", "units": 3, "match": {"node": "n"}}',
         [("/match/node", "is not for kind low")]),
        (b'{"kind": "low", "units": 3, "match": {"sku": "\\u001f"}}',
         [("/match/sku", "must not contain control characters")]),
    ],
)  # fmt: skip
def test_what_a_rule_may_not_say(text, want):
    assert faults(text) == want


def test_a_rule_is_applied_as_it_says():
    fields = normal(read(b'{"kind":"aging","days":30,"match":{"node":"N"},"enabled":false}'))
    assert compiled("r", fields) == Rule("r", "aging", 30, "warning", node="N", quiet=True)
