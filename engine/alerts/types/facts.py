"""What is measured, and what rules make of it."""

from typing import NamedTuple

from engine.alerts.types.documents import AlertKind, Severity


class Subject(NamedTuple):
    """What something is measured of; "" is none of it."""

    sku: str = ""
    channel: str = ""
    campaign: str = ""
    node: str = ""
    node_group: str = ""
    batch: str = ""
    item_id: str = ""
    sku_id: str = ""


class Fact(NamedTuple):
    """A measurement: units, seconds or days, as its kind says."""

    kind: AlertKind
    subject: Subject
    value: int


class Card(NamedTuple):
    """What rules find a SKU by, besides its name."""

    category: str = ""
    brand: str = ""


class Rule(NamedTuple):
    """A rule as it is applied; "" in what it matches is any. One that is quiet forbids alerts."""

    id: str
    kind: AlertKind
    limit: int
    severity: Severity
    sku: str = ""
    category: str = ""
    brand: str = ""
    channel: str = ""
    node: str = ""
    quiet: bool = False


class Alert(NamedTuple):
    """What a rule says of a fact."""

    value: int
    limit: int
    severity: Severity
    rule: str


Standing = tuple[AlertKind, Subject]
