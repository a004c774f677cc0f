"""What a generator is told to do, what it saw, and what one measurement comes to."""

from typing import Final, Literal

import msgspec

from engine.kernel.errors import EngineError

Kind = Literal["single", "paid", "batch", "sync"]

GENERATOR: Final = "generator"
INGEST: Final = "ingest"  # also what stands in its place: the bare handler, the row-lock process
CELL: Final = "cell"
RECORDER: Final = "recorder"
POSTGRES: Final = "postgres"


class BenchFailed(EngineError):
    """The bench could not be run to its end."""

    code = "bench_failed"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One load: `orders` of one kind, `per_request` in each request of batch and sync.

    With `campaigns` the orders go over that many, `{campaign}-0` and so on, each with its part of
    the SKUs, beginning at order number `first`; without, all are of one.
    `mark` makes the orders of two jobs different ones. With a `rate` (orders a second) requests go
    out on schedule, whatever the answers do; without, each connection waits for its answer.
    """

    host: str
    port: int
    key: str
    kind: Kind
    tenant: str
    channel: str
    campaign: str
    mark: str
    placed_at: str
    skus: int
    orders: int
    campaigns: int = 0
    first: int = 0
    per_request: int = 1
    connections: int = 1
    rate: float = 0.0


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What the generator saw; status 0 is a connection that ended without an answer.

    `began` is on the clock that all processes of a machine share. `late_p99_ms` is how long after
    its instant a scheduled request went out: the generator's own fault, or too few connections.
    """

    answers: int
    accepted: int
    statuses: dict[str, int]
    began: float
    seconds: float
    p50_ms: float
    p99_ms: float
    late_p99_ms: float
    cpu_s: float


class Routed(msgspec.Struct, frozen=True, kw_only=True):
    """What one router did: orders that left its hands, when the last of them did, CPU by part.

    `ended` is on the clock that all processes of a machine share, 0 of who had nothing to do;
    `cpu_s` has all the parts.
    """

    orders: int
    rebinds: int
    ended: float
    cpu_s: float
    decide_s: float
    bind_s: float


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement: per second until recorded, and us of CPU for each order by process.

    `orders` of the `asked` were accepted; of a sold-out storm they are answers, as none is to be.
    `foreign` is the share of the machine that others had meanwhile, None where it cannot be seen.
    """

    asked: int
    orders: int
    orders_per_s: float
    answers_per_s: float
    p50_ms: float
    p99_ms: float
    late_p99_ms: float
    statuses: dict[str, int]
    cpu_us: dict[str, float]
    foreign: float | None
