"""The tables of a report, for whoever shows them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from engine.shadow.types import Report


class Section(NamedTuple):
    """A table: columns with # before their names are numbers, a cell may be a list of `Why`."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


def sections(found: Report) -> list[Section]:
    """Return the tables that have rows, what costs most first."""
    return [one for one in (*_findings(found), *_beside(found)) if one.rows]


def _findings(found: Report) -> list[Section]:
    return [
        Section(
            "Oversold",
            ("SKU", "channel", "#units", "#orders", "first", "first order", "why"),
            [
                (
                    one.sku,
                    one.channel,
                    one.units,
                    one.orders,
                    one.first_at,
                    one.first_order,
                    one.why,
                )
                for one in found.oversold
            ],
        ),
        Section(
            "Showed more than there was",
            ("listing", "SKU", "#units at most", "#minutes", "first"),
            [
                (_listing(one), one.sku, one.units_most, one.minutes, one.first_at)
                for one in found.exposed
            ],
        ),
        Section(
            "Undersold: showed 0 while units were free",
            ("listing", "SKU", "#unit-minutes", "#units at most", "first", "why"),
            [
                (_listing(one), one.sku, one.unit_minutes, one.units_most, one.first_at, one.why)
                for one in found.undersold
            ],
        ),
        Section(
            "Drift: pieces shown beyond what would have been published",
            ("listing", "SKU", "#worst", "at", "#at the end", "#minutes"),
            [
                (_listing(one), one.sku, one.worst, one.worst_at, one.at_end, one.minutes)
                for one in found.drift
            ],
        ),
    ]


def _beside(found: Report) -> list[Section]:
    """Return what kept the report from saying more."""
    return [
        Section(
            "Links that stand for no one SKU",
            ("link", "stands for", "#orders", "#pieces", "first"),
            [
                (_listing(one), ", ".join(one.skus) or "-", one.orders, one.pieces, one.first_at)
                for one in found.unmapped
            ],
        ),
        Section("Sold or shown, but never counted", ("SKU",), [(sku,) for sku in found.uncounted]),
    ]


def _listing(one: Any) -> str:
    return "/".join(filter(None, (one.channel, one.item_id, one.sku_id)))
