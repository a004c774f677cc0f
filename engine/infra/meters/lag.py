"""How late the event loop comes: whatever keeps it busy keeps every request waiting as long."""

import asyncio
import time
from collections import deque
from typing import Final

from engine.infra import metrics

_EVERY_S: Final = 0.25
_REMEMBERED: Final = round(15 / _EVERY_S)


async def watch() -> None:
    """Measure it all the time; the worst of the last 15 s is shown."""
    late: deque[float] = deque([0.0], maxlen=_REMEMBERED)
    metrics.LOOP_LAG.reads(lambda: {(): max(late)})
    while True:
        due = time.monotonic() + _EVERY_S  # the loop's own clock is of whole milliseconds
        await asyncio.sleep(_EVERY_S)
        late.append(max(0.0, time.monotonic() - due))
