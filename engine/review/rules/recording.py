"""An order as it is kept to an order that can be judged; pure."""

from engine.review.rules.demand import demand
from engine.review.rules.facts import digest, review_facts
from engine.review.types.judging import Subject
from engine.review.types.recorded import Recorded, Row


def recorded(row: Row) -> Recorded:
    """Return what is judged of an order; a bundle counts as what was bought, not as its parts."""
    document, lines = row.document, row.lines
    ship_to = row.moved_to or document.get("ship_to") or {}
    bought = [(one.sku, one.units) for one in lines if one.part_of in {0, one.line_no}]
    facts = review_facts(
        document, ship_to, bought, payable=row.payable, currency=row.currency,
        on_delivery=row.payment_state == "on_delivery", placed_at=row.placed_at,
    )  # fmt: skip
    by_number = {one.line_no: (one.sku, one.units) for one in lines}
    subject = Subject(
        row.order_id, row.state, row.payment_state, row.authority,
        document.get("fulfilled_by") or "merchant", row.placed_at, row.paid_at, row.cool_off_s,
        facts, digest(facts), demand(row.draws, row.groups, by_number, row.sent), row.blocks,
        row.last,
    )  # fmt: skip
    return Recorded(
        row.row_version, row.channel, row.currency, row.payable, document, ship_to, lines, subject
    )
