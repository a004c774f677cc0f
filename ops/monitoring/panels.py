"""Panels of a dashboard, as Grafana reads them; each is placed after the one before it."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

WIDTH: Final = 24
_DS: Final = {"type": "prometheus", "uid": "${ds}"}
_GREEN, _AMBER, _RED = "green", "orange", "red"
RUNBOOKS: Final = "/public/runbooks"  # where ops/compose.yaml lays them, for Grafana to show


class Line(NamedTuple):
    """One query of a panel, and what its lines are called."""

    expr: str
    legend: str = ""


class Bars(NamedTuple):
    """Where a value turns amber and red; `below`: small ones are the bad ones."""

    amber: float | None = None
    red: float | None = None
    below: bool = False


class Panel(NamedTuple):
    """What one panel shows. A stat is a number; a graph has time below it."""

    kind: str  # stat, timeseries, bargauge
    title: str
    lines: Sequence[Line]
    unit: str = "short"
    bars: Bars = Bars()
    told: str = ""
    runbooks: Sequence[str] = ()
    width: int = 4
    height: int = 4
    stacked: bool = False
    decimals: int | None = None
    words: dict[str, tuple[str, str]] | None = None  # of a stat: what a value is called, and colour


def stat(title: str, expr: str, unit: str = "short", **more: Any) -> Panel:
    """Return a card with one number."""
    return Panel("stat", title, [Line(expr, title)], unit, **more)


def graph(title: str, *lines: Line, unit: str = "short", **more: Any) -> Panel:
    """Return a graph over time."""
    return Panel("timeseries", title, lines, unit, **{"width": 12, "height": 8} | more)


def document(uid: str, title: str, told: str, panels: Sequence[Panel]) -> dict[str, Any]:
    """Return a dashboard; its panels flow from the top left, row by row."""
    return {
        "uid": f"tidegate-{uid}",
        "title": title,
        "description": told,
        "tags": ["tidegate"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "timezone": "browser",
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "weekStart": "",
        "timepicker": {},
        "annotations": {"list": [_firing()]},
        "links": [
            _link(
                "Tidegate", type="dashboards", tags=["tidegate"], asDropdown=True,
                includeVars=True, keepTime=True,
            )
        ],
        "templating": {
            "list": [
                {
                    "name": "ds", "label": "Data source", "type": "datasource",
                    "query": "prometheus", "hide": 0, "refresh": 1, "includeAll": False,
                    "multi": False, "regex": "", "skipUrlSync": False, "options": [],
                }
            ]
        },
        "panels": _placed(panels),
    }  # fmt: skip


def _link(title: str, url: str = "", **more: Any) -> dict[str, Any]:
    return {
        "title": title, "url": url, "type": "link", "tags": [], "icon": "external link",
        "tooltip": "", "asDropdown": False, "includeVars": False, "keepTime": False,
        "targetBlank": False,
    } | more  # fmt: skip


def _firing() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": _DS,
        "enable": True,
        "iconColor": _RED,
        "target": {
            "refId": "Anno",
            "expr": 'ALERTS{alertstate="firing",severity="page"}',
            "legendFormat": "{{alertname}}",
        },
    }


def _placed(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    placed, x, y, tall = [], 0, 0, 0
    for number, one in enumerate(panels, start=1):
        if x + one.width > WIDTH:
            x, y, tall = 0, y + tall, 0
        placed.append(_panel(one, number, {"x": x, "y": y, "w": one.width, "h": one.height}))
        x, tall = x + one.width, max(tall, one.height)
    return placed


def _panel(one: Panel, number: int, at: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": one.kind,
        "title": one.title,
        "description": one.told,
        "datasource": _DS,
        "gridPos": at,
        "targets": [
            {
                "refId": chr(ord("A") + n),
                "datasource": _DS,
                "expr": line.expr,
                "legendFormat": line.legend or "__auto",
                "instant": one.kind != "timeseries",
                "range": one.kind == "timeseries",
            }
            for n, line in enumerate(one.lines)
        ],
        "fieldConfig": {"defaults": _field(one), "overrides": []},
        "options": _options(one),
        "links": [
            _link(f"Runbook {name}", f"{RUNBOOKS}/{name}.md", targetBlank=True)
            for name in one.runbooks
        ],
    }


def _field(one: Panel) -> dict[str, Any]:
    field: dict[str, Any] = {
        "unit": one.unit,
        "min": 0,
        "color": {"mode": "thresholds" if one.kind != "timeseries" else "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": _steps(one.bars)},
        "mappings": [],
    }
    if one.decimals is not None:
        field["decimals"] = one.decimals
    if one.words:
        field["mappings"] = [
            {
                "type": "value",
                "options": {
                    value: {"text": text, "color": colour, "index": n}
                    for n, (value, (text, colour)) in enumerate(one.words.items())
                },
            }
        ]
    if one.kind == "timeseries":
        field["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if one.stacked else 8,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if one.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if one.bars.red is not None else "off"},
        }
    return field


def _steps(bars: Bars) -> list[dict[str, Any]]:
    first, last = (_RED, _GREEN) if bars.below else (_GREEN, _RED)
    between = (bars.red, bars.amber) if bars.below else (bars.amber, bars.red)
    colours = (_AMBER, last)
    return [{"value": None, "color": first}] + [
        {"value": value, "color": colour}
        for value, colour in zip(between, colours, strict=True)
        if value is not None
    ]


def _options(one: Panel) -> dict[str, Any]:
    if one.kind == "timeseries":
        return {
            "legend": {
                "displayMode": "table",
                "placement": "bottom",
                "calcs": ["lastNotNull", "max"],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if one.kind == "bargauge":
        return {"reduceOptions": reduced, "orientation": "horizontal", "displayMode": "basic"}
    return {
        "reduceOptions": reduced,
        "colorMode": "background" if one.bars != Bars() or one.words else "value",
        "graphMode": "none",
        "textMode": "value",
        "orientation": "auto",
        "justifyMode": "center",
    }
