"""What a demo found: a table for people, JSON for machines, one verdict for both."""

import sys
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from engine.assurance import report
from engine.assurance.types import Certificate, PoolRow
from engine.kernel import codec
from engine.simulation import fulfilment
from engine.simulation.fulfilment import Fulfilled
from engine.simulation.marketplace.beyond import Remedied
from engine.simulation.naive import Oversold
from engine.simulation.proof import Recorded
from engine.simulation.seen import Seen
from engine.simulation.times import Latency, latency
from engine.simulation.types import Demand

_FAULTS_SHOWN_MAX: Final = 10
_NOTES_SHOWN_MAX: Final = 10
_POOLS_SHOWN_MAX: Final = 12
_SYNCED: Final = ("created", "updated", "unchanged", "stale")


class Summary(codec.Answer, frozen=True):
    """One demo: `orders` counts orders, `answers` what their buyers met on the way.

    `accepted_ms` and `refused_ms` count from sending to the answer; `queued_ms` is how long buyers
    waited from their time until then, for a connection: long when the machine is slow. All these
    are of the own mall; `beyond_stock` is what the `marketplaces` sold that we did not have, and
    `fulfilment` is what became of an everyday shop's orders, null where none were sent.
    """

    demand: str
    orders: dict[str, int]
    refused: dict[str, int]
    payments: dict[str, int]
    answers: dict[str, int]
    accepted_ms: Latency
    refused_ms: Latency
    queued_ms: Latency
    slowest_order_s: float
    answers_per_second: int
    interruption_s: float | None
    naive: dict[str, Any]
    marketplaces: dict[str, dict[str, int]]
    beyond_stock: list[Remedied]
    fulfilment: Fulfilled | None
    certificate: dict[str, Any]
    notes: list[str]
    faults: list[str]
    seconds: float

    @property
    def proved(self) -> bool:
        """Whether everything holds and the naive script shows that the race was a real one."""
        return not self.faults


def summarise(
    demand: Demand,
    seen: Seen,
    recorded: Recorded,
    naive: Oversold,
    certificate: Certificate,
    seconds: float,
) -> Summary:  # fmt: skip
    """Put everything together and judge it."""
    counts, sent = seen.counts, _sent(recorded, certificate)
    return Summary(
        demand=demand.title,
        orders={
            "sent": counts["orders"],
            "accepted": len(seen.orders),
            "recorded": recorded.orders,
            "paid": recorded.paid,
            "cancelled": recorded.cancelled,
            "expired": recorded.expired,
            "refund_due": recorded.refund_due,
        },
        refused=dict(seen.refused.most_common()),
        payments={
            "answered": len(seen.payments),
            "recorded": recorded.payments,
            **_named(seen, "payments "),
        },
        answers={
            "replayed": counts["replayed"],
            "retries": counts["retries"],
            "no_answer": counts["no answer"],
            "come_back_later": counts["come back"],
            "hung_up": counts["hung up"],
            "changed_bodies_refused": counts["changed bodies refused"],
            "cancels": counts["cancels"],
            "cancels_refused": counts["cancels refused"],
        },
        accepted_ms=latency(seen.accepted_s),
        refused_ms=latency(seen.refused_s),
        queued_ms=latency(seen.queued_s),
        slowest_order_s=round(seen.slowest_s, 3),
        answers_per_second=max(seen.answered_per_second.values(), default=0),
        interruption_s=None if seen.interruption_s is None else round(seen.interruption_s, 3),
        naive=naive._asdict(),
        marketplaces=recorded.markets.counts,
        beyond_stock=recorded.markets.beyond,
        fulfilment=sent,
        certificate={**msgspec.to_builtins(certificate), "holds": certificate.holds},
        notes=[*demand.notes, *_cut_short(demand, counts["orders"]), *_not_sent(recorded, sent)],
        faults=[
            *seen.faults,
            *recorded.faults,
            *recorded.markets.faults,
            *(sent.faults if sent else ()),
            *_verdicts(seen, naive, certificate),
        ],
        seconds=round(seconds, 1),
    )


def _sent(recorded: Recorded, certificate: Certificate) -> Fulfilled | None:
    """Return what was sent, with what the certificate says of it."""
    if isinstance(recorded.fulfilled, str):
        return None
    stopped = certificate.shipped_after_stop
    return msgspec.structs.replace(recorded.fulfilled, shipped_after_stop=stopped)


def _not_sent(recorded: Recorded, sent: Fulfilled | None) -> list[str]:
    if sent is not None:
        return sent.notes
    return [f"no orders were sent: {recorded.fulfilled}"] if recorded.fulfilled else []


def _verdicts(seen: Seen, naive: Oversold, certificate: Certificate) -> list[str]:
    never = len(seen.unknown) + seen.counts["payments never answered"]
    never += seen.counts["cancels never answered"]
    found = []
    if not certificate.holds:
        found.append("the certificate does not hold")
    if never:
        found.append(f"{never} buyers never got an answer: look into the API's log")
    if not naive.oversold:
        found.append(
            "the naive script did not oversell: this demand has no race for the same units,"
            " so it proves nothing; give more orders for fewer SKUs"
        )
    return found


