"""The dashboards: what a person looks at on the night of a sale, the most urgent at the top left.

A panel without an incident shows 0, not nothing: empty means that something is not measured.
"""

from typing import Any, Final

from panels import Bars, Line, Panel, document, graph, stat
from recording import ORDERS, quantile

from engine.kernel.limits import KEPT_CLAIMS_MAX

_WINDOW: Final = "$__rate_interval"
_SECONDS, _BYTES, _SHARE, _RATE = "s", "bytes", "percentunit", "reqps"
_OPEN: Final = {"1": ("OPEN", "green"), "0": ("CLOSED", "red")}
_HOLDS: Final = {"1": ("HOLDS", "green"), "0": ("BROKEN", "red")}
_NONE: Final = Bars(red=1)  # there should be none


def _rate(name: str, by: str = "", where: str = "") -> str:
    """Return what a counter grows by a second, over all processes; 0 where it never has."""
    summed = f"sum by ({by}) " if by else "sum"
    return f"{summed}(rate({name}{where}[{_WINDOW}]))"


def _or_none(expr: str) -> str:
    return f"{expr} or on () vector(0)"


def _fact(name: str, by: str = "", where: str = "") -> str:
    """Return a fact, which each process tells alike."""
    return f"max by ({by}) ({name}{where})" if by else f"max({name}{where})"


def _percentiles(name: str, where: str = "") -> list[Line]:
    return [
        Line(quantile(share, name, _WINDOW, where=where), f"p{share * 100:g}")
        for share in (0.5, 0.9, 0.99, 0.999)
    ]


def _accepted() -> str:
    return _or_none(_rate("tidegate_orders_total", where='{verdict="reserved",lane="gate"}'))


def sale_live() -> list[Panel]:
    """Return *Sale live*."""
    late = quantile(0.99, "tidegate_http_request_seconds", _WINDOW, where=f"{{{ORDERS}}}")
    return [
        stat("Cell", _fact("tidegate_cell_open"), words=_OPEN, runbooks=["CellClosed"],
             told="Whether orders are taken."),
        stat("Oversold by us", _fact("tidegate_oversold_units"), bars=_NONE,
             runbooks=["OversoldByUs"], told="Units sold twice by the engine. Must be 0."),
        stat("Certificate", "min(tidegate_certificate_holds)", words=_HOLDS,
             runbooks=["CertificateBroken", "CertificateOld"],
             told="Whether cell and Postgres agreed when they were last compared."),
        stat("Accepted / s", _accepted(), _RATE, decimals=0,
             told="Orders of the gate that got their units."),
        stat("p99 of orders", _or_none(f"{late} >= 0"), _SECONDS,
             bars=Bars(0.05, 0.2), runbooks=["OrdersLateFast"],
             told="From the parsed head to the answer, in the slowest process of all."),
        stat("Oldest not recorded", _fact("tidegate_log_lag_seconds"), _SECONDS, bars=Bars(5, 30),
             runbooks=["OrdersNotRecorded", "RecorderStopped"],
             told="Age of the oldest accepted order that Postgres does not have."),
        graph("Orders by verdict",
              Line(_rate("tidegate_orders_total", "lane, verdict"), "{{lane}} {{verdict}}"),
              unit=_RATE, stacked=True,
              told="What each order was answered; sync are those of marketplaces."),
        graph("How long orders take", *_percentiles(
            "tidegate_http_request_seconds", f"{{{ORDERS}}}"), unit=_SECONDS,
              bars=Bars(red=0.05), runbooks=["OrdersLateFast", "OrdersLateSlowly"],
              told="The red line is what 99 of 100 must keep."),
        graph("Accepted and recorded", Line(_accepted(), "accepted"),
              Line(_or_none(_rate("tidegate_orders_recorded_total")), "recorded"),
              Line(_or_none(_rate("tidegate_payments_recorded_total")), "paid"), unit=_RATE,
              runbooks=["OrdersNotRecorded"],
              told="Where the second stays below the first, the log grows."),
        graph("Turned away", Line(_or_none(_rate("tidegate_shed_total")), "shed"),
              Line(_or_none(_rate("tidegate_http_requests_total", where='{status=~"5.."}')), "5xx"),
              unit=_RATE,
              runbooks=["Shedding", "ServerErrors", "OrdersFailFast", "OrdersFailSlowly"],
              told="503 before judgement, and all answers of 500 and above."),
        graph("Holds open and expired",
              Line(_fact("tidegate_holds_open", "cell"), "open, cell {{cell}}"),
              Line(_or_none(_rate("tidegate_holds_expired_total")), "expired / s"),
              runbooks=["HoldsNotExpiring"],
              told="Orders that wait for payment, and those that nobody paid."),
        graph("How late channels are",
              Line(_or_none("tidegate:channel_lag_seconds:p90_10m >= 0"), "{{channel}}"),
              unit=_SECONDS, runbooks=["ChannelLag"],
              told="From placed to recorded, for nine of ten orders of the last ten minutes."),
    ]  # fmt: skip


