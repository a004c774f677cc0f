"""What the pools of one SKU are planned from."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from engine.campaigns.types import CampaignSku
from engine.inventory.types import Dimensions, PolicyFields
from engine.kernel.types import Tenant


class Policy(NamedTuple):
    """A policy that was planned, and in which version."""

    id: str
    version: int
    fields: PolicyFields

    @property
    def reference(self) -> str:
        """What grants are made for."""
        return f"{self.id}@{self.version}"


class Card(NamedTuple):
    """What policies find a SKU by."""

    sku: str
    owner: str = ""
    category: str = ""
    brand: str = ""


class Base(NamedTuple):
    """Units of a SKU at the nodes of one group: what may be sold, and what left for orders."""

    sellable: int
    assigned: int


class Pool(NamedTuple):
    """A pool as recorded. `given` is what its grants amount to, `moved` what came beside them.

    `drained` of that was brought there, or away, because a policy said so: nobody's wish.
    """

    id: str
    name: Dimensions
    last_seq: int = 0
    given: int = 0
    moved: int = 0
    free: int = 0
    used: int = 0  # held and sold, less owed
    ended: bool = False
    drained: int = 0


class Claim(NamedTuple):
    """What a campaign says of the SKU; `waves` are (instant, units by channel)."""

    campaign: str
    version: int
    channels: Sequence[str]
    says: CampaignSku
    waves: Sequence[tuple[datetime, Mapping[str, int]]] = ()

    @property
    def reference(self) -> str:
        """What grants are made for."""
        return f"{self.campaign}@{self.version}"

    def quota(self, channel: str, now: datetime) -> int:
        """Return the units that a channel should have by now."""
        begun = sum(units.get(channel, 0) for at, units in self.waves if at <= now)
        return self.says.quota.get(channel, 0) + begun

    def to_come(self, channel: str, now: datetime) -> int:
        """Return the units that it gets later."""
        return sum(units.get(channel, 0) for at, units in self.waves if at > now)

    def names(self, channel: str) -> bool:
        """Tell whether it ever gives the channel units of its own."""
        return channel in self.says.quota or any(channel in units for _, units in self.waves)


class Stock(NamedTuple):
    """All that is known of one SKU. `bases` are by group; None: it was never counted."""

    tenant: Tenant
    card: Card
    pools: Sequence[Pool] = ()
    policies: Sequence[Policy] = ()
    claims: Sequence[Claim] = ()
    bases: Mapping[str, Base] | None = None
    external: Collection[str] = frozenset()  # channels