def _cut_short(demand: Demand, sent: int) -> list[str]:
    if sent == len(demand.orders):
        return []
    said = f"{sent:,} of {len(demand.orders):,} orders were sent in the {demand.lasts_s_max:.0f} s"
    return [f"{said} that this sale lasts: the machine is slow or busy"]


def _named(seen: Seen, prefix: str) -> dict[str, int]:
    return {
        name.removeprefix(prefix).replace(" ", "_"): count
        for name, count in sorted(seen.counts.items())
        if name.startswith(prefix)
    }


def show(summary: Summary, certificate: Certificate, *, as_json: bool) -> None:
    """Write the result to stdout: one JSON document, or a table and the certificate."""
    if as_json:
        told = {**msgspec.to_builtins(summary), "proved": summary.proved}
        sys.stdout.write(codec.encode_pretty(told).decode())
        return
    console = Console(highlight=False, soft_wrap=True)
    for note in summary.notes[:_NOTES_SHOWN_MAX]:
        console.print(f"note: {note}", markup=False)
    if len(summary.notes) > _NOTES_SHOWN_MAX:
        console.print(f"note: and {len(summary.notes) - _NOTES_SHOWN_MAX} more")
    console.print(_table(summary))
    largest = sorted(certificate.pools, key=lambda row: -_granted(row))[:_POOLS_SHOWN_MAX]
    if len(certificate.pools) > len(largest):
        console.print(f"the {len(largest)} largest of {len(certificate.pools):,} pools:")
    report.show(msgspec.structs.replace(certificate, pools=largest), as_json=False)
    if summary.beyond_stock:
        console.print(_beyond_stock(summary.beyond_stock))
    fulfilment.show(summary.fulfilment, console)
    for fault in summary.faults[:_FAULTS_SHOWN_MAX]:
        console.print(f"fault: {fault}", markup=False)
    if len(summary.faults) > _FAULTS_SHOWN_MAX:
        console.print(f"fault: and {len(summary.faults) - _FAULTS_SHOWN_MAX} more")
    console.print("demo: proved" if summary.proved else "demo: FAILED")


def _granted(row: PoolRow) -> int:
    side = row.recorded or row.cell
    return side.granted if side else 0


def _beyond_stock(rows: list[Remedied]) -> Table:
    table = Table(
        title="sold by marketplaces beyond stock: recorded, and blocked until it is made good",
        caption="Move by POST /v1/pools:move, grant by a PUT of the campaign or supply policy,"
        " refund at the marketplace, whose next snapshot tells us. What another marketplace has"
        " free is left out: it still shows it. Order by order: GET /v1/orders?block=short",
    )
    for name in ("shop", "sku"):
        table.add_column(name)
    for name in ("units owed", "orders"):
        table.add_column(name, justify="right")
    table.add_column("remedy")
    for row in rows:
        table.add_row(row.channel, row.sku, f"{row.units:,}", f"{row.orders:,}", row.remedy)
    return table


def _table(summary: Summary) -> Table:
    table = Table(title=f"a sale over HTTP: {summary.demand}", show_header=False)
    table.add_column("what")
    table.add_column("how many", justify="right")
    for name, count in summary.orders.items():
        table.add_row(f"orders {name.replace('_', ' ')}", f"{count:,}")
    for code, count in summary.refused.items():
        table.add_row(f"orders refused: {code.replace('_', ' ')}", f"{count:,}")
    for name, count in (*summary.payments.items(), *summary.answers.items()):
        prefix = "payments " if name in summary.payments else ""
        table.add_row(prefix + name.replace("_", " "), f"{count:,}")
    for what, times in (
        ("accepted", summary.accepted_ms),
        ("refused", summary.refused_ms),
        ("waited before sending", summary.queued_ms),
    ):
        values = f"{times.p50} / {times.p95} / {times.p99} / {times.max}"
        table.add_row(f"{what}: p50 / p95 / p99 / max ms", values)
    for channel, counts in summary.marketplaces.items():
        table.add_row(f"{channel}: orders by sync", f"{counts['orders']:,}")
        told = " / ".join(f"{counts.get(name, 0):,}" for name in _SYNCED)
        table.add_row(f"  {' / '.join(_SYNCED)}", told)
    table.add_row("slowest order, retries included", f"{summary.slowest_order_s} s")
    table.add_row("order answers in the busiest second", f"{summary.answers_per_second:,}")
    gap = "not measured" if summary.interruption_s is None else f"{summary.interruption_s} s"
    table.add_row("accepting interrupted by kill -9 of Valkey", gap)
    table.add_row("oversold by Tidegate", f"{summary.certificate['oversold_by_us']} units")
    table.add_row("oversold by the naive script", f"{summary.naive['oversold']:,} units")
    if summary.naive["oversold"]:
        worst = "{worst_sku}: sold {worst_sold:,} of {worst_stock:,}".format(**summary.naive)
        table.add_row("  most of them", worst)
    table.add_row("seconds", f"{summary.seconds}")
    return table
