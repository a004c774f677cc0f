"""What every service receives first: settings, clock, connections and the cell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from aiohttp import web

from engine.infra.postgres import Pool
from engine.infra.spans import Spans
from engine.kernel.clock import Clock
from engine.settings import Settings


class Reply(Protocol):
    """What one script call told: when in cell time, where in the log, and one result per claim."""

    @property
    def now_ms(self) -> int: ...  # noqa: D102 - the class says it

    @property
    def log_id(self) -> str: ...  # noqa: D102

    @property
    def results(self) -> Sequence[Sequence[object]]: ...  # noqa: D102


class CellCaller(Protocol):
    """The one way to change stock; never retries by itself."""

    async def call(
        self,
        script: str,
        claims: Sequence[object],
        payloads: Sequence[bytes] = (),
    ) -> Reply:
        """Run one script over a batch.

        Raises:
            Closed: fenced or too late; nothing was changed.
            OutcomeUnknown: the reply was lost.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """One process: what it was told, and what it talks to; `spans` None tells none."""

    settings: Settings
    clock: Clock
    pool: Pool
    cell: CellCaller
    process: str
    spans: Spans | None = None


RUNTIME: Final = web.AppKey("runtime", Runtime)
