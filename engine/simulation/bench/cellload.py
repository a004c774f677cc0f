"""The cell's script alone: full batches, one after the other, without HTTP around them."""

from time import monotonic
from typing import Final

from engine.infra.cell import Cell
from engine.reservation import rules
from engine.reservation.columns import as_asked
from engine.reservation.facts import payload_of
from engine.reservation.types import decode_order
from engine.simulation.bench import requests
from engine.simulation.bench.types import Job, Tally
from engine.simulation.seen import percentile

_ACCEPTED: Final = "202"
_REFUSED: Final = "409"


async def run(cell: Cell, job: Job, now_ms: int) -> Tally:
    """Reserve all orders of a job, `per_request` a call; calls count as answers' latencies."""
    bodies = requests.bodies(job)
    orders = [decode_order(one) for one in bodies]
    claims = [
        rules.claim_of(one, tenant=job.tenant, actor="bench", now_ms=now_ms) for one in orders
    ]
    payloads = list(map(payload_of, orders, claims, bodies))
    await cell.refresh()
    taken: list[float] = []
    accepted, began = 0, monotonic()
    for first in range(0, len(claims), job.per_request):
        last, sent = first + job.per_request, monotonic()
        reply = await cell.call("reserve", *as_asked(claims[first:last], payloads[first:last]))
        taken.append(monotonic() - sent)
        accepted += sum(result[0] == "RESERVED" for result in reply.results)
    seconds = monotonic() - began
    taken.sort()
    refused = {_REFUSED: len(claims) - accepted} if accepted < len(claims) else {}
    return Tally(
        answers=len(claims),
        accepted=accepted,
        statuses={_ACCEPTED: accepted} | refused,
        began=began,
        seconds=seconds,
        p50_ms=percentile(taken, 0.5) * 1_000,
        p99_ms=percentile(taken, 0.99) * 1_000,
        late_p99_ms=0.0,
        cpu_s=0.0,
    )
