"""A drill as one page of HTML that needs nothing else: verdict, bars and plots first."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from html import escape
from typing import Final

from engine.kernel import codec
from engine.simulation.drill.look import SCRIPT, STYLE
from engine.simulation.drill.pictures import Column, columns, everything
from engine.simulation.drill.plot import LEFT, RIGHT, clock, figure
from engine.simulation.drill.summary import Summary, Threshold
from engine.simulation.drill.thinning import buckets, means, tops

_SENTENCES_FIRST: Final = 4
_ROWS: Final = 40  # of the table that stands beside the plots
_READ_MAX: Final = 600  # places that can be pointed at
_SIGNS: Final = {"max": "&#8804;", "min": "&#8805;", "equal": "="}
_GAUGE_ENDS_AT: Final = 1.5  # times the bar
_HUNDRED: Final = 100

Rows = Sequence[tuple[str, str]]


def page(summary: Summary) -> str:
    """Return the page; all its words are escaped, and its policy lets nothing be loaded."""
    policy = (
        f"default-src 'none'; style-src '{_digest(STYLE)}'; script-src '{_digest(SCRIPT)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    word = _verdict(summary)
    return "".join([
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(f'{word}: {summary.scenario} {summary.run_id}')}</title>",
        f"<style>{STYLE}</style></head><body>\n",
        "\n".join(_body(summary)),
        f'\n<script type="application/json" id="read">{_read_out(summary)}</script>',
        f"<script>{SCRIPT}</script></body></html>\n",
    ])  # fmt: skip


def number(value: float | None) -> str:
    """Return a figure for a reader: 1,234, 12.3, 0.045; a dash for none."""
    if value is None:
        return "&ndash;"
    if float(value).is_integer() or abs(value) >= _HUNDRED:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _verdict(summary: Summary) -> str:
    return "PASSED" if summary.passed else "FAILED"


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _body(summary: Summary) -> Iterator[str]:
    rate, latency, *others = [figure(one) for one in everything(summary)]
    yield from _header(summary)
    yield '<div class="first"><aside>'
    yield from _why(summary)
    yield from _thresholds(summary.thresholds)
    yield from _held(summary)
    yield f'</aside><main>{rate}{latency}</main></div><div class="more">'
    yield from others
    yield "</div>"
    yield '<div class="tables">'
    yield _table("What became of the orders", _orders(summary))
    yield _table("The generator", _generator(summary))
    yield _table("Machine and versions", sorted(summary.machine.items()))
    yield "</div>"
    yield from _invariants(summary)
    yield from _latencies(summary)
    yield from _in_time(summary)


def _header(summary: Summary) -> Iterator[str]:
    word, mark = (_verdict(summary), "&#10003;" if summary.passed else "&#10007;")
    totals = summary.totals
    accepted = summary.latency.get("accepted")
    facts = [
        ("accepted", number(totals.accepted)),
        ("a second", number(summary.accepted_per_s)),
        ("p50 ms", number(accepted.p50 if accepted and accepted.count else None)),
        ("p99 ms", number(accepted.p99 if accepted and accepted.count else None)),
        ("refused", number(sum(totals.refused.values()))),
        ("failed", number(sum(totals.failed.values()))),
        ("no answer", number(totals.unknown)),
        ("dropped", number(totals.dropped)),
    ]
    yield f'<header class="{word.lower()}"><p class="verdict">{mark} {word}</p><div>'
    yield f"<h1>{escape(summary.scenario)}</h1>"
    yield (
        f'<p class="told">{escape(summary.run_id)} &middot; {escape(summary.started_at)} &middot; '
        f"{summary.seconds:,.0f} s against {escape(summary.target)}</p></div>"
    )
    yield '<dl class="facts">'
    yield from (f"<div><dd>{value}</dd><dt>{name}</dt></div>" for name, value in facts)
    yield "</dl></header>"


def _why(summary: Summary) -> Iterator[str]:
    yield "<h2>Verdict</h2>"
    if summary.passed:
        yield '<p class="why">Every threshold was met and every invariant held.</p>'
    else:
        first, rest = summary.failures[:_SENTENCES_FIRST], summary.failures[_SENTENCES_FIRST:]
        yield f'<ul class="why">{"".join(map(_item, first))}</ul>'
        if rest:
            yield f"<details><summary>and {len(rest)} more</summary>"
            yield f'<ul class="why">{"".join(map(_item, rest))}</ul></details>'
    if summary.generator.aborted:
        yield '<p class="warn">&#9888; Aborted: the generator was the bottleneck.</p>'
    yield f'<h2>Certificate</h2><p class="certificate">{escape(summary.certificate or "none")}</p>'


def _held(summary: Summary) -> Iterator[str]:
    held = sum(one.met for one in summary.invariants)
    told = f"{held} of {len(summary.invariants)} held"
    yield f'<h2>Invariants <small>{told} (<a href="#invariants">what was compared</a>)</small></h2>'
    yield '<ul class="marks">'
    for one in sorted(summary.invariants, key=lambda each: each.met):
        mark = "&#10003;" if one.met else "&#10007; broken:"
        yield f'<li class="{"met" if one.met else "missed"}">{mark} {escape(one.name)}</li>'
    yield "</ul>"


def _item(sentence: str) -> str:
    return f"<li>{escape(sentence)}</li>"


def _thresholds(thresholds: Sequence[Threshold]) -> Iterator[str]:
    met = sum(one.met for one in thresholds)
    yield f"<h2>Thresholds <small>{met} of {len(thresholds)} met</small></h2>"
    yield '<table class="bars"><thead><tr><th>threshold</th><th class="n">found</th>'
    yield '<th class="n">bar</th><th></th><th></th></tr></thead><tbody>'
    for one in sorted(thresholds, key=lambda each: each.met):
        mark, word = ("&#10003;", "met") if one.met else ("&#10007;", "missed")
        sign = _SIGNS.get(one.kind, escape(one.kind))
        found = number(one.found) if one.found is not None else "not measured"
        yield (
            f'<tr class="{word}"><th scope="row">{escape(one.name)}</th><td class="n">{found}</td>'
            f'<td class="n">{sign} {number(one.bar)} {escape(one.unit)}</td>'
            f"<td>{_gauge(one)}</td><td>{mark} {word}</td></tr>"
        )
    yield "</tbody></table>"


def _gauge(one: Threshold) -> str:
    """Draw how far the figure lies from the bar; only where that is a proportion."""
    if one.found is None or one.bar <= 0 or one.kind == "equal":
        return ""
    width = 54 * min(max(one.found / one.bar, 0.0), _GAUGE_ENDS_AT) / _GAUGE_ENDS_AT
    bar = 54 / _GAUGE_ENDS_AT
    return (
        '<svg class="gauge" viewBox="0 0 54 12" aria-hidden="true">'
        f'<rect class="all" y="3" width="54" height="6"/><rect y="3" width="{width:.1f}" '
        f'height="6"/><path d="M{bar:.1f} 0V12"/></svg>'
    )


def _orders(summary: Summary) -> Rows:
    totals = summary.totals
    rows = [
        ("planned", totals.planned),
        ("sent", totals.sent),
        ("dropped: due, not sent", totals.dropped),
        ("accepted", totals.accepted),
        ("repeated", totals.repeated),
        *((f"refused: {code}", many) for code, many in _by_size(totals.refused)),
        *((f"failed: {code}", many) for code, many in _by_size(totals.failed)),
        ("without an answer", totals.unknown),
        ("sent again", totals.retried),
        ("paid", totals.paid),
    ]
    return [(name, number(many)) for name, many in rows]


def _by_size(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def _generator(summary: Summary) -> Rows:
    found = summary.generator
    return [
        ("what", found.name),
        ("processes", number(found.processes)),
        ("CPU, mean", f"{number(found.cpu_mean)} cores"),
        ("CPU, most", f"{number(found.cpu_max)} cores"),
        ("began late, p99", f"{number(found.late_p99_ms)} ms"),
        ("aborted", "yes: it was the bottleneck" if found.aborted else "no"),
        ("most planned", f"{number(summary.rate_target_max)} a second"),
        ("most sent", f"{number(summary.rate_sent_max)} a second"),
    ]


def _table(title: str, rows: Rows) -> str:
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="n">{_plain(value)}</td></tr>'
        for name, value in rows
    )
    return f"<section><h2>{escape(title)}</h2><table>{lines}</table></section>"


def _plain(value: str) -> str:
    return value if value == number(None) else escape(value)


def _invariants(summary: Summary) -> Iterator[str]:
    yield '<section id="invariants"><h2>Invariants</h2><table><thead><tr><th>invariant</th>'
    yield "<th></th><th>what was compared</th></tr></thead><tbody>"
    for one in sorted(summary.invariants, key=lambda each: each.met):
        word = "&#10003; held" if one.met else "&#10007; broken"
        yield (
            f'<tr class="{"met" if one.met else "missed"}"><th scope="row">{escape(one.name)}</th>'
            f"<td>{word}</td><td>{escape(one.told)}</td></tr>"
        )
    yield "</tbody></table></section>"


def _latencies(summary: Summary) -> Iterator[str]:
    yield "<section><h2>Latency, ms from the intended start</h2><table><thead><tr><th></th>"
    words = ("count", "p50", "p90", "p99", "p99.9", "max")
    yield "".join(f'<th class="n">{word}</th>' for word in words) + "</tr></thead><tbody>"
    for name, one in sorted(summary.latency.items()):
        values = (one.p50, one.p90, one.p99, one.p999, one.max)
        cells = [one.count, *(value if one.count else None for value in values)]
        told = "".join(f'<td class="n">{number(value)}</td>' for value in cells)
        yield f'<tr><th scope="row">{escape(name)}</th>{told}</tr>'
    yield "</tbody></table></section>"


def _in_time(summary: Summary) -> Iterator[str]:
    found = columns(summary)
    seconds = len(summary.series.second)
    yield "<section><details><summary>The plots as a table (means; of latency and lag the most)"
    yield f'</summary><table class="wide"><thead><tr><th>from</th>{"".join(map(_head, found))}'
    yield "</tr></thead><tbody>"
    values = [(tops if one.worst else means)(one.values, _ROWS) for one in found]
    for row, (start, _) in enumerate(buckets(seconds, _ROWS)):
        cells = "".join(f'<td class="n">{number(_rounded(each[row]))}</td>' for each in values)
        yield f'<tr><th scope="row">{clock(start)}</th>{cells}</tr>'
    yield "</tbody></table></details></section>"


def _head(column: Column) -> str:
    return f'<th class="n">{escape(column.name)}</th>'


def _read_out(summary: Summary) -> str:
    """Return what the script tells of the place that is pointed at."""
    found, seconds = columns(summary), len(summary.series.second)
    places = buckets(seconds, _READ_MAX)
    by_plot: dict[str, list[dict[str, object]]] = {}
    for one in found:
        values = (tops if one.worst else means)(one.values, _READ_MAX)
        told = [_rounded(value) for value in values]
        by_plot.setdefault(one.plot, []).append({"name": one.name, "values": told})
    read = {
        "at": [clock(start) for start, _ in places],
        "left": LEFT,
        "right": RIGHT,
        "plots": by_plot,
    }
    return codec.encode(read).decode().replace("<", "\\u003c")


def _rounded(value: float | None) -> float | None:
    if value is None:
        return None
    return round(value) if abs(value) >= _HUNDRED else float(f"{value:.3g}")
