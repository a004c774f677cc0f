"""What a call may end with beside an answer."""

from typing import Any

import msgspec

from engine.client.types import Fault


class ClientError(Exception):
    """A call did not do what was asked, or nobody knows."""


class Unreachable(ClientError):
    """No connection was made within the deadline: nothing was done."""


class OutcomeUnknown(ClientError):
    """It was sent, and no answer came within the deadline: ask, or send the same again.

    `name` is what the caller called it: an order's channel_order_id, a payment's payment_id.
    """

    def __init__(self, what: str, name: str = "", why: str = "") -> None:
        """Take the call, its caller's name for it, and what happened last."""
        self.name = name
        super().__init__(f"{what} {name}: {why}".replace("  ", " "))


class Problem(ClientError):
    """The API refused (RFC 9457); `document` has what else it says of this `code`.

    `repeated` says that an earlier try of the same call got no answer, and may have been done.
    """

    def __init__(
        self, status: int, document: dict[str, Any], request_id: str = "", *, repeated: bool = False
    ) -> None:
        """Take the answer as it came."""
        self.status = status
        self.document = document
        self.code = str(document.get("code", ""))
        self.detail = str(document.get("detail", ""))
        self.errors = msgspec.convert(document.get("errors", []), list[Fault])
        self.request_id = request_id
        self.repeated = repeated
        where = "".join(f"; {one.pointer}: {one.detail}" for one in self.errors)
        super().__init__(f"{status} {self.code}: {self.detail}{where} (request {request_id})")