def exceptions() -> list[Panel]:
    """Return *Exceptions*."""
    return [
        stat("Should have left", _fact("tidegate_ship_by_due", where='{within="breached"}'),
             bars=_NONE, runbooks=["ShipByBreached"], told="Orders past their ship_by."),
        stat("Must leave in 2 h", _fact("tidegate_ship_by_due", where='{within="2h"}'),
             bars=Bars(1), runbooks=["ShipBySoon"], told="Not shipped, not yet late."),
        stat("Units owed", f"sum({_fact('tidegate_owed_units', 'channel')}) or vector(0)",
             bars=_NONE, runbooks=["UnitsOwed"],
             told="Sold by marketplaces beyond stock, and not made good."),
        stat("Broken promises", _fact("tidegate_broken_promises"), bars=_NONE,
             runbooks=["BrokenPromises"], told="Lines sold that no node can send."),
        stat("Dead letters", f"sum({_fact('tidegate_dead_letters', 'kind')}) or vector(0)",
             bars=_NONE, runbooks=["DeadLetters", "JobsDead"], told="Given up, of every kind."),
        stat("Payments waiting", _fact("tidegate_payments_waiting"), bars=Bars(1),
             runbooks=["PaymentsWaiting"], told="Received while the cell was closed."),
        graph("Blocks by code", Line(_or_none(_fact("tidegate_blocks", "code")), "{{code}}"),
              stacked=True, runbooks=["BlocksOld"], told="Orders that must not go on, and why."),
        graph("Oldest block by code",
              Line(_or_none(_fact("tidegate_blocks_oldest_seconds", "code")), "{{code}}"),
              unit=_SECONDS, runbooks=["BlocksOld"], told="How long the oldest stands."),
        graph("Due to be shipped",
              Line(_or_none(_fact("tidegate_ship_by_due", "within")), "{{within}}"),
              runbooks=["ShipByBreached", "ShipBySoon"],
              told="Not shipped, by what is left; each order counts once."),
        graph("Units owed by channel",
              Line(_or_none(_fact("tidegate_owed_units", "channel")), "{{channel}}"),
              runbooks=["UnitsOwed"], told="What each marketplace sold beyond stock."),
        graph("Given up", Line(_or_none(_fact("tidegate_dead_letters", "kind")), "{{kind}}"),
              runbooks=["DeadLetters"], told="cell: entries; job: calls; webhook: messages."),
        graph("Webhooks that wait",
              Line(_or_none(_fact("tidegate_webhook_backlog", "state")), "{{state}}"),
              Line(_or_none(_fact("tidegate_webhook_oldest_seconds")), "oldest, s"),
              runbooks=["WebhooksOld", "WebhookEndpointDisabled"],
              told="Messages for other systems, and the age of the oldest."),
    ]  # fmt: skip


