"""What a drill leaves behind: `runs/<id>/summary.json`, which report and comparison read.

Times are seconds from the first planned arrival, latencies milliseconds from the instant at which
a request was meant to start: what waits behind a stalled engine counts as waiting.
"""

from typing import Final

from engine.kernel import codec

SCHEMA: Final = 1


class Threshold(codec.Answer, frozen=True):
    """One bar of a scenario: `found` must be at most, at least or equal to `bar`.

    `found` None: it could not be measured, and so was not met.
    """

    name: str
    kind: str  # max, min, equal
    bar: float
    found: float | None
    unit: str
    met: bool


class Invariant(codec.Answer, frozen=True):
    """Something that must hold whatever the load was; `told` says what was compared."""

    name: str
    met: bool
    told: str


class Fault(codec.Answer, frozen=True):
    """Harm that was done on purpose; `ended_s` None: not before the end of the drill."""

    name: str
    at_s: float
    ended_s: float | None


class Latency(codec.Answer, frozen=True):
    """Percentiles in milliseconds of `count` answers."""

    count: int
    p50: float
    p90: float
    p99: float
    p999: float
    max: float


class Totals(codec.Answer, frozen=True):
    """What became of the planned arrivals.

    `dropped` were due and not sent, because too many were in flight. `refused` are answers below
    500 that took nothing, by code; `failed` are 5xx, by code; `unknown` never got an answer.
    """

    planned: int
    sent: int
    dropped: int
    accepted: int
    repeated: int
    refused: dict[str, int]
    failed: dict[str, int]
    unknown: int
    retried: int
    paid: int


class Generator(codec.Answer, frozen=True):
    """Who made the load: CPU of its processes in cores, and how late it began what was due."""

    name: str
    processes: int
    cpu_mean: float
    cpu_max: float
    late_p99_ms: float
    aborted: bool


class Series(codec.Answer, frozen=True):
    """One value a second, all lists of one length; None where nothing was measured.

    `planned`, `sent`, … are per second; percentiles are of accepted orders that were meant to
    start in that second; `lag_s` is the age of the oldest order that is not recorded; `cpu` is in
    cores, by process kind.
    """

    second: list[int]
    planned: list[int]
    sent: list[int]
    accepted: list[int]
    refused: list[int]
    failed: list[int]
    dropped: list[int]
    p50: list[float | None]
    p90: list[float | None]
    p99: list[float | None]
    p999: list[float | None]
    lag_s: list[float | None]
    cpu: dict[str, list[float | None]]


class Summary(codec.Answer, frozen=True):
    """A whole drill. `failures` are sentences; it passed when there are none.

    `histograms` are HDR histograms in their own compressed encoding, by what was measured
    (`accepted`, `refused`, `service`), so that runs can be merged and compared exactly.
    """

    schema: int
    run_id: str
    scenario: str
    started_at: str
    seconds: float
    target: str
    passed: bool
    failures: list[str]
    thresholds: list[Threshold]
    invariants: list[Invariant]
    certificate: str
    totals: Totals
    latency: dict[str, Latency]
    rate_target_max: float
    rate_sent_max: float
    accepted_per_s: float
    faults: list[Fault]
    generator: Generator
    machine: dict[str, str]
    series: Series
    histograms: dict[str, str]
