"""Decisions on their way into the tables, and what came of them."""

from collections.abc import Mapping
from typing import NamedTuple

from engine.routing.types.capacity import Cell, Room
from engine.routing.types.core import Decision, Order, Snapshot
from engine.routing.types.queue import Claimed

Inputs = tuple[int, int, int]


class Wish(NamedTuple):
    """A decision that is to be bound, of an order that was leased; `inputs` is its record."""

    claimed: Claimed
    decision: Decision
    inputs: bytes = b""

    @property
    def order(self) -> Order:
        """The order as it was decided."""
        return self.claimed.order


class Made(NamedTuple):
    """By what decisions were made.

    `inputs` says which versions of rules of stock, nodes and profiles the snapshot is of. `owners`
    are those of SKUs; `keys` are those of goods without a batch, by SKU and node; of a SKU that is
    not in the snapshot's stock nothing is assigned. `limits` are of what has one. `no_return` is by
    node. `names` stands for what numbers of nodes and services are called. For `merge_s` a parcel
    waits for others that go to the same door, 0 for none.
    """

    snap: Snapshot
    at_ms: int
    plan: str
    version: int
    owners: Mapping[str, str]
    keys: Mapping[str, Mapping[str, int]]
    limits: Mapping[Cell, int]
    no_return: Mapping[str, str]
    names: int = 0
    merge_s: int = 0
    inputs: Inputs = (0, 0, 0)


class Outcome(NamedTuple):
    """What became of wishes, by order.

    `lost` are to be decided again; all are, if `outdated`: rules of stock, nodes or profiles are
    others by now. Of what was asked for, `keys` have so many units left; by SKU and node so many
    are `free` where the chain guards them; `rooms` are those of capacity, all as they were a moment
    ago. `stale` are no longer what was decided: somebody else makes their facts anew.
    """

    bound: list[Wish]
    parked: list[Wish]
    lost: list[Wish]
    stale: list[Wish]
    keys: Mapping[int, int]
    free: Mapping[tuple[str, str], int]
    rooms: Mapping[Cell, Room]
    outdated: bool = False
