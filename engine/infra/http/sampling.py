"""One request in so many is a line of the log: who asks what was slow has examples, for no cost.

Counting is exact and in metrics; errors of ours are logged each by themselves.
"""

import re
from typing import Final

import structlog

from engine.infra.http.request import Request
from engine.kernel import traces

_ORDER_ID: Final = re.compile(r"[0-9a-f]{26}")
_log: Final = structlog.get_logger(__name__)


class Sample:
    """Which requests of this process are logged: one in `every`, none with 0."""

    __slots__ = ("_left", "every")

    def __init__(self) -> None:
        self.every = self._left = 0

    def hit(self) -> bool:
        """Count a request and tell whether it is one of them."""
        self._left -= 1
        if self._left > 0 or not self.every:
            return False
        self._left = self.every
        return True

    def tell(self, request: Request, told: dict[str, object], request_id: str, order: str) -> None:
        """Log a request: `told` is its route, status and time; an order only by an id of ours.

        What else stands in a path may be anything, a phone number too.
        """
        ids = {"request_id": request_id, "trace_id": traces.trace_id(traces.of(request.headers))}
        if _ORDER_ID.fullmatch(order):
            ids["order_id"] = order
        _log.info("request", **told, **{name: one for name, one in ids.items() if one})


SAMPLE: Final = Sample()
