"""What the engine promised, entry by entry of its log, held against what there really was."""

from collections import defaultdict
from dataclasses import dataclass, field

from redis.asyncio import Redis

from engine.infra import log
from engine.kernel import events
from engine.kernel.events import Granted
from engine.kernel.types import CellId
from tests.fault.world import Place, Steps, World

CELL = CellId("1")
WITHIN_MS = 2_000.0  # a change has to have reached the cell by then


@dataclass
class Book:
    """Units of one place: given to pools, and held or sold of them; what repaid debts elsewhere
    is left out of both, so that each is what was taken from this place."""

    given: Steps = field(default_factory=Steps)
    promised: Steps = field(default_factory=Steps)


@dataclass
class Verdict:
    """What never may be, by place; `lag_ms` is the longest that news took to reach the cell."""

    wrong: list[str] = field(default_factory=list)
    lag_ms: float = 0.0


async def read(redis: Redis, pools: dict[str, Place]) -> dict[Place, Book]:
    """Fold the whole log; several entries of one ms count as one."""
    books: defaultdict[Place, Book] = defaultdict(Book)
    given: defaultdict[Place, int] = defaultdict(int)
    promised: defaultdict[Place, int] = defaultdict(int)
    last = "0-0"
    while found := await log.read(redis, CELL, last, 1_000, wait_ms=None):
        for entry in found:
            last, at = entry.log_id, float(entry.log_id.split("-")[0])
            touched = set()
            for event in events.decode(entry.events):
                for move in event.moves:
                    place = pools[move.pool_id]
                    touched.add(place)
                    granted = isinstance(event, Granted) and move.pool_id == event.subject
                    came = move.granted - (event.applied if granted else 0)
                    given[place] += move.granted - came
                    promised[place] += move.held + move.sold - move.owed - came
            for place in touched:
                books[place].given.add(at, given[place])
                books[place].promised.add(at, promised[place])
    return books


def judge(world: World, shorts: dict[Place, Steps], books: dict[Place, Book]) -> Verdict:
    """Compare all of it.

    Nothing is given, and nothing promised, beyond what there was at some instant of the last two
    seconds; and what was given and is no more there is listed as short within them.
    """
    verdict = Verdict()
    for place, book in sorted(books.items()):
        has, short = world.has[place], shorts.get(place, Steps())
        for what, steps in (("gave", book.given), ("promised", book.promised)):
            for at, value in zip(steps.at, steps.values, strict=True):
                most = has.most(at - WITHIN_MS, at)
                if value > steps.before(at) and value > most:
                    verdict.wrong.append(f"{place} {what} {value} of {most} at {at:.0f}")
        _listed(place, has, short, book.given, verdict)
    return verdict


def _listed(place: Place, has: Steps, short: Steps, given: Steps, verdict: Verdict) -> None:
    """Measure for how long units were given that were neither there nor listed."""
    covered = Steps()
    for at in sorted({*has.at, *short.at}):
        covered.add(at, has.then(at) + short.then(at))
    for at in sorted({*covered.at, *given.at})[1:]:
        need = given.before(at)
        lag = at - covered.last(need, at)
        verdict.lag_ms = max(verdict.lag_ms, lag)
        if lag > WITHIN_MS:
            verdict.wrong.append(
                f"{place} had {need} given of {has.before(at)} with {short.before(at)} listed as"
                f" short, {lag:.0f} ms at {at:.0f}"
            )
