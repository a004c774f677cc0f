"""What is read of orders, nodes and the world by whoever chooses a service.

Whoever routes brings its own nouns; they fit if they have these values.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from engine.carriers.types.services import Cards, Service

Capacity: TypeAlias = "Mapping[tuple[str, str, int, str], tuple[int, int | None]]"
Slot: TypeAlias = "tuple[str, str, int, str, int]"


class Line(Protocol):
    """What is read of a line; its grams, cm3 and value are of all its units."""

    @property
    def units(self) -> int: ...  # noqa: D102
    @property
    def grams(self) -> int: ...  # noqa: D102
    @property
    def cm3(self) -> int: ...  # noqa: D102
    @property
    def value(self) -> int: ...  # noqa: D102
    @property
    def tags(self) -> frozenset[str]: ...  # noqa: D102
    @property
    def service(self) -> str: ...  # noqa: D102


class Order(Protocol):
    """What is read of an order; `ship_by` and `deliver_by` are 0 where nothing was promised."""

    @property
    def region(self) -> str: ...  # noqa: D102
    @property
    def lines(self) -> Sequence[Line]: ...  # noqa: D102
    @property
    def mode(self) -> str: ...  # noqa: D102
    @property
    def tier(self) -> str: ...  # noqa: D102
    @property
    def cod(self) -> int: ...  # noqa: D102
    @property
    def insured(self) -> int: ...  # noqa: D102
    @property
    def ship_by(self) -> int: ...  # noqa: D102
    @property
    def deliver_by(self) -> int: ...  # noqa: D102
    @property
    def allow(self) -> frozenset[str]: ...  # noqa: D102
    @property
    def deny(self) -> frozenset[str]: ...  # noqa: D102


class Node(Protocol):
    """What is read of a node."""

    @property
    def node(self) -> str: ...  # noqa: D102
    @property
    def no(self) -> int: ...  # noqa: D102
    @property
    def region(self) -> str: ...  # noqa: D102
    @property
    def calendar(self) -> Any: ...  # noqa: D102
    @property
    def handling(self) -> tuple[tuple[int, int], ...]: ...  # noqa: D102


class Known(Protocol):
    """What is read of the world; `off` is (service, region), `capacity` is (used, limit)."""

    @property
    def services(self) -> tuple[Service, ...]: ...  # noqa: D102
    @property
    def cards(self) -> Cards: ...  # noqa: D102
    @property
    def off(self) -> frozenset[tuple[str, str]]: ...  # noqa: D102
    @property
    def capacity(self) -> Capacity: ...  # noqa: D102
    @property
    def load(self) -> tuple[int, ...]: ...  # noqa: D102
