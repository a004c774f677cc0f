"""What is put right by itself, and what is only stopped.

Safe is what cannot make a unit be sold twice: it compares and sets, or sends what is numbered. The
rest stops a SKU's sale, or the cell, and is left to a person.
"""

from typing import Any, Final, TypeAlias

import msgspec
import structlog

from engine.assurance import store as opening
from engine.assurance.reconciling.store import SQL
from engine.assurance.reconciling.types import (
    CloseCell,
    Drift,
    Fix,
    MendCounter,
    MendDue,
    MendSeq,
    NotePause,
    RaiseEpoch,
    Replan,
    SendAgain,
    StopSku,
    TellPause,
    TellRule,
)
from engine.infra import publishing
from engine.infra.cell import Cell
from engine.infra.postgres import Connection, Pool
from engine.kernel.types import Tenant

InPostgres: TypeAlias = SendAgain | TellRule | Replan | NotePause | RaiseEpoch
InCell: TypeAlias = MendCounter | MendSeq | MendDue | TellPause | StopSku | CloseCell
_logger: Final = structlog.get_logger()
ACTOR: Final = "reconciler"


async def repair(cell: Cell, db: Pool, drift: Drift, drift_id: int) -> str:
    """Do what is to be done about a drift and return it as a sentence; "" when nothing was.

    What was done is written into `adjustments`, and to the drift.
    """
    fix = drift.fix
    if fix is None or not (isinstance(fix, InPostgres) or await _in_cell(cell, fix, drift.detail)):
        return ""
    async with db.acquire() as connection, connection.transaction():
        if isinstance(fix, InPostgres) and not await _in_postgres(cell, connection, fix):
            return ""
        done = would(fix)
        await connection.execute(SQL["note_repair"], drift_id, done)
        # what is only stopped is as it was found
        after = drift.found if drift.repair == "manual" else drift.expected
        await connection.execute(
            SQL["adjust"], drift_id, cell.id, drift.kind, drift.subject, drift.found, after,
            f"{drift.detail}: {done}", ACTOR,
        )  # fmt: skip
    _logger.warning("drift_repaired", kind=drift.kind, subject=drift.subject, done=done)
    return done


def would(fix: Fix | None) -> str:
    """Say what `repair` would do."""
    if fix is None:
        return ""
    return _WORDS[type(fix)]


async def _in_cell(cell: Cell, fix: InCell, why: str) -> bool:
    match fix:
        case CloseCell():
            if cell.is_open:
                await opening.close(cell, cell.epoch, fix.reason)
                return True
            return False
        case StopSku():
            script, claim = "pause", [fix.tenant, "sku", fix.sku, 1, ACTOR, why]
        case TellPause():
            script, claim = "pause", [fix.tenant, fix.scope, fix.id, 1, fix.by, fix.reason]
        case _:
            script, claim = "mend", [_KINDS[type(fix)], *fix]
    return (await cell.call(script, [claim])).results[0][0] in {"MENDED", "PAUSED"}


async def _in_postgres(cell: Cell, tx: Connection, fix: InPostgres) -> bool:
    told = "UPDATE 0"
    match fix:
        case SendAgain():
            told = await tx.execute(SQL["send_grant_again"], cell.id, fix.pool_id, fix.seq)
            if told != "UPDATE 0":
                await tx.execute(SQL["set_pool_seq"], fix.pool_id, fix.seq - 1)
        case TellRule():
            return await _tell_rule(cell, tx, fix)
        case Replan():
            await publishing.changed(tx, Tenant(fix.tenant), [fix.sku])
            return True
        case NotePause():
            told = await tx.execute(SQL["note_pause"], *fix)
        case RaiseEpoch():
            told = await tx.execute(SQL["raise_epoch"], cell.id, fix.found, fix.right)
    return not told.endswith(" 0")


async def _tell_rule(cell: Cell, tx: Connection, fix: TellRule) -> bool:
    """Give the rule the next version; the cell takes no other body of one that it has."""
    row = await tx.fetchrow(SQL["one_rule"], cell.id, fix.field)
    if row is None:
        return False
    version = row["version"] + 1
    body: list[Any] = msgspec.msgpack.decode(row["body"])
    packed = msgspec.msgpack.encode([version, *body[1:]])
    told = await tx.execute(SQL["tell_rule_again"], cell.id, fix.field, version, packed)
    return told != "UPDATE 0"


_KINDS: Final[dict[type, str]] = {MendCounter: "counter", MendSeq: "seq", MendDue: "due"}
_WORDS: Final[dict[type, str]] = {
    MendCounter: "the counter was set to what the holds count",
    MendSeq: "the number of the last grant was set back to what the log tells",
    MendDue: "the sweeper's list was set to what the hold says",
    SendAgain: "the grant is sent again, under its number",
    TellRule: "the rule is sent again, under its next number",
    Replan: "the pools of the SKU are planned anew",
    TellPause: "the cell was told of the pause",
    NotePause: "the pause was written down",
    RaiseEpoch: "the epoch was raised to the cell's",
    StopSku: "the SKU was paused",
    CloseCell: "the cell was closed",
}
