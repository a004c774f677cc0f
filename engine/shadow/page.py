"""The report as one page of HTML that needs nothing else: tables, and a picture a listing."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from engine.shadow.rules.reasons import WORDS
from engine.shadow.sections import Section, sections
from engine.shadow.types import Curve, Moment, Point, Report, Why

CURVES_MAX: Final = 12
ROWS_MAX: Final = 200
_WIDTH, _HEIGHT, _LEFT, _TOP = 900, 200, 60, 10
_MARKS_MAX: Final = 200

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --shown: #d1495b; --wanted: #2e7d6b; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1020px; margin: 2rem auto; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
td { vertical-align: top; } td.n, th.n { text-align: right; }
ul { margin: 0; padding-left: 1.1rem; } .told { opacity: .75; }
.facts { display: flex; gap: 2rem; flex-wrap: wrap; }
.facts b { display: block; font-size: 1.6rem; }
figure { margin: 1.2rem 0; overflow-x: auto; } figcaption { font-weight: 600; }
svg { width: 100%; min-width: 600px; height: auto; }
svg text { font-size: 11px; fill: currentColor; }
.shown { stroke: var(--shown); } .wanted { stroke: var(--wanted); stroke-dasharray: 5 3; }
path { fill: none; stroke-width: 1.6; } .axis { stroke: var(--line); }
.mark { fill: var(--shown); }
.key i { display: inline-block; width: 1.6em; border-top: 2px solid; }
"""


def page(report: Report, curves: Sequence[Curve]) -> str:
    """Return the page; of more curves than fit, the worst come first."""
    head = f'<meta charset="utf-8"><title>Shadow report</title><style>{_STYLE}</style>'
    body = "\n".join(_body(report, curves[:CURVES_MAX]))
    return f'<!doctype html><html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def _body(report: Report, curves: Sequence[Curve]) -> Iterator[str]:
    yield "<h1>What a shadow saw</h1>"
    facts = ", ".join(f"{many:,} {name.replace('_', ' ')}" for name, many in report.facts.items())
    lag = f"lag {report.lag_seconds:g} s, buffer {report.buffer} units"
    yield f"<p>{escape(report.since)} to {escape(report.until)}: {facts}; {lag}</p>"
    yield '<div class="facts">'
    for what, much in (
        ("units oversold", f"{report.oversold_units:,}"),
        ("units counted to be gone", f"{report.lost_units:,}"),
        ("unit-minutes undersold", f"{report.undersold_unit_minutes:,.0f}"),
        ("listings that drifted", f"{len(report.drift):,}"),
    ):
        yield f"<div><b>{much}</b>{what}</div>"
    yield "</div>"
    if report.empty:
        yield "<p>Nothing to find: the shops showed what would have been published.</p>"
    if report.note:
        yield f"<p>Note: {escape(report.note)}.</p>"
    yield from _pictures(curves)
    for section in sections(report):
        yield from _table(section)


def _pictures(curves: Sequence[Curve]) -> Iterator[str]:
    if curves:
        yield "<h2>Listings that drifted most</h2>"
        yield (
            '<p class="key"><i class="shown" style="border-color: var(--shown)"></i> shown by the'
            ' shop &nbsp; <i style="border-top-style: dashed; border-color: var(--wanted)"></i>'
            " would have been published &nbsp; &#9679; an order oversold units</p>"
        )
    for curve in curves:
        yield f"<figure><figcaption>{escape(str(curve.link))} ({escape(curve.sku)})</figcaption>"
        yield picture(curve)
        yield "</figure>"


def picture(curve: Curve) -> str:
    """Return a listing over time as SVG."""
    points = [one for one in curve.points if one.shown is not None or one.wanted is not None]
    if not points:
        return ""
    start, end = points[0].at, points[-1].at
    end = max([end, *(moment.at for moment in curve.moments)])
    most = max(max(one.shown or 0, one.wanted or 0) for one in points) or 1
    scale = _Scale(start, end, most)
    shown = _path([(one.at, one.shown) for one in points], scale)
    wanted = _path([(one.at, one.wanted) for one in points], scale)
    box = f"0 0 {_LEFT + _WIDTH + 20} {_HEIGHT + 40}"
    return "".join([
        f'<svg viewBox="{box}" role="img" aria-label="shown and wanted pieces over time">',
        _axis(scale),
        f'<path class="wanted" d="{wanted}"/><path class="shown" d="{shown}"/>',
        *(_mark(moment, points, scale) for moment in curve.moments[:_MARKS_MAX]),
        "</svg>",
    ])  # fmt: skip


