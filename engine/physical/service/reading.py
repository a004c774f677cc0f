"""Lines as they came, brought to keys and units by what nodes and the catalogue say."""

from collections.abc import Sequence
from typing import Final

import msgspec

from engine.catalogue import service as catalogue
from engine.infra.postgres import Connection
from engine.kernel.errors import ValidationFailed
from engine.kernel.ids import fingerprint
from engine.kernel.types import Fault, Tenant
from engine.physical.rules import lines as rules
from engine.physical.rules.lines import LineFault, Placed, Told
from engine.physical.store import nodes

FAULTS_SHOWN_MAX: Final = 50


async def place(
    tx: Connection, tenant: Tenant, lines: Sequence[Told]
) -> tuple[list[Placed], list[LineFault]]:
    """Find the key and the units of each line; what is wrong with others is returned beside."""
    known_nodes = await nodes.known(tx, tenant, rules.askable({line.node for line in lines}))
    skus = await catalogue.stocked(tx, tenant, rules.askable({line.sku for line in lines}))
    return rules.place(lines, known_nodes, skus)


def digest(value: msgspec.Struct) -> str:
    """Return the short text by which two versions of what was told are told apart."""
    return fingerprint(msgspec.json.encode(value))


def refuse(faults: Sequence[LineFault]) -> None:
    """Refuse all lines for those that are wrong.

    Raises:
        ValidationFailed: with the first of the faults.
    """
    if not faults:
        return
    shown = [
        Fault(f"/lines/{one.n}/{one.field}".rstrip("/"), one.detail)
        for one in faults[:FAULTS_SHOWN_MAX]
    ]
    more = len(faults) - len(shown)
    told = f"; {more} more errors are not shown" if more else ""
    raise ValidationFailed(shown, f"nothing was changed, because lines are not valid{told}")
