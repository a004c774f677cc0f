"""Names for identifiers and the few values that cross every slice."""

from dataclasses import dataclass
from typing import NewType

OrderId = NewType("OrderId", str)
Sku = NewType("Sku", str)
ChannelId = NewType("ChannelId", str)
CampaignId = NewType("CampaignId", str)
NodeId = NewType("NodeId", str)
PoolId = NewType("PoolId", str)
CellId = NewType("CellId", str)
Tenant = NewType("Tenant", str)
LogId = NewType("LogId", str)

MAIN: Tenant = Tenant("main")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request: where (a JSON pointer) and what is accepted."""

    pointer: str
    detail: str
