"""What is worked out all the time: rates over all processes, and how fast budgets burn.

Counters are summed over processes. The promises to shops: of 1,000 orders 999 are not answered
with a 5xx, and of 100 orders 99 are answered within 50 ms.
"""

from typing import Any, Final

from scaling import Scale

ORDERS: Final = 'route="/v1/orders"'
FAILED_BUDGET: Final = 0.001
SLOW_BUDGET: Final = 0.01
WINDOWS: Final = ("5m", "30m", "1h", "6h")


def _failed(window: str) -> str:
    asked = f"sum(rate(tidegate_http_requests_total{{{ORDERS}}}[{window}])) > 0"
    failed = f'sum(rate(tidegate_http_requests_total{{{ORDERS},status=~"5.."}}[{window}]))'
    return f"({failed} or vector(0)) / ({asked}) or vector(0)"


def _slow(window: str) -> str:
    name = "tidegate_http_request_seconds"
    fast = f'sum(rate({name}_bucket{{{ORDERS},le="0.05"}}[{window}]))'
    return f"1 - {fast} / (sum(rate({name}_count{{{ORDERS}}}[{window}])) > 0) or vector(0)"


def quantile(share: float, name: str, window: str = "5m", by: str = "", where: str = "") -> str:
    """Return the expression of a percentile of a histogram over all processes."""
    labels = f"le, {by}" if by else "le"
    rates = f"sum by ({labels}) (rate({name}_bucket{where}[{window}]))"
    return f"histogram_quantile({share:g}, {rates})"


_REQUESTS: Final = "tidegate_http_requests_total"
_ORDER_P99: Final = quantile(0.99, "tidegate_http_request_seconds", where=f"{{{ORDERS}}}")


def _share(part: str) -> str:
    """Return a sum as a share of all requests; 0 while there are none."""
    return f"({part} or vector(0)) / (sum(rate({_REQUESTS}[5m])) > 0) or vector(0)"


def _p99(name: str, by: str) -> tuple[str, str]:
    return f"tidegate:{name}:p99_5m", quantile(0.99, f"tidegate_{name}", by=by)


RECORDED: Final = (
    ("tidegate:http_requests:rate5m", f"sum by (route, status) (rate({_REQUESTS}[5m]))"),
    ("tidegate:orders:rate1m", "sum by (lane, verdict) (rate(tidegate_orders_total[1m]))"),
    (
        "tidegate:orders_recorded:rate1m",
        "sum by (channel) (rate(tidegate_orders_recorded_total[1m]))",
    ),
    (
        "tidegate:server_errors:ratio_rate5m",
        _share(f'sum(rate({_REQUESTS}{{status=~"5..",status!="503"}}[5m]))'),
    ),
    ("tidegate:shed:ratio_rate5m", _share("sum(rate(tidegate_shed_total[5m]))")),
    ("tidegate:order_seconds:p99_5m", _ORDER_P99),
    _p99("queue_wait_seconds", "verb"),
    _p99("cell_call_seconds", "script"),
    _p99("pool_wait_seconds", "job, instance, process"),
    (
        "tidegate:channel_lag_seconds:p90_10m",
        quantile(0.9, "tidegate_channel_lag_seconds", "10m", "channel"),
    ),
    *((f"tidegate:orders_failed:ratio_rate{window}", _failed(window)) for window in WINDOWS),
    *((f"tidegate:orders_slow:ratio_rate{window}", _slow(window)) for window in WINDOWS),
)


def document(scale: Scale) -> dict[str, Any]:
    """Return the file of recording rules."""
    rules = [{"record": name, "expr": scale.expr(told)} for name, told in RECORDED]
    return {"groups": [{"name": "tidegate-recorded", "rules": rules}]}
