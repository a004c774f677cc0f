"""Life of an order after it was taken: pay, cancel; and the jobs that carry out what waits."""

from engine.orders.service.access import Access, Seen
from engine.orders.service.cancelling import (
    REFUND_CANCEL,
    cancel_confirmed,
    is_pending,
    with_components,
)
from engine.orders.service.jobs import apply_received, give_back, release_duplicates
from engine.orders.service.life import Orders
from engine.orders.service.recorded import last_id, note, recall, receive, still_to_pay

__all__ = [
    "REFUND_CANCEL",
    "Access",
    "Orders",
    "Seen",
    "apply_received",
    "cancel_confirmed",
    "give_back",
    "is_pending",
    "last_id",
    "note",
    "recall",
    "receive",
    "release_duplicates",
    "still_to_pay",
    "with_components",
]
