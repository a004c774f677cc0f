"""Every alert in one table: what it says, how long it must be so, and a cause that fires it.

`page` wakes somebody, `ticket` waits for the morning. Facts are the same whoever is asked, so they
are taken by `max`; what each process has of its own keeps the label `process`. Of each alert
`edge` is a state in which it must be silent, right beside the one (`broken`) in which it fires:
levels as they are, growth of counters a step as `+n`, `-` for a series that is gone.
"""

from typing import Any, Final, NamedTuple

from recording import FAILED_BUDGET, SLOW_BUDGET
from scaling import Scale

from engine.kernel.limits import KEPT_CLAIMS_MAX

RUNBOOKS: Final = "ops/runbooks"
_FAST, _SLOW = 14.4, 6.0  # a thirty-day budget gone in two days, and in five


class Proof(NamedTuple):
    """Series before and while it fires; what it then says, "" if there is no value in it."""

    edge: dict[str, str]
    broken: dict[str, str]
    labels: dict[str, str]
    told: str


class Alert(NamedTuple):
    """One alert; `held` is its `for:`."""

    name: str
    severity: str
    expr: str
    held: str
    summary: str
    description: str
    proof: Proof


def _level(series: str, edge: str, broken: str, told: str, **labels: str) -> Proof:
    return Proof({series: edge}, {series: broken}, labels, told)


def _burning(name: str, budget: float, times: float, long: str, short: str) -> str:
    bar = f"{times * budget:g}"
    return f"tidegate:{name}:ratio_rate{long} > {bar} and tidegate:{name}:ratio_rate{short} > {bar}"


_ASKED = 'tidegate_http_requests_total{instance="a",route="/v1/orders",status="202"}'
_FAILED = 'tidegate_http_requests_total{instance="a",route="/v1/orders",status="500"}'
_COUNT = 'tidegate_http_request_seconds_count{instance="a",route="/v1/orders"}'
_FAST_ONES = 'tidegate_http_request_seconds_bucket{instance="a",route="/v1/orders",le="0.05"}'


def _shares(series: str, all_of: str, edge: int, broken: int, told: str) -> Proof:
    whole = {all_of: "+10000"}
    return Proof(whole | {series: f"+{edge}"}, whole | {series: f"+{broken}"}, {}, told)


def _waits(name: str, labels: str, told: str, **fired: str) -> Proof:
    """Of a histogram: all within `le` of 0.1 at first, then half of them up to 5 s."""
    low = f'{name}_bucket{{instance="a",{labels},le="0.1"}}'
    mid = f'{name}_bucket{{instance="a",{labels},le="0.2"}}'
    high = f'{name}_bucket{{instance="a",{labels},le="5"}}'
    most = f'{name}_bucket{{instance="a",{labels},le="+Inf"}}'
    edge = {low: "+100", mid: "+200", high: "+200", most: "+200"}
    return Proof(edge, edge | {low: "+50", mid: "+100"}, fired, told)


_FSYNC = 'event_name="aof-fsync-always"'
_ANSWERS = {'tidegate_http_in_flight{process="api-0"}': "0", 'tidegate_cell_open{cell="1"}': "1"}

