"""The verbs of shipments, each inside its caller's transaction: plan, send, report, stop."""

from engine.shipments.service.planning import (
    capacity_to_give_back,
    next_attempts,
    next_numbers,
    plan,
    plan_again,
)
from engine.shipments.service.reporting import Outcome, report, report_consignment
from engine.shipments.service.sending import Begun, begin, outcome_unknown
from engine.shipments.service.stopping import (
    Asked,
    ask,
    ask_for_ended,
    give_up,
    has_live,
    shipped_after_stop,
)

__all__ = [
    "Asked",
    "Begun",
    "Outcome",
    "ask",
    "ask_for_ended",
    "begin",
    "capacity_to_give_back",
    "give_up",
    "has_live",
    "next_attempts",
    "next_numbers",
    "outcome_unknown",
    "plan",
    "plan_again",
    "report",
    "report_consignment",
    "shipped_after_stop",
]
