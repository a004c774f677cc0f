"""The command `tidegate import regions`: regions of one's own; bad rows are told, others kept."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from engine.infra import importing, sheets
from engine.infra.importing import Options, RowFault, Sheet
from engine.infra.postgres import Connection
from engine.infra.sheets import Row
from engine.kernel import codec
from engine.kernel.errors import ValidationFailed
from engine.kernel.types import Tenant
from engine.places.service import places
from engine.places.types.regions import Region
from engine.settings import Settings

_COLUMNS: Final = ("code", "name", "latitude", "longitude")
_CODE_LENGTH_MAX: Final = 32
_MOST: Final = {"latitude": 90.0, "longitude": 180.0}


async def run(settings: Settings, options: Options) -> int:
    """Import a file and tell what became of its rows; `importing.stream` says the exit codes."""
    tenant = Tenant(settings.tenant)

    async def keep(
        tx: Connection, rows: Sequence[Row]
    ) -> tuple[Mapping[str, int], Sequence[RowFault]]:
        regions, faults = [], []
        for row in rows:
            found = _read(row)
            if isinstance(found, Region):
                regions.append(found)
            else:
                faults += found
        changed = await places.keep_regions(tx, tenant, regions)
        return {"changed": changed, "unchanged": len(regions) - changed}, faults

    return await importing.stream(settings, options, _SHEET, keep)


def _rows(path: Path) -> Iterator[Row]:
    with sheets.opened(path) as lines:
        yield from sheets.rows(lines, _COLUMNS[:2], (*_COLUMNS[2:], *sheets.REJECTED))


_SHEET: Final = Sheet(_rows, _COLUMNS, ("changed", "unchanged"))


def _read(row: Row) -> Region | list[RowFault]:
    """Return what a row says, or everything that is wrong with it."""
    if row.detail:
        return [(row.line, "", row.detail)]
    faults: list[RowFault] = []
    code, name = row.named["code"], row.named["name"]
    if wrong := sheets.shortened(code):
        faults.append((row.line, "code", wrong))
    for column, text in (("code", code), ("name", name)):
        try:
            codec.identifier(text, column)
        except ValidationFailed:
            faults.append((row.line, column, "must be a text without control characters"))
    if len(code) > _CODE_LENGTH_MAX:
        faults.append((row.line, "code", f"must have at most {_CODE_LENGTH_MAX} characters"))
    place = [_degrees(row, column, faults) for column in _COLUMNS[2:]]
    if not faults and (place[0] is None) != (place[1] is None):
        faults.append((row.line, "latitude", "is required with longitude, and the other way round"))
    return faults or Region(code, name, *place)


def _degrees(row: Row, column: str, faults: list[RowFault]) -> float | None:
    text = row.named.get(column, "")
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not abs(found) <= _MOST[column]:
        faults.append((row.line, column, f"must be degrees, up to {_MOST[column]:g}"))
        return None
    return found
