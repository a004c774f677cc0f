"""The tables of a played fulfilment."""

from rich.console import Console
from rich.table import Table

from engine.kernel.codec import Money
from engine.simulation.fulfilment.types import Fulfilled


def show(found: Fulfilled | None, console: Console) -> None:
    """Print the figures, the stops, and last the order that was followed; nothing of None."""
    if found is not None:
        console.print(_figures(found))
        console.print(_stops(found))
        for line in found.followed:
            console.print(line, markup=False)


def _figures(found: Fulfilled) -> Table:
    table = Table(title="an everyday shop: routed, sent, delivered", show_header=False)
    table.add_column("what")
    table.add_column("how many", justify="right")
    table.add_row("orders", f"{found.orders:,}")
    table.add_row("orders delivered", f"{found.delivered:,}")
    table.add_row("parcels", f"{found.parcels:,}")
    table.add_row("parcels per order", f"{found.parcels_per_order:.3f}")
    for count, orders in found.orders_by_parcels.items():
        table.add_row(f"  orders in {count}", f"{orders:,}")
    kept, promised = found.promise["kept"], found.promise["parcels"]
    table.add_row("promise kept, parcels", f"{kept:,} of {promised:,}")
    table.add_row("freight as quoted", money(found.freight))
    table.add_row("  a parcel", money(found.freight_per_parcel))
    for node, orders in found.orders_by_node.items():
        table.add_row(f"orders sent by {node}", f"{orders:,}")
    for service, sent in found.parcels_by_service.items():
        table.add_row(f"parcels by {service}", f"{sent:,}")
    times = found.routed_ms
    table.add_row("from payment to routed: p50 / p99 ms", f"{times.p50:.0f} / {times.p99:.0f}")
    for queue, orders in found.queues.items():
        table.add_row(f"waiting in {queue}", f"{orders:,}")
    for state, told in found.acks.items():
        table.add_row(f"parcels told to their marketplace: {state}", f"{told:,}")
    table.add_row("shipped after stop", f"{found.shipped_after_stop}")
    table.add_row("seconds", f"{found.seconds}")
    return table


def _stops(found: Fulfilled) -> Table:
    table = Table(title="refunds of what a warehouse had in hand")
    for name in ("shipment", "node", "it was"):
        table.add_column(name)
    table.add_column("answer")
    table.add_column("seconds", justify="right")
    for one in found.stops:
        table.add_row(one.shipment_id, one.node, one.state, one.answer, f"{one.seconds:.2f}")
    return table


def money(amount: Money) -> str:
    """Return an amount as people write it."""
    return f"{amount.amount / 100:,.2f} {amount.currency}"
