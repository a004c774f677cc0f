"""Unit tests of the rules, for promtool: each alert is silent, fires for its cause, and ends."""

import re
from typing import Any, Final

from alerts import ALERTS, RUNBOOKS, Alert
from recording import RECORDED
from scaling import seconds

_EXPRESSIONS: Final = dict(RECORDED)
_SLACK: Final = 4  # steps
_STEPS: Final = {15: 60, 60: 900, 150: 3_600}  # seconds between samples: for spans of at most


def _window_s(expr: str) -> int:
    """Return the longest window of an expression, also of what it takes from recording rules."""
    named = [_EXPRESSIONS[name] for name in re.findall(r"tidegate:\w+:\w+", expr)]
    found = [found for one in (expr, *named) for found in re.findall(r"\[(\d+[smhd])\]", one)]
    return max((seconds(one) for one in found), default=0)


def _step_s(one: Alert) -> int:
    """Return the seconds between samples: as few of them as show it."""
    longest = max(_window_s(one.expr), seconds(one.held))
    return next((step for step, enough in _STEPS.items() if longest <= enough), 300)


def _segment(told: str, start: int, steps: int) -> tuple[str, int]:
    """Return samples of `steps` steps, and where a counter stands after them."""
    if told == "-":
        return f"stale _x{steps - 1}", start
    if not told.startswith("+"):
        return f"{told}+0x{steps - 1}", start
    growth = int(told[1:])
    return f"{start + growth}+{growth}x{steps - 1}", start + growth * steps


def _values(states: tuple[str, ...], lengths: tuple[int, ...]) -> str:
    said, stands = [], 0
    for told, steps in zip(states, lengths, strict=True):
        text, stands = _segment(told, stands, steps)
        said.append(text)
    return " ".join(said)


def _summary(one: Alert) -> str:
    """Return the summary as it is shown: a value in it is the level of the only series."""
    text = one.summary
    for name, value in one.proof.labels.items():
        text = text.replace(f"{{{{ $labels.{name} }}}}", value)
    return text.replace("{{ $value }}", next(iter(one.proof.broken.values())))


def _group(one: Alert) -> dict[str, Any]:
    proof, step = one.proof, _step_s(one)
    window, held = _window_s(one.expr), seconds(one.held)
    steps = (window + held) // step + _SLACK
    lengths = (steps, steps, steps)
    ends = (steps, 2 * steps, 3 * steps)
    fired = {
        "exp_labels": {"severity": one.severity, **proof.labels},
        "exp_annotations": {
            "summary": _summary(one),
            "description": proof.told or one.description,
            "runbook_url": f"{RUNBOOKS}/{one.name}.md",
        },
    }
    moments = [(ends[0] - 1, []), (ends[1] - 1, [fired]), (ends[2] - 1, [])]
    if held > step:
        moments.insert(1, (ends[0] + held // step - 1, []))
    return {
        "name": f"{one.name} fires for its cause, not just below it, and ends",
        "interval": f"{step}s",
        "input_series": [
            {"series": series, "values": _values((edge, proof.broken[series], edge), lengths)}
            for series, edge in proof.edge.items()
        ],
        "alert_rule_test": [
            {"eval_time": f"{at * step}s", "alertname": one.name, "exp_alerts": expected}
            for at, expected in moments
        ],
    }


def _file(step: int) -> dict[str, Any]:
    return {
        "rule_files": ["../rules/recording.yml", "../rules/alerts.yml"],
        "evaluation_interval": f"{step}s",
        "tests": [_group(one) for one in ALERTS if _step_s(one) == step],
    }


def _rates() -> dict[str, Any]:
    """Return tests of recorded rules: two processes are one, and no traffic is no failure."""
    route = 'route="/v1/orders"'
    a, b = (f'tidegate_http_requests_total{{instance="{i}",{route},status="202"}}' for i in "ab")
    failed = f'tidegate_http_requests_total{{instance="a",{route},status="503"}}'
    return {
        "rule_files": ["../rules/recording.yml"],
        "evaluation_interval": "15s",
        "tests": [
            {
                "name": "Processes are summed, and a process that starts again is not counted back",
                "interval": "15s",
                "input_series": [
                    {"series": a, "values": "0+60x40"},
                    {"series": b, "values": "0+15x18 15+15x20"},
                    {"series": failed, "values": "0+15x40"},
                ],
                "promql_expr_test": [
                    {
                        "expr": "tidegate:http_requests:rate5m",
                        "eval_time": "5m",
                        "exp_samples": [
                            {
                                "labels": f'tidegate:http_requests:rate5m{{{route},status="202"}}',
                                "value": 5,
                            },
                            {
                                "labels": f'tidegate:http_requests:rate5m{{{route},status="503"}}',
                                "value": 1,
                            },
                        ],
                    },
                    {
                        "expr": "tidegate:orders_failed:ratio_rate5m * 6",
                        "eval_time": "5m",
                        "exp_samples": [{"labels": "{}", "value": 1}],
                    },
                ],
            },
            {
                "name": "Without traffic nothing fails and nothing is late",
                "interval": "15s",
                "input_series": [{"series": a, "values": "7+0x40"}],
                "promql_expr_test": [
                    {
                        "expr": f"tidegate:{name}:ratio_rate1h",
                        "eval_time": "5m",
                        "exp_samples": [
                            {"labels": f"tidegate:{name}:ratio_rate1h", "value": 0},
                        ],
                    }
                    for name in ("orders_failed", "orders_slow")
                ],
            },
        ],
    }


def documents() -> dict[str, dict[str, Any]]:
    """Return the files of tests by name."""
    return {
        "quick.yml": _file(15),
        "slow.yml": _file(60),
        "budgets.yml": _file(150),
        "long-budgets.yml": _file(300),
        "recording.yml": _rates(),
    }
