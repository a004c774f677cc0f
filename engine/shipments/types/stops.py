"""A request that something be stopped, and its one answer."""

from typing import Any, Literal, NamedTuple

Cause = Literal["cancel", "refund", "address", "manual"]
Answer = Literal["stopped", "not_stopped", "intercept_requested"]
Part = Literal["", "stopped", "not_stopped", "intercept_requested"]

AddressState = Literal["requested", "applied", "refused"]


class Address(NamedTuple):
    """A change of where an order is to go; `ship_to` as it was told, `region` its region's code.

    Of a change that a marketplace told, `ship_to` is empty: the order's document has it. `former`
    is the region by which its shipments were routed then.
    """

    revision: int
    change_id: str
    state: AddressState
    region: str
    ship_to: dict[str, Any]
    former: str = ""


class ToldAddress(NamedTuple):
    """What a marketplace's snapshot says of where an order goes: regions, and `at` in ms."""

    order_id: str
    region: str
    former: str
    change_id: str
    actor: str
    at: int


class Ask(NamedTuple):
    """What is to be stopped: these lines, or with none of them the whole order.

    (order, cause, cause_id) is asked once. `detail` is kept for whoever acts on the answer.
    """

    tenant: str
    order_id: str
    cause: Cause
    cause_id: str
    lines: tuple[tuple[int, int], ...]
    actor: str
    detail: dict[str, Any]

    @property
    def stop_id(self) -> str:
        """The id, derived."""
        return f"{self.order_id}:{self.cause}:{self.cause_id}"


class Stop(NamedTuple):
    """A stop as it stands; `answer` is "" while it is open."""

    stop_id: str
    order_id: str
    cause: Cause
    cause_id: str
    lines: tuple[tuple[int, int], ...]
    actor: str
    shipments: tuple[str, ...]
    answer: Part
    detail: dict[str, Any]