def stock() -> list[Panel]:
    """Return *Stock*."""

    def pools(state: str) -> str:
        return _or_none(_fact("tidegate_pools", where=f'{{state="{state}"}}'))

    return [
        stat("Broken", pools("broken"), bars=_NONE, runbooks=["PoolsBroken"], width=6,
             told="Pools that do not add up; nothing is sold of them."),
        stat("Short", pools("short"), bars=_NONE, runbooks=["UnitsOwed"], width=6,
             told="Pools that owe units."),
        stat("Sold out", pools("sold_out"), width=6, told="Pools with nothing left."),
        stat("Low", pools("low"), bars=Bars(1), width=6,
             told="Pools with a tenth or less of what they were granted."),
        graph("Pools by state", Line(_or_none(_fact("tidegate_pools", "state")), "{{state}}"),
              stacked=True, told="All pools that have units or had."),
        graph("Units held", Line(_or_none(_fact("tidegate_holds_open", "cell")), "cell {{cell}}"),
              runbooks=["HoldsNotExpiring"], told="Holds whose deadline has not come."),
        graph("Refused for stock or limits",
              Line(_or_none(_rate("tidegate_orders_total", "verdict",
                                  '{verdict=~"sold_out|limit_reached|paused|unknown_sku|ended"}')),
                   "{{verdict}}"), unit=_RATE, told="Orders of the gate that got nothing."),
        graph("Owed by channel",
              Line(_or_none(_fact("tidegate_owed_units", "channel")), "{{channel}}"),
              runbooks=["UnitsOwed"], told="Sold beyond stock, until it is made good."),
    ]  # fmt: skip


def fulfilment() -> list[Panel]:
    """Return *Fulfilment*."""
    waiting = "sum(max by (queue) (tidegate_route_queue)) or vector(0)"
    return [
        stat("Wait to be routed", waiting, runbooks=["RoutingQueueOld"], told="In every queue."),
        stat("Oldest of them", _or_none("max(tidegate_route_queue_oldest_seconds)"), _SECONDS,
             bars=Bars(300, 900), runbooks=["RoutingQueueOld"], told="How long it waits."),
        stat("Broken promises", _fact("tidegate_broken_promises"), bars=_NONE,
             runbooks=["BrokenPromises"], told="Lines sold that no node can send."),
        stat("Breakers open", "sum(max by (node) (tidegate_wms_breaker_open)) or vector(0)",
             bars=_NONE, runbooks=["WmsBreakerOpen"],
             told="Warehouse systems that are only probed."),
        stat("Calls given up",
             'sum(max by (queue) (tidegate_jobs{state="dead"})) or vector(0)', bars=_NONE,
             runbooks=["JobsDead"], told="Calls to the outside that nobody repeats."),
        stat("Should have left", _fact("tidegate_ship_by_due", where='{within="breached"}'),
             bars=_NONE, runbooks=["ShipByBreached"], told="Orders past their ship_by."),
        graph("Routed", Line(_or_none(_rate("tidegate_routed_total", "verdict")), "{{verdict}}"),
              unit=_RATE, told="Decisions of routers, by what came of them."),
        graph("Queues", Line(_or_none(_fact("tidegate_route_queue", "queue")), "{{queue}}"),
              stacked=True, runbooks=["RoutingQueueOld"], told="Orders that wait, by queue."),
        graph("Calls to warehouses",
              Line(_or_none(_rate("tidegate_wms_calls_total", "node, outcome")),
                   "{{node}} {{outcome}}"), unit=_RATE, runbooks=["WmsBreakerOpen"],
              told="By node and by what was answered."),
        graph("Calls that wait",
              Line(_or_none(_fact("tidegate_jobs", "queue, state")), "{{queue}} {{state}}"),
              runbooks=["JobsDead"], told="Jobs by queue; dead ones were given up."),
        graph("Not confirmed by marketplaces",
              Line(_or_none(_fact("tidegate_acks", "channel, state")), "{{channel}} {{state}}"),
              told="Parcels that a shop has yet to confirm, or refused."),
        graph("Stops asked of nodes",
              Line(_or_none(_rate("tidegate_stops_total", "answer")), "{{answer}}"), unit=_RATE,
              told="Requests that something be stopped, by the one answer of each."),
    ]  # fmt: skip


