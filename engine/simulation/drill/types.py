"""What a drill is told, and what it found."""

from typing import NamedTuple

from engine.kernel import codec

REOPENS_WITHIN_S = 10.0
REOPENS_WITHIN_S_MANY = 30.0  # with more holds than HOLDS_MANY
HOLDS_MANY = 100_000
LOST_LISTED_MAX = 1_000


class Options(NamedTuple):
    """What the command was given: `holds` are open before the load, which comes for `seconds`."""

    orders_per_second: int = 3_000
    holds: int = 20_000
    seconds: float = 20.0

    @property
    def reopens_within_s(self) -> float:
        """The bar: how long nothing may be accepted."""
        many = self.holds > HOLDS_MANY
        return REOPENS_WITHIN_S_MANY if many else REOPENS_WITHIN_S


class Report(codec.Answer, frozen=True):
    """What `tidegate drill lose-cell` found; `failures` are bars that were not met.

    `lost` are channels' ids of orders that were answered 202 and are not recorded, at most 1,000 of
    `lost_in_all`. The engine itself cannot name them: what Postgres had not yet was in the cell and
    in the processes that accepted it, and is lost with both; it counts `lost_counted` of them,
    those that a living keeper or recorder had seen. `unknown` are orders that never got an answer,
    of which some may be recorded.
    """

    holds: int
    orders_per_second: float
    accepted_before: int
    accepted_after: int
    refused: int
    unknown: int
    recorded: int
    seconds_to_reopen: float
    seconds_to_rebuild: float
    rebuilt_orders: int
    rebuilt_pending: int
    lost: list[str]
    lost_in_all: int
    lost_counted: int
    not_replayed: int
    oversold: int
    certificate: str
    failures: list[str]

    @property
    def passed(self) -> bool:
        """Whether every bar was met."""
        return not self.failures
