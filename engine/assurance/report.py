"""A certificate as a person reads it."""

import sys
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from engine.assurance import rules
from engine.assurance.types import ACCOUNTS, Certificate, PoolRow, PoolTotals
from engine.assurance.verify import certify as certify_cell
from engine.infra.cell import Cell
from engine.infra.runtime import Runtime
from engine.kernel import codec

_POOLS_SHOWN_MAX: Final = 40


async def certify(process: Runtime) -> Certificate:
    """Certify the cell of a process."""
    assert isinstance(process.cell, Cell)
    return await certify_cell(process.cell, process.pool, process.clock)


def show(certificate: Certificate, *, as_json: bool) -> None:
    """Write a certificate to stdout, its verdict last."""
    if as_json:
        told = {**msgspec.to_builtins(certificate), "holds": certificate.holds}
        sys.stdout.write(codec.encode_pretty(told).decode())
        return
    console = Console(soft_wrap=True)
    console.print(_pools(certificate))
    for line in lines(certificate):
        console.print(line, highlight=False, markup=False)


def lines(certificate: Certificate) -> list[str]:
    """Return what stands below the table."""
    faults = [f"  {fault}" for fault in certificate.faults]
    return [
        f"checkpoint at log id {certificate.log_id}, Postgres stands at {certificate.position}",
        f"accepted {certificate.accepted}, recorded {certificate.recorded_there}",
        f"orders now {certificate.orders}, second holds given back {certificate.duplicates}",
        f"dead letters {certificate.dead_letters}",
        *faults,
        f"oversold by us: {certificate.oversold_by_us}",
        f"sold by channels beyond stock: {certificate.sold_beyond_stock}",
        f"shipped after stop: {certificate.shipped_after_stop}",
        f"shipped twice: {certificate.shipped_twice}",
        f"orders nowhere: {certificate.orders_nowhere}",
        rules.verdict(certificate),
    ]


def _pools(certificate: Certificate) -> Table:
    shown = certificate.pools[:_POOLS_SHOWN_MAX]
    left_out = len(certificate.pools) - len(shown)
    caption = f"and {left_out} more pools" if left_out else None
    table = Table(
        title="pools, the same in the cell and in Postgres (a | b: they differ)", caption=caption
    )
    for name in ("campaign", "sku", "channel"):
        table.add_column(name)
    for name in ACCOUNTS:
        table.add_column(name, justify="right")
    for row in shown:
        sides = [_sides(row, n) for n in range(len(ACCOUNTS))]
        table.add_row(row.campaign or "-", row.sku, row.channel or "shared", *sides)
    return table


def _sides(row: PoolRow, n: int) -> str:
    """One account of a pool: one number when both sides agree, both when they do not."""
    cell, recorded = _side(row.cell, n), _side(row.recorded, n)
    return cell if cell == recorded else f"{cell} | {recorded}"


def _side(totals: PoolTotals | None, n: int) -> str:
    return "?" if totals is None else str(totals[n])
