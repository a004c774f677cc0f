"""The reviewer: a loop that judges what events hint at."""

from typing import Final

import structlog

from engine.infra.postgres import UNAVAILABLE
from engine.infra.tasks import sleep
from engine.kernel.errors import EngineError, NotInstalled
from engine.review.service.intake import HINTS_MAX, Intake

_LOOK_S: Final = 0.2
_FORGET_EVERY: Final = 300  # looks, a minute of them at the least
_AWAY: Final[tuple[type[Exception], ...]] = (EngineError, NotInstalled, *UNAVAILABLE)
_log: Final = structlog.get_logger()


async def reviewer(intake: Intake) -> None:
    """Run until cancelled; servers that are away are waited for, and nothing is skipped."""
    turn = 0
    while True:
        done = 0
        turn += 1
        try:
            done = await intake.look()
            if turn % _FORGET_EVERY == 0:
                await intake.forget()
        except _AWAY as away:
            _log.warning("reviewer_waits", reason=getattr(away, "code", repr(away)))
        except Exception:  # noqa: BLE001 - one order that cannot be read must not end the process
            _log.exception("reviewer_failed")
        if done < HINTS_MAX:
            await sleep(_LOOK_S)
