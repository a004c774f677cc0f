"""Alert rules."""

from typing import Final

from engine.alerts.types.documents import AlertRuleFields
from engine.infra import queries
from engine.infra.versioned import Statements, Table
from engine.kernel import codec

SQL: Final = queries.load("engine.alerts")

RULES: Final = Table(
    kind="alert_rule",
    word="rule",
    noun="alert rule",
    decode=codec.Decoder(AlertRuleFields),
    sql=Statements(
        SQL["get_rule"], SQL["lock_rule"], SQL["list_rules"], SQL["insert_rule"], SQL["update_rule"]
    ),
)
