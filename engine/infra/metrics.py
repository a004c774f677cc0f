"""Every metric, declared: what a process counts itself, and what is read when somebody asks.

Labels are routes, verdicts, scripts, nodes, services, channels, plans and words: few, and none of a
person or of an order. An API process shows its own at `/metrics`, with what is read of the servers;
a worker at TIDEGATE_METRICS_PORT. There `tidegate up` shows those of all its processes as one.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from engine.infra.meters.exposition import of_this_process
from engine.infra.meters.families import Family, Labels
from engine.infra.meters.kinds import Counts, Gauge, Histogram, Level, Times

__all__ = [
    "COUNTED", "MEASURED", "READ", "Counts", "Gauge", "Histogram", "Level", "Measure", "Times",
    "Values", "names", "own",
]  # fmt: skip

_CLAIMS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_LAGS: Final = (1, 5, 15, 60, 300, 900, 3_600, 21_600, 86_400)


class Measure(NamedTuple):
    """A number that is read of the servers; `labels` are the names of its labels."""

    name: str
    told: str
    labels: tuple[str, ...] = ()


# What an API process counts.
HTTP_REQUESTS: Final = Counts(
    "tidegate_http_requests", "Requests that were answered, by route and status", "route", "status"
)
HTTP_SECONDS: Final = Histogram(
    "tidegate_http_request_seconds", "How long this process took to answer", "route"
)
ORDERS: Final = Counts(
    "tidegate_orders", "Orders that were judged, by lane and by what was answered of each",
    "lane", "verdict",
)  # fmt: skip
SHED: Final = Counts(
    "tidegate_shed", "Requests that were refused before they were judged, by why", "reason"
)
BATCH_CLAIMS: Final = Histogram(
    "tidegate_batch_claims", "How many claims went to the cell in one call", "script",
    bounds=_CLAIMS,
)  # fmt: skip
QUEUE_WAIT: Final = Histogram(
    "tidegate_queue_wait_seconds", "How long each claim waited until it was sent", "verb"
)
CELL_CALL: Final = Histogram(
    "tidegate_cell_call_seconds", "What calls to the cell took, waiting and way included", "script"
)

# What a worker counts.
RECORDER_BATCHES: Final = Counts(
    "tidegate_recorder_batches", "Transactions in which the cell's log was recorded"
)
RECORDER_ENTRIES: Final = Counts(
    "tidegate_recorder_entries", "Entries of the cell's log that were recorded"
)
RECORDER_RETRIES: Final = Counts(
    "tidegate_recorder_retries", "How often recording was begun anew, by why", "reason"
)
RECORDER_SECONDS: Final = Histogram(
    "tidegate_recorder_seconds", "What the transaction of a recorded batch took"
)
ORDERS_RECORDED: Final = Counts(
    "tidegate_orders_recorded", "Orders that Postgres has newly", "channel"
)
PAYMENTS_RECORDED: Final = Counts(
    "tidegate_payments_recorded", "Payments that were recorded; told again they count again"
)
HOLDS_EXPIRED: Final = Counts("tidegate_holds_expired", "Holds that ended because nobody paid")
CHANNEL_LAG: Final = Histogram(
    "tidegate_channel_lag_seconds", "From the instant an order was placed to its being recorded",
    "channel", bounds=_LAGS,
)  # fmt: skip
ROUTE_SECONDS: Final = Times(
    "tidegate_route_seconds", "What a router's batches took, by what was done of them", "stage"
)
ROUTED: Final = Counts("tidegate_routed", "Decisions of routers, by what came of them", "verdict")
LEGS_BREACHED: Final = Counts(
    "tidegate_legs_breached", "Stretches of parcels' ways that took too long", "service"
)
SHADOW_DIFFERENCES: Final = Counts(
    "tidegate_shadow_differences", "Orders that a SHADOW plan would send otherwise", "plan"
)
RULE_FAULTS: Final = Counts(
    "tidegate_rule_faults", "Conditions that failed, so that they did not hold", "plan"
)
WMS_CALLS: Final = Counts(
    "tidegate_wms_calls",
    "Calls to nodes' systems, by what was answered",
    "node",
    "method",
    "outcome",
)
STOPS: Final = Counts(
    "tidegate_stops", "Requests that something be stopped, by the one answer of each", "answer"
)
WEBHOOK_DELIVERIES: Final = Counts(
    "tidegate_webhook_deliveries",
    "Tries to tell endpoints something, by what came of it",
    "outcome",
)
WEBHOOK_SECONDS: Final = Histogram("tidegate_webhook_seconds", "What a try took")

# What every process counts, and what a supervisor does.
POOL_WAIT: Final = Histogram(
    "tidegate_pool_wait_seconds", "How long it took to get a connection to Postgres",
    scope="process",
)  # fmt: skip
PROCESS_RESTARTS: Final = Counts(
    "tidegate_process_restarts", "How often a process was started again, by its name", "name"
)
METRICS_SKIPPED: Final = Counts(
    "tidegate_metrics_skipped", "How often a process did not tell its metrics in time", "name"
)
COUNTED: Final[tuple[Counts | Histogram | Times, ...]] = (
    HTTP_REQUESTS, HTTP_SECONDS, ORDERS, SHED, BATCH_CLAIMS, QUEUE_WAIT, CELL_CALL,
    RECORDER_BATCHES, RECORDER_ENTRIES, RECORDER_RETRIES, RECORDER_SECONDS, ORDERS_RECORDED,
    PAYMENTS_RECORDED, HOLDS_EXPIRED, CHANNEL_LAG, ROUTE_SECONDS, ROUTED, LEGS_BREACHED,
    SHADOW_DIFFERENCES, RULE_FAULTS, WMS_CALLS, STOPS,
    WEBHOOK_DELIVERIES, WEBHOOK_SECONDS, POOL_WAIT, PROCESS_RESTARTS, METRICS_SKIPPED,
)  # fmt: skip

# What one process is at, read when somebody asks.
BUILD_INFO: Final = Gauge(
    "tidegate_build_info", "1, with what this process is made of", "version", "python"
)
HTTP_IN_FLIGHT: Final = Gauge("tidegate_http_in_flight", "Connections whose request is under way")
HTTP_CONNECTIONS: Final = Gauge("tidegate_http_connections", "Connections of clients")
ADMISSION_LIMIT: Final = Level(
    "tidegate_admission_limit", "How many requests may be under way before others are refused"
)
QUEUE_CLAIMS: Final = Gauge("tidegate_queue_claims", "Claims that wait to be sent", "verb")
KEPT_CLAIMS: Final = Gauge(
    "tidegate_kept_claims", "What was accepted and is kept until it is recorded"
)
LOOP_LAG: Final = Gauge(
    "tidegate_loop_lag_seconds", "How late the event loop came at worst in the last 15 s"
)
ROLE_BEAT: Final = Gauge(
    "tidegate_role_beat_seconds", "Since the loop of a role last came round", "role"
)
READ: Final[tuple[Gauge | Level, ...]] = (
    BUILD_INFO, HTTP_IN_FLIGHT, HTTP_CONNECTIONS, ADMISSION_LIMIT, QUEUE_CLAIMS, KEPT_CLAIMS,
    LOOP_LAG, ROLE_BEAT,
)  # fmt: skip

# What the servers say: the same, whoever is asked.
CELL_OPEN: Final = Measure("tidegate_cell_open", "Whether a cell is open for sale", ("cell",))
CELL_MEMORY: Final = Measure(
    "tidegate_cell_memory_bytes", "Memory that a cell's server uses", ("cell",)
)
CELL_MEMORY_MAX: Final = Measure(
    "tidegate_cell_memory_max_bytes", "Memory above which a cell takes no order", ("cell",)
)
LOG_LAG: Final = Measure(
    "tidegate_log_lag_seconds", "Age of the oldest entry that is not recorded, 0 if there is none",
    ("cell",),
)  # fmt: skip
LOG_ENTRIES: Final = Measure(
    "tidegate_log_entries", "Entries of a cell's log that are not recorded, counted up to 64",
    ("cell",),
)  # fmt: skip
UNRECORDED_ORDERS: Final = Measure(
    "tidegate_unrecorded_orders", "Orders that a cell accepted and Postgres has not yet", ("cell",)
)
HOLDS_OPEN: Final = Measure(
    "tidegate_holds_open", "Holds that end at a deadline if nobody pays", ("cell",)
)
POOLS: Final = Measure(
    "tidegate_pools",
    "Pools that have units or had: ok, low (at most a tenth is left), sold_out, short (units are"
    " owed), broken (they do not add up)",
    ("state",),
)
OWED_UNITS: Final = Measure(
    "tidegate_owed_units", "Units that marketplaces sold beyond stock", ("channel",)
)
OVERSOLD_UNITS: Final = Measure(
    "tidegate_oversold_units", "Units held and sold beyond what was granted and owed; never but 0"
)
CERTIFICATE_HOLDS: Final = Measure(
    "tidegate_certificate_holds",
    "Whether at the last checkpoint cell and Postgres agreed on every pool, and none was oversold",
)
CERTIFICATE_AGE: Final = Measure(
    "tidegate_certificate_age_seconds", "Since the last checkpoint that was compared"
)
DEAD_LETTERS: Final = Measure(
    "tidegate_dead_letters", "What was given up and nobody settled", ("kind",)
)
BLOCKS: Final = Measure("tidegate_blocks", "Blocks that keep orders from being sent", ("code",))
BLOCKS_OLDEST: Final = Measure(
    "tidegate_blocks_oldest_seconds", "How long the oldest of them stands", ("code",)
)
SHIP_BY_DUE: Final = Measure(
    "tidegate_ship_by_due",
    "Orders not shipped whose promise is broken, or is within 2, 6 or 12 hours; each counts once",
    ("within",),
)
PAYMENTS_WAITING: Final = Measure(
    "tidegate_payments_waiting", "Payments that came while a cell was closed, and wait for it"
)
ROUTE_QUEUE: Final = Measure(
    "tidegate_route_queue", "Orders that wait to be routed, by queue", ("queue",)
)
ROUTE_QUEUE_OLDEST: Final = Measure(
    "tidegate_route_queue_oldest_seconds", "How long the oldest of them waits", ("queue",)
)
BROKEN_PROMISES: Final = Measure(
    "tidegate_broken_promises", "Order lines that were sold and that no node can send"
)
ACKS: Final = Measure(
    "tidegate_acks", "Parcels that marketplaces have not confirmed", ("channel", "state")
)
JOBS: Final = Measure(
    "tidegate_jobs", "Calls to the outside that wait, or were given up", ("queue", "state")
)
WMS_BREAKER_OPEN: Final = Measure(
    "tidegate_wms_breaker_open", "Whether a node's system is only probed now and then", ("node",)
)
EXCEPTIONS: Final = Measure(
    "tidegate_exceptions", "What waits for a person, by code, each counted up to 10000", ("code",)
)
WEBHOOK_BACKLOG: Final = Measure(
    "tidegate_webhook_backlog",
    "What endpoints are still to be told (those that are told nothing: what failed), and dead",
    ("state",),
)
WEBHOOK_OLDEST: Final = Measure(
    "tidegate_webhook_oldest_seconds", "How long ago the oldest happened that waits to be told"
)
WEBHOOK_ENDPOINTS: Final = Measure(
    "tidegate_webhook_endpoints", "Endpoints of webhooks", ("state",)
)
MEASURED: Final = (
    CELL_OPEN, CELL_MEMORY, CELL_MEMORY_MAX, LOG_LAG, LOG_ENTRIES, UNRECORDED_ORDERS, HOLDS_OPEN,
    POOLS, OWED_UNITS, OVERSOLD_UNITS, CERTIFICATE_HOLDS, CERTIFICATE_AGE, DEAD_LETTERS, BLOCKS,
    BLOCKS_OLDEST, SHIP_BY_DUE, PAYMENTS_WAITING, ROUTE_QUEUE, ROUTE_QUEUE_OLDEST, BROKEN_PROMISES,
    ACKS, JOBS, WMS_BREAKER_OPEN, EXCEPTIONS,
    WEBHOOK_BACKLOG, WEBHOOK_OLDEST, WEBHOOK_ENDPOINTS,
)  # fmt: skip

Values = Mapping[Measure, Mapping[Labels, float]]


def own() -> list[Family]:
    """Return all that this process tells of itself."""
    return [*(one.family() for one in (*COUNTED, *READ)), *of_this_process()]


def names() -> Iterable[str]:
    """Return what everything is called, as it is declared."""
    return [one.name for one in (*COUNTED, *READ, *MEASURED)]