class _Scale:
    """From instants and pieces to places in a picture."""

    def __init__(self, start: datetime, end: datetime, most: int) -> None:
        self.start, self.end, self.most = start, end, most
        self._seconds = (end - start).total_seconds() or 1.0

    def x(self, at: datetime) -> float:
        """Return the place of an instant."""
        return round(_LEFT + _WIDTH * (at - self.start).total_seconds() / self._seconds, 1)

    def y(self, pieces: int) -> float:
        """Return the place of a number."""
        return round(_TOP + _HEIGHT * (1 - pieces / self.most), 1)


def _path(told: Sequence[tuple[datetime, int | None]], scale: _Scale) -> str:
    """Return a line of steps; of what lies on one pixel, the lowest and the highest are drawn."""
    known = ((int(scale.x(at)), pieces) for at, pieces in told if pieces is not None)
    steps: list[str] = []
    last = 0
    for x, group in groupby(known, key=itemgetter(0)):
        some = [pieces for _, pieces in group]
        places = [last if steps else some[0], min(some), max(some), some[-1]]
        places = [y for n, y in enumerate(places) if n == 0 or y != places[n - 1]]
        letter = "L" if steps else "M"
        steps.append(letter + "L".join(f"{x} {scale.y(y)}" for y in places))
        last = some[-1]
    return "".join(steps) + (f"H{scale.x(scale.end)}" if steps else "")


def _axis(scale: _Scale) -> str:
    bottom, right = _TOP + _HEIGHT, _LEFT + _WIDTH
    begin, end = (f"{at:%Y-%m-%d %H:%M:%S}" for at in (scale.start, scale.end))
    return (
        f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>'
        f'<text x="{_LEFT - 8}" y="{_TOP + 8}" text-anchor="end">{scale.most:,}</text>'
        f'<text x="{_LEFT - 8}" y="{bottom}" text-anchor="end">0</text>'
        f'<text x="{_LEFT}" y="{bottom + 18}">{begin}</text>'
        f'<text x="{right}" y="{bottom + 18}" text-anchor="end">{end}</text>'
    )


def _mark(moment: Moment, points: Sequence[Point], scale: _Scale) -> str:
    before = [one.shown for one in points if one.at <= moment.at]
    y = scale.y(before[-1] or 0) if before else scale.y(0)
    causes = ", ".join(WORDS[cause] for cause, _ in moment.why)
    told = f"{moment.order}: {moment.units} oversold at {moment.at:%H:%M:%S} ({causes})"
    place = f'cx="{scale.x(moment.at)}" cy="{y}" r="4"'
    return f'<circle class="mark" {place}><title>{escape(told)}</title></circle>'


def _table(section: Section) -> Iterator[str]:
    yield f"<h2>{escape(section.title)}</h2><table><tr>"
    for column in section.columns:
        number = ' class="n"' if column.startswith("#") else ""
        yield f"<th{number}>{escape(column.removeprefix('#'))}</th>"
    yield "</tr>"
    for row in section.rows[:ROWS_MAX]:
        yield f"<tr>{''.join(map(_cell, row))}</tr>"
    yield "</table>"
    if (more := len(section.rows) - ROWS_MAX) > 0:
        yield f"<p>and {more:,} more</p>"


def _cell(what: Any) -> str:
    if isinstance(what, list):
        return f"<td><ul>{''.join(map(_reason, what))}</ul></td>"
    if isinstance(what, int | float):
        return f'<td class="n">{what:,}</td>'
    return f"<td>{escape(str(what))}</td>"


def _reason(why: Why) -> str:
    times = f" ({why.times} times)" if why.times > 1 else ""
    words = f"{WORDS[why.cause]}{times}"
    return f'<li>{words}<br><span class="told">{escape(why.told)}</span></li>'