ALERTS: Final = (
    # What is there at all.
    Alert(
        "TargetDown", "ticket", "up == 0", "1m",
        "{{ $labels.job }} at {{ $labels.instance }} does not answer Prometheus",
        "No metrics for a minute: the process is gone, stands still, or cannot be reached.",
        _level('up{job="worker",instance="w:9100"}', "1", "0",
               "",
               job="worker", instance="w:9100"),
    ),
    Alert(
        "NoApiAnswers", "page", "absent(tidegate_http_in_flight)", "30s",
        "No API process answers",
        "Not one API process shows its metrics: orders are refused or time out.",
        _level('tidegate_http_in_flight{process="api-0"}', "0", "-",
               ""),
    ),
    Alert(
        # An exporter that waits for it longer than Prometheus does tells nothing at all.
        "PostgresDown", "page",
        "max(pg_up) == 0 or absent(pg_up) and on () absent(tidegate_pools)"
        " and on () (sum(tidegate_http_in_flight) >= 0)", "30s",
        "Postgres does not answer its exporter",
        "Orders are still taken and kept in the log; nothing is recorded, read or routed.",
        _level('pg_up{instance="p"}', "1", "0",
               ""),
    ),
    Alert(
        "ValkeyDown", "page", "max(redis_up) == 0", "15s",
        "Valkey does not answer its exporter",
        "No order is taken until the cell's server is back and the cell has opened again.",
        _level('redis_up{instance="v"}', "1", "0",
               ""),
    ),
    Alert(
        "FactsMissing", "page",
        "(absent(tidegate_pools) or absent(tidegate_cell_open))"
        " and on () (sum(tidegate_http_in_flight) >= 0)", "30s",
        "API processes answer, but not what the servers behind them say",
        "They do not reach Postgres or the cell; alerts about both are blind meanwhile.",
        Proof(
            _ANSWERS | {'tidegate_pools{state="ok"}': "5"},
            _ANSWERS | {'tidegate_pools{state="ok"}': "-"},
            {},
            "",
        ),
    ),
    Alert(
        "ProcessRestarts", "ticket",
        "sum by (name) (increase(tidegate_process_restarts_total[15m])) > 3", "0s",
        "{{ $labels.name }} was started again more than three times in 15 minutes",
        "The supervisor brings it back each time; its last words are in the log.",
        Proof({'tidegate_process_restarts_total{name="api-0"}': "+0"},
              {'tidegate_process_restarts_total{name="api-0"}': "+1"}, {"name": "api-0"},
              ""),
    ),
    # The cell.
    Alert(
        "CellClosed", "page", "max by (cell) (tidegate_cell_open) == 0", "15s",
        "Cell {{ $labels.cell }} is closed: no order of the gate is taken",
        "`tidegate cell show` says why, and what opens it.",
        _level('tidegate_cell_open{cell="1"}', "1", "0",
               "", cell="1"),
    ),
    Alert(
        "CellMemoryHigh", "ticket",
        "max by (cell) (tidegate_cell_memory_bytes)"
        " / max by (cell) (tidegate_cell_memory_max_bytes) > 0.8", "5m",
        "Cell {{ $labels.cell }} has used much of its memory",
        "{{ $value | humanizePercentage }} are used; at 100% new orders are refused.",
        Proof({'tidegate_cell_memory_bytes{cell="1"}': "790",
               'tidegate_cell_memory_max_bytes{cell="1"}': "1000"},
              {'tidegate_cell_memory_bytes{cell="1"}': "810",
               'tidegate_cell_memory_max_bytes{cell="1"}': "1000"}, {"cell": "1"},
              "81% are used; at 100% new orders are refused."),
    ),
    Alert(
        "CellMemoryFull", "page",
        "max by (cell) (tidegate_cell_memory_bytes)"
        " / max by (cell) (tidegate_cell_memory_max_bytes) > 0.95", "1m",
        "Cell {{ $labels.cell }} is nearly full",
        "{{ $value | humanizePercentage }} of its memory are used; at 100% new orders are refused.",
        Proof({'tidegate_cell_memory_bytes{cell="1"}': "949",
               'tidegate_cell_memory_max_bytes{cell="1"}': "1000"},
              {'tidegate_cell_memory_bytes{cell="1"}': "960",
               'tidegate_cell_memory_max_bytes{cell="1"}': "1000"}, {"cell": "1"},
              "96% of its memory are used; at 100% new orders are refused."),
    ),
    Alert(
        "FsyncSlow", "ticket",
        # Under `everysec` a write that waited is counted; under `always` only a spike is noted.
        "max by (instance) (increase(redis_aof_delayed_fsync[5m])) > 0 or max by (instance) ("
        f"redis_latency_spike_duration_seconds{{{_FSYNC}}} > 0.25"
        f" and time() - redis_latency_spike_last{{{_FSYNC}}} < <5m>)", "0s",
        "The cell's disk is slow: {{ $labels.instance }} waited for an fsync",
        "Every accepted order waits for this disk.",
        Proof({f'redis_latency_spike_duration_seconds{{instance="v",{_FSYNC}}}': "0.25",
               f'redis_latency_spike_last{{instance="v",{_FSYNC}}}': "100000",
               'redis_aof_delayed_fsync{instance="v"}': "+0"},
              {f'redis_latency_spike_duration_seconds{{instance="v",{_FSYNC}}}': "0.3",
               f'redis_latency_spike_last{{instance="v",{_FSYNC}}}': "100000",
               'redis_aof_delayed_fsync{instance="v"}': "+0"}, {"instance": "v"},
              ""),
    ),
    # Recording.
    Alert(
        "OrdersNotRecorded", "page", "max by (cell) (tidegate_log_lag_seconds) > <30s>", "30s",
        "Cell {{ $labels.cell }}: accepted orders wait to be recorded",
        "The oldest waits for {{ $value | humanizeDuration }}; the log still has them.",
        _level('tidegate_log_lag_seconds{cell="1"}', "29", "45",
               "The oldest waits for 45s; the log still has them.", cell="1"),
    ),
    Alert(
        "RecorderStopped", "page",
        'min(tidegate_role_beat_seconds{role="recorder"}) > <15s>'
        ' or absent(tidegate_role_beat_seconds{role="recorder"})', "30s",
        "No recorder beats",
        "Orders are accepted and kept in the cell's log, and nobody brings them to Postgres.",
        Proof({'tidegate_role_beat_seconds{role="recorder",process="w-0"}': "100",
               'tidegate_role_beat_seconds{role="recorder",process="w-1"}': "14"},
              {'tidegate_role_beat_seconds{role="recorder",process="w-0"}': "100",
               'tidegate_role_beat_seconds{role="recorder",process="w-1"}': "20"}, {},
              ""),
    ),
    Alert(
        "HoldsNotExpiring", "page",
        'min(tidegate_role_beat_seconds{role="sweeper"}) > <30s>'
        ' or absent(tidegate_role_beat_seconds{role="sweeper"})', "1m",
        "No sweeper beats: holds that are due keep their units",
        "Unpaid orders do not give their units back; a sale looks sold out before it is.",
        Proof({'tidegate_role_beat_seconds{role="sweeper",process="w-0"}': "29"},
              {'tidegate_role_beat_seconds{role="sweeper",process="w-0"}': "-"},
              {"role": "sweeper"},
              ""),
    ),
    Alert(
        "RoleStopped", "ticket", "min by (role) (tidegate_role_beat_seconds) > <5m>", "1m",
        "No {{ $labels.role }} beats",
        "Its loop last came round {{ $value | humanizeDuration }} ago, in any process.",
        _level('tidegate_role_beat_seconds{role="router",process="w-0"}', "299", "320",
               "Its loop last came round 5m 20s ago, in any process.", role="router"),
    ),
    Alert(
        "KeptClaimsHigh", "page",
        f"max(tidegate_kept_claims) > {KEPT_CLAIMS_MAX * 7 // 10}", "30s",
        "An API process keeps {{ $value }} claims that are not recorded",
        f"At {KEPT_CLAIMS_MAX:,} it takes no more orders.",
        _level('tidegate_kept_claims{process="api-0"}', "139999", "150000",
               ""),
    ),
    Alert(
        "DeadLetters", "ticket", 'max by (kind) (tidegate_dead_letters{kind!="job"}) > 0', "0s",
        "{{ $value }} of kind {{ $labels.kind }} were given up",
        "Each is an order, a call or a message that goes no further until a person looks at it.",
        _level('tidegate_dead_letters{kind="cell"}', "0", "1",
               "",
               kind="cell"),
    ),
    Alert(
        "PaymentsWaiting", "ticket", "max(tidegate_payments_waiting) > 0", "10m",
        "{{ $value }} payments wait for the cell to open",
        "They are stored and are applied at opening; buyers see them as received, not as paid.",
        _level("tidegate_payments_waiting", "0", "3",
               ""),
    ),
    # The promises.
    Alert(
        "OversoldByUs", "page", "max(tidegate_oversold_units) > 0", "0s",
        "{{ $value }} units were sold twice by the engine",
        "This must never be. Stop the SKUs concerned, then find out.",
        _level("tidegate_oversold_units", "0", "1",
               ""),
    ),
    Alert(
        "CertificateBroken", "page", "min(tidegate_certificate_holds) == 0", "0s",
        "Cell and Postgres do not agree",
        "`GET /v1/drifts` has what was found; what is safe is repaired by itself.",
        _level("tidegate_certificate_holds", "1", "0",
               ""),
    ),
    Alert(
        "CertificateOld", "ticket", "max(tidegate_certificate_age_seconds) > <15m|90s>", "1m",
        "Nobody has compared cell and Postgres lately",
        "The last certificate is {{ $value | humanizeDuration }} old.",
        _level("tidegate_certificate_age_seconds", "899", "960",
               "The last certificate is 16m 0s old."),
    ),
    Alert(
        "PoolsBroken", "page", 'max(tidegate_pools{state="broken"}) > 0', "0s",
        "{{ $value }} pools do not add up and were closed",
        "Nothing is sold of them until they were reconciled.",
        _level('tidegate_pools{state="broken"}', "0", "2",
               ""),
    ),
    # How it answers.
    Alert(
        "ServerErrors", "page", "tidegate:server_errors:ratio_rate5m > 0.01", "2m",
        "Requests fail by a fault of ours",
        "{{ $value | humanizePercentage }} got a 5xx other than 503.",
        _shares(_FAILED, _ASKED, 90, 300, "2.913% got a 5xx other than 503."),
    ),
    Alert(
        "Shedding", "ticket", "tidegate:shed:ratio_rate5m > 0.05", "2m",
        "More comes than can be answered in time",
        "{{ $value | humanizePercentage }} of requests are refused; tidegate_shed_total says why.",
        _shares('tidegate_shed_total{instance="a",reason="queue_wait"}', _ASKED, 490, 800,
                "8% of requests are refused; tidegate_shed_total says why."),
    ),
    Alert(
        "OrdersFailFast", "page", _burning("orders_failed", FAILED_BUDGET, _FAST, "1h", "5m"), "1m",
        "Orders fail: a month's budget would be gone in two days",
        "{{ $value | humanizePercentage }} of the last hour's orders got a 5xx.",
        _shares(_FAILED, _ASKED, 140, 300, "2.913% of the last hour's orders got a 5xx."),
    ),
    Alert(
        "OrdersFailSlowly", "ticket",
        _burning("orders_failed", FAILED_BUDGET, _SLOW, "6h", "30m"), "5m",
        "Orders fail: a month's budget would be gone in five days",
        "{{ $value | humanizePercentage }} of the last six hours' orders got a 5xx.",
        _shares(_FAILED, _ASKED, 59, 100, "0.9901% of the last six hours' orders got a 5xx."),
    ),
    Alert(
        "OrdersLateFast", "page", _burning("orders_slow", SLOW_BUDGET, _FAST, "1h", "5m"), "1m",
        "Orders are answered late: a month's budget would be gone in two days",
        "{{ $value | humanizePercentage }} of the last hour's took longer than 50 ms.",
        _shares(_FAST_ONES, _COUNT, 8_600, 8_000, "20% of the last hour's took longer than 50 ms."),
    ),
    Alert(
        "OrdersLateSlowly", "ticket",
        _burning("orders_slow", SLOW_BUDGET, _SLOW, "6h", "30m"), "5m",
        "Orders are answered late: a month's budget would be gone in five days",
        "{{ $value | humanizePercentage }} of the last six hours' took longer than 50 ms.",
        _shares(_FAST_ONES, _COUNT, 9_410, 9_200,
                "8% of the last six hours' took longer than 50 ms."),
    ),
    Alert(
        "QueueWaitLong", "ticket", "tidegate:queue_wait_seconds:p99_5m > 0.5", "2m",
        "Claims wait long for their batch ({{ $labels.verb }})",
        "The slowest hundredth waits {{ $value | humanizeDuration }} or more.",
        _waits("tidegate_queue_wait_seconds", 'verb="reserve"',
               "The slowest hundredth waits 4.904s or more.",
               verb="reserve"),
    ),
    Alert(
        "LoopLag", "ticket",
        "max by (job, instance, process) (tidegate_loop_lag_seconds) > 0.25", "2m",
        "{{ $labels.job }} {{ $labels.process }} at {{ $labels.instance }} stands still at times",
        "Its loop was late by {{ $value | humanizeDuration }}: all in it waited so long.",
        _level('tidegate_loop_lag_seconds{job="up",process="api-0",instance="a"}', "0.25", "0.5",
               "Its loop was late by 500ms: all in it waited so long.",
               job="up", process="api-0", instance="a"),
    ),
    Alert(
        "PoolWaits", "ticket", "tidegate:pool_wait_seconds:p99_5m > 1", "2m",
        "{{ $labels.job }} {{ $labels.process }} at {{ $labels.instance }} waits for Postgres",
        "The slowest hundredth waits {{ $value | humanizeDuration }} or more for a connection.",
        _waits("tidegate_pool_wait_seconds", 'job="up",process="worker-0"',
               "The slowest hundredth waits 4.904s or more for a connection.",
               job="up", instance="a", process="worker-0"),
    ),
    Alert(
        "DescriptorsNearLimit", "page", "process_open_fds / process_max_fds > 0.8", "1m",
        "{{ $labels.job }} at {{ $labels.instance }} has few descriptors left",
        "{{ $value | humanizePercentage }} are in use; at 100% no connection is accepted.",
        Proof({'process_open_fds{job="api",instance="a"}': "800",
               'process_max_fds{job="api",instance="a"}': "1000"},
              {'process_open_fds{job="api",instance="a"}': "900",
               'process_max_fds{job="api",instance="a"}': "1000"}, {"job": "api", "instance": "a"},
              "90% are in use; at 100% no connection is accepted."),
    ),
    Alert(
        "PostgresConnectionsHigh", "ticket",
        "sum by (instance) (pg_stat_activity_count)"
        " / max by (instance) (pg_settings_max_connections) > 0.85", "5m",
        "Postgres at {{ $labels.instance }} has few connections left",
        "{{ $value | humanizePercentage }} are in use.",
        Proof({'pg_stat_activity_count{instance="p",state="active"}': "84",
               'pg_settings_max_connections{instance="p"}': "100"},
              {'pg_stat_activity_count{instance="p",state="active"}': "90",
               'pg_settings_max_connections{instance="p"}': "100"}, {"instance": "p"},
              "90% are in use."),
    ),
    # What a person has to look at.
    Alert(
        "UnitsOwed", "ticket", "max by (channel) (tidegate_owed_units) > 0", "10m",
        "{{ $labels.channel }} sold {{ $value }} units that nobody has",
        "Its orders carry the block `short` until units come, or are refunded.",
        _level('tidegate_owed_units{channel="tmall"}', "0", "7",
               "",
               channel="tmall"),
    ),
    Alert(
        "BrokenPromises", "ticket", "max(tidegate_broken_promises) > 0", "5m",
        "{{ $value }} order lines were sold and no node can send them",
        "They stand in `GET /v1/broken-promises`.",
        _level("tidegate_broken_promises", "0", "2", ""),
    ),
    Alert(
        "ShipByBreached", "page", 'max(tidegate_ship_by_due{within="breached"}) > 0', "5m",
        "{{ $value }} orders should have left already",
        "Marketplaces fine each of them.",
        _level('tidegate_ship_by_due{within="breached"}', "0", "4",
               ""),
    ),
    Alert(
        "ShipBySoon", "ticket", 'max(tidegate_ship_by_due{within="2h"}) > 0', "10m",
        "{{ $value }} orders must leave within two hours and have not",
        "Look where they wait: routing queue, warehouse, or a block.",
        _level('tidegate_ship_by_due{within="2h"}', "0", "4",
               ""),
    ),
    Alert(
        "BlocksOld", "ticket", "max by (code) (tidegate_blocks_oldest_seconds) > <4h>", "5m",
        "Orders are blocked by {{ $labels.code }} for long",
        "The oldest for {{ $value | humanizeDuration }}; a person lifts it, or its cause.",
        _level('tidegate_blocks_oldest_seconds{code="review"}', "14399", "18000",
               "The oldest for 5h 0m 0s; a person lifts it, or its cause.",
               code="review"),
    ),
    Alert(
        "ChannelLag", "ticket", "tidegate:channel_lag_seconds:p90_10m > <15m>", "5m",
        "Orders of {{ $labels.channel }} come late",
        "One in ten is {{ $value | humanizeDuration }} old or older when it is recorded.",
        Proof({'tidegate_channel_lag_seconds_bucket{channel="tmall",le="60"}': "+100",
               'tidegate_channel_lag_seconds_bucket{channel="tmall",le="3600"}': "+100",
               'tidegate_channel_lag_seconds_bucket{channel="tmall",le="+Inf"}': "+100"},
              {'tidegate_channel_lag_seconds_bucket{channel="tmall",le="60"}': "+0",
               'tidegate_channel_lag_seconds_bucket{channel="tmall",le="3600"}': "+100",
               'tidegate_channel_lag_seconds_bucket{channel="tmall",le="+Inf"}': "+100"},
              {"channel": "tmall"},
              "One in ten is 54m 5s old or older when it is recorded."),
    ),
    Alert(
        "RoutingQueueOld", "ticket",
        "max by (queue) (tidegate_route_queue_oldest_seconds) > <15m>", "5m",
        "Orders wait to be routed ({{ $labels.queue }})",
        "The oldest for {{ $value | humanizeDuration }}; `GET /v1/routing-queue` says why.",
        _level('tidegate_route_queue_oldest_seconds{queue="UNFILLABLE"}', "899", "1200",
               "The oldest for 20m 0s; `GET /v1/routing-queue` says why.", queue="UNFILLABLE"),
    ),
    Alert(
        "WmsBreakerOpen", "ticket", "max by (node) (tidegate_wms_breaker_open) > 0", "2m",
        "The warehouse system of {{ $labels.node }} is not asked any more",
        "Its calls wait; one is tried now and then, and once one succeeds all go.",
        _level('tidegate_wms_breaker_open{node="beijing"}', "0", "1",
               "",
               node="beijing"),
    ),
    Alert(
        "JobsDead", "ticket", 'max by (queue) (tidegate_jobs{state="dead"}) > 0', "0s",
        "{{ $value }} calls to {{ $labels.queue }} were given up",
        "They stand in `GET /v1/dead-letters`, each with the last answer.",
        _level('tidegate_jobs{queue="wms:beijing",state="dead"}', "0", "2",
               "",
               queue="wms:beijing"),
    ),
    Alert(
        "WebhooksOld", "ticket", "max(tidegate_webhook_oldest_seconds) > <15m>", "5m",
        "Webhooks are not delivered",
        "The oldest waits for {{ $value | humanizeDuration }}; it is tried for three days.",
        _level("tidegate_webhook_oldest_seconds", "899", "3600",
               "The oldest waits for 1h 0m 0s; it is tried for three days."),
    ),
    Alert(
        "WebhookEndpointDisabled", "ticket",
        'max(tidegate_webhook_endpoints{state="disabled"}) > 0', "0s",
        "{{ $value }} endpoints of webhooks are disabled",
        "Nothing is sent to them until somebody enables them again.",
        _level('tidegate_webhook_endpoints{state="disabled"}', "0", "1",
               ""),
    ),
)  # fmt: skip


def document(scale: Scale) -> dict[str, Any]:
    """Return the file of alerting rules."""
    rules = [
        {
            "alert": one.name,
            "expr": scale.expr(one.expr),
            "for": scale.held(one.held),
            "labels": {"severity": one.severity},
            "annotations": {
                "summary": one.summary,
                "description": one.description,
                "runbook_url": f"{RUNBOOKS}/{one.name}.md",
            },
        }
        for one in ALERTS
    ]
    return {"groups": [{"name": "tidegate-alerts", "rules": rules}]}
