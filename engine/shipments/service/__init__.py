"""The verbs of shipments, each inside its caller's transaction: plan, send, report, stop."""

from engine.shipments.service.adopting import ADOPTED_PER_CALL_MAX, adopt
from engine.shipments.service.planning import (
    capacity_to_give_back,
    next_attempts,
    next_numbers,
    plan,
    plan_again,
)
from engine.shipments.service.rejecting import ByHand, reject
from engine.shipments.service.reporting import Outcome, report, report_consignment, settle
from engine.shipments.service.sending import (
    Begun,
    begin,
    call_given_up,
    outcome_unknown,
    to_send,
)
from engine.shipments.service.stopping import (
    Asked,
    ask,
    ask_for_ended,
    ask_for_less,
    give_up,
    has_live,
    recall,
    routed_for,
    shipped_after_stop,
    shipped_twice,
    twice,
)

__all__ = [
    "ADOPTED_PER_CALL_MAX",
    "Asked",
    "Begun",
    "ByHand",
    "Outcome",
    "adopt",
    "ask",
    "ask_for_ended",
    "ask_for_less",
    "begin",
    "call_given_up",
    "capacity_to_give_back",
    "give_up",
    "has_live",
    "next_attempts",
    "next_numbers",
    "outcome_unknown",
    "plan",
    "plan_again",
    "recall",
    "reject",
    "report",
    "report_consignment",
    "routed_for",
    "settle",
    "shipped_after_stop",
    "shipped_twice",
    "to_send",
    "twice",
]