def engine() -> list[Panel]:
    """Return *Engine*."""
    kept, limit = "max(tidegate_kept_claims)", KEPT_CLAIMS_MAX
    memory = (
        "max(max by (cell) (tidegate_cell_memory_bytes)"
        " / max by (cell) (tidegate_cell_memory_max_bytes))"
    )
    return [
        stat("Targets down", "count(up == 0) or vector(0)", bars=_NONE,
             runbooks=["TargetDown", "NoApiAnswers"], told="Of all that Prometheus asks."),
        stat("Cell memory", memory, _SHARE, bars=Bars(0.8, 0.95),
             runbooks=["CellMemoryHigh", "CellMemoryFull"], told="Full means no new orders."),
        stat("Recorder beat", _or_none('min(tidegate_role_beat_seconds{role="recorder"})'),
             _SECONDS, bars=Bars(5, 15), runbooks=["RecorderStopped"],
             told="Since any recorder's loop last came round."),
        stat("Kept claims", kept, bars=Bars(limit * 0.4, limit * 0.7), runbooks=["KeptClaimsHigh"],
             told="Accepted and not known to be recorded, in the fullest process."),
        stat("Loop lag", "max(tidegate_loop_lag_seconds)", _SECONDS, bars=Bars(0.1, 0.25),
             runbooks=["LoopLag"], told="The worst within 15 s, of all processes."),
        stat("Requests in flight", "sum(tidegate_http_in_flight)", told="In all API processes."),
        graph("Claims wait for a batch", *[
                  Line(quantile(share, "tidegate_queue_wait_seconds", _WINDOW, "verb"),
                       f"p{share * 100:g} {{{{verb}}}}") for share in (0.5, 0.99)],
              unit=_SECONDS, runbooks=["QueueWaitLong"], told="From submitted to sent."),
        graph("Calls to the cell", Line(
                  quantile(0.99, "tidegate_cell_call_seconds", _WINDOW, "script"),
                  "p99 {{script}}"), unit=_SECONDS, runbooks=["FsyncSlow"],
              told="The disk of the cell is in it: each call is on it before it answers."),
        graph("Claims a call", Line(
                  f"{_rate('tidegate_batch_claims_sum', 'script')}"
                  f" / ({_rate('tidegate_batch_claims_count', 'script')} > 0)", "{{script}}"),
              told="Fuller batches are cheaper ones."),
        graph("Queues, and what is kept",
              Line("sum by (verb) (tidegate_queue_claims)", "queued {{verb}}"),
              Line("sum(tidegate_kept_claims)", "kept"), runbooks=["KeptClaimsHigh"],
              told="Claims that wait, and accepted ones that are not known to be recorded."),
        graph("Recorder", Line(_or_none(_rate("tidegate_recorder_batches_total")), "batches / s"),
              Line(_or_none(_rate("tidegate_recorder_entries_total")), "entries / s"),
              Line(_or_none(_rate("tidegate_recorder_retries_total")), "retries / s"),
              runbooks=["RecorderStopped", "OrdersNotRecorded"],
              told="Transactions that fold the log into Postgres."),
        graph("Recorder, seconds a batch", *_percentiles("tidegate_recorder_seconds"),
              unit=_SECONDS, runbooks=["OrdersNotRecorded"], told="Begin to commit."),
        graph("Requests by route",
              Line(_rate("tidegate_http_requests_total", "route"), "{{route}}"),
              unit=_RATE, stacked=True, told="All answers, by the template of the path."),
        graph("Loop lag by process",
              Line("max by (job, instance, process) (tidegate_loop_lag_seconds)",
                   "{{job}} {{process}} {{instance}}"), unit=_SECONDS, bars=Bars(red=0.25),
              runbooks=["LoopLag"], told="How late a timer fires."),
        graph("Wait for a connection", Line(
                  quantile(0.99, "tidegate_pool_wait_seconds", _WINDOW, "job, instance, process"),
                  "p99 {{job}} {{process}} {{instance}}"), unit=_SECONDS, runbooks=["PoolWaits"],
              told="For Postgres, from the pool of each process."),
        graph("Roles, since one came round",
              Line("min by (role) (tidegate_role_beat_seconds)", "{{role}}"), unit=_SECONDS,
              runbooks=["RoleStopped", "HoldsNotExpiring"],
              told="Of each role, the process that came round last."),
        graph("Started again",
              Line(_or_none("sum by (name) (increase(tidegate_process_restarts_total[1h]))"),
                   "{{name}}"), runbooks=["ProcessRestarts"],
              told="By the supervisor of `up`, within an hour."),
        graph("CPU", Line(f"sum by (job, instance) (rate(process_cpu_seconds_total[{_WINDOW}]))",
                          "{{job}} {{instance}}"), unit="short", told="In cores."),
        graph("Memory", Line("max by (job, instance) (process_resident_memory_bytes)",
                             "{{job}} {{instance}}"), unit=_BYTES, told="Resident."),
        graph("Descriptors", Line("max by (job, instance) (process_open_fds / process_max_fds)",
                                  "{{job}} {{instance}}"), unit=_SHARE, bars=Bars(red=0.8),
              runbooks=["DescriptorsNearLimit"], told="Of what each process may open."),
        graph("Valkey", Line("sum(rate(redis_commands_processed_total[" + _WINDOW + "]))",
                             "commands / s"),
              Line("max(redis_connected_clients)", "clients"), runbooks=["ValkeyDown"],
              told="What its exporter says."),
        graph("Postgres", Line("sum(pg_stat_activity_count)", "connections"),
              Line(f"sum(rate(pg_stat_database_xact_commit[{_WINDOW}]))", "commits / s"),
              runbooks=["PostgresDown", "PostgresConnectionsHigh"],
              told="What its exporter says."),
    ]  # fmt: skip


