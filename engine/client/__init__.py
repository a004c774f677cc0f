"""A client of the HTTP API for programs in Python: typed, asynchronous, patient but no storm.

It stands beside the engine and knows nothing of it but `engine.kernel`. Whatever it sends is named
by its caller (`channel_order_id`, `payment_id`, `cancel_id`, …), so that sending it again is not
doing it again: that is why it may repeat what got no answer, and does.
"""

from engine.client.calls import Client
from engine.client.errors import ClientError, OutcomeUnknown, Problem, Unreachable
from engine.client.retries import RetryPolicy
from engine.client.types import Placed, PlacedItem, Reply, SyncedItem
from engine.client.webhooks import NotGenuine, verify

__all__ = [
    "Client",
    "ClientError",
    "NotGenuine",
    "OutcomeUnknown",
    "Placed",
    "PlacedItem",
    "Problem",
    "Reply",
    "RetryPolicy",
    "SyncedItem",
    "Unreachable",
    "verify",
]
