"""The rule: which shipments leave as one consignment, and what becomes of them if one is stopped.

Shipments are merged that go from one node by one kind of service to one door. Whose door it is says
the channel's own merge key; where it has none, the buyer and the whole address, as they were told.
Encrypted consignees have an opaque id, which is as good. Without any of them nothing is merged: two
orders that merely look alike may be of two people.

Each merged shipment keeps its own lines and its own promise; only what its node is asked for is
one. So taking a consignment apart loses nothing.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from engine.shipments.types.shipments import Mode, Shipment

MEMBERS_MAX: Final = 16
GRAMS_MAX: Final = 30_000  # what a person carries; a consignment is one parcel where it can be


class Door(NamedTuple):
    """Who gets a shipment, and what else must be the same of what is merged with it.

    `key` is the channel's own; `consignee` the opaque id of an encrypted one. `apart` is what is
    never merged: cash on delivery, say.
    """

    tenant: str
    channel: str
    owner: str
    node: str
    mode: Mode
    tier: str
    key: str = ""
    buyer: str = ""
    consignee: str = ""
    address: tuple[tuple[str, str], ...] = ()
    apart: bool = False


class Waiting(NamedTuple):
    """A planned shipment that waits for others; it is sent at `release_at`, merged or alone."""

    shipment_id: str
    merge_hash: str
    node: str
    service: str
    grams: int
    release_at: datetime


class Consignment(NamedTuple):
    """Shipments that leave as one, by the id of the first; sent when the first of them is due."""

    consignment_id: str
    members: tuple[str, ...]
    release_at: datetime


def address_of(ship_to: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Return an address as it is compared: every text of it, with case and blanks evened out."""
    return tuple(
        sorted((name, _even(value)) for name, value in ship_to.items() if isinstance(value, str))
    )


def merge_hash(door: Door) -> str:
    """Return what shipments that may be merged have in common; "" of what is never merged."""
    if door.apart or door.mode != "ship":
        return ""
    whose: tuple[str, ...]
    if door.key:
        whose = ("key", door.key)
    elif door.consignee:
        whose = ("consignee", door.consignee)
    elif door.buyer and door.address:
        whose = ("buyer", door.buyer, *(text for pair in door.address for text in pair))
    else:
        return ""
    parts = (door.tenant, door.channel, door.owner, door.node, door.tier, *whose)
    text = "".join(f"{len(part)}:{part}" for part in parts)  # no two lists give one text
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def merged(waiting: Iterable[Waiting]) -> list[Consignment]:
    """Return the consignments of two and more to make of planned shipments, by id.

    The one that is due first takes in who fits, in the order they are due; the order of `waiting`
    does not matter. What is left over waits alone.
    """
    groups: dict[tuple[str, str, str], list[Waiting]] = {}
    for one in waiting:
        if one.merge_hash:
            groups.setdefault((one.merge_hash, one.node, one.service), []).append(one)
    made: list[Consignment] = []
    for group in groups.values():
        left = sorted(group, key=lambda one: (one.release_at, one.shipment_id))
        while left:
            taken, left = _filled(left)
            if len(taken) > 1:
                members = tuple(one.shipment_id for one in taken)
                made.append(Consignment(members[0], members, taken[0].release_at))
    return sorted(made)


def to_send_again(members: Iterable[Shipment], asked: Collection[str]) -> tuple[str, ...]:
    """Return the members of a consignment that was cancelled which nobody asked to stop.

    Each is planned anew and alone; one that its node rejected, or that left, is not.
    """
    return tuple(
        sorted(
            one.shipment_id
            for one in members
            if one.state == "cancelled" and one.shipment_id not in asked
        )
    )


def _filled(waiting: list[Waiting]) -> tuple[list[Waiting], list[Waiting]]:
    taken, left, grams = [waiting[0]], [], waiting[0].grams
    for one in waiting[1:]:
        if len(taken) < MEMBERS_MAX and grams + one.grams <= GRAMS_MAX:
            taken.append(one)
            grams += one.grams
        else:
            left.append(one)
    return taken, left


def _even(value: object) -> str:
    return " ".join(str(value).casefold().split())
