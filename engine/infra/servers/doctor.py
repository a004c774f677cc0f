"""`tidegate doctor`: what this machine, the settings and the running servers lack."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import groupby

from engine.infra.servers.judging import MEND, NOTE, Finding, judge
from engine.infra.servers.probing import look
from engine.kernel import codec
from engine.kernel.clock import SystemClock
from engine.settings import Settings


def examine(settings: Settings, tell: Callable[[str], None], *, as_json: bool = False) -> int:
    """Tell what was found; return 1 if something has to be mended."""
    found = judge(asyncio.run(look(settings, SystemClock())), settings)
    mend, notes = (sum(one.level == level for one in found) for level in (MEND, NOTE))
    if as_json:
        tell(codec.encode({"mend": mend, "notes": notes, "findings": found}).decode())
    else:
        _tell(found, tell)
        tell(f"{mend} to mend, {notes} to note, {len(found) - mend - notes} ok.")
    return 1 if mend else 0


def _tell(found: Sequence[Finding], tell: Callable[[str], None]) -> None:
    for area, findings in groupby(found, key=lambda one: one.area):
        tell(area)
        for one in findings:
            tell(f"  {one.level.upper() if one.level == MEND else one.level:<4} {one.told}")
            if one.remedy:
                tell(f"       -> {one.remedy}")