def documents() -> list[dict[str, Any]]:
    """Return every dashboard."""
    return [
        document("sale-live", "Tidegate: Sale live",
                 "Is it selling, is it right, is it quick.", sale_live()),
        document("exceptions", "Tidegate: Exceptions",
                 "What waits for a person.", exceptions()),
        document("stock", "Tidegate: Stock", "Pools and what is owed.", stock()),
        document("fulfilment", "Tidegate: Fulfilment",
                 "From the queue to the warehouse and back.", fulfilment()),
        document("engine", "Tidegate: Engine", "How the processes and servers fare.", engine()),
    ]  # fmt: skip


def provisioning() -> dict[str, dict[str, Any]]:
    """Return how Grafana finds its data source and the dashboards."""
    return {
        "datasources/prometheus.yml": {
            "apiVersion": 1,
            "datasources": [
                {
                    "name": "Prometheus", "uid": "prometheus", "type": "prometheus",
                    "access": "proxy", "url": "http://prometheus:9090", "isDefault": True,
                    "jsonData": {"timeInterval": "15s"},
                }
            ],
        },
        "dashboards/tidegate.yml": {
            "apiVersion": 1,
            "providers": [
                {
                    "name": "tidegate", "type": "file", "folder": "Tidegate",
                    "disableDeletion": True, "allowUiUpdates": False,
                    "options": {"path": "/var/lib/grafana/dashboards"},
                }
            ],
        },
    }  # fmt: skip
