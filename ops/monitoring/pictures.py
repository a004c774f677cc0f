"""Draw a dashboard from what a Prometheus has: `python pictures.py ADDRESS SECONDS UID...`.

The last SECONDS of it, as SVG into ops/grafana/pictures: for people who look at the README, and
have no Grafana before them. Stats and graphs only; a graph's legend says its last and highest
value.
"""

import math
import re
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final, NamedTuple

import dashboards
import orjson

FOLDER: Final = Path(__file__).parents[1] / "grafana" / "pictures"
COLUMN, ROW, GAP = 52, 36, 8
HEAD: Final = 40
NONE: Final = "none"  # the zero that stands where nothing of a kind was counted yet
_ROUND: Final = 100  # from here on without a fraction
_LETTER: Final = 6.4  # pixels of one, about
STEPS_MAX: Final = 120
INK, FAINT, PAPER, CARD = "#1f2430", "#8a90a0", "#eef0f4", "#ffffff"
COLOURS: Final = {"green": "#2f9e5b", "orange": "#d9822b", "red": "#c9363c"}
LINES: Final = (
    "#2f6fd0",
    "#2f9e5b",
    "#d9822b",
    "#c9363c",
    "#7b53c1",
    "#1499a8",
    "#8a6d3b",
    "#d0549a",
)
_UNITS: Final = {
    "s": ((1, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "bytes": ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")),
    "reqps": ((1e3, "k/s"), (1, "/s")),
    "percentunit": ((0.01, "%"),),
    "short": ((1e6, "M"), (1e3, "k"), (1, "")),
}


class Series(NamedTuple):
    """One line: what it is called, and (instant, value) by time."""

    name: str
    points: list[tuple[float, float]]


class Source(NamedTuple):
    """A Prometheus and the span that is drawn."""

    address: str
    start: float
    end: float

    @property
    def step(self) -> int:
        """Seconds between two points."""
        return max(1, math.ceil((self.end - self.start) / STEPS_MAX))

    def series(self, target: dict[str, Any]) -> Iterator[Series]:
        """Return the lines of a panel's query."""
        asked = urllib.parse.urlencode(
            {
                "query": target["expr"].replace("$__rate_interval", "5s"),
                "start": self.start, "end": self.end, "step": self.step,
            }
        )  # fmt: skip
        address = f"{self.address}/api/v1/query_range?{asked}"
        with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310 - given by hand
            found = orjson.loads(answer.read())["data"]["result"]
        for one in found:
            name = target["legendFormat"]
            for label, value in one["metric"].items():
                name = name.replace(f"{{{{{label}}}}}", value)
            points = [(at, float(value)) for at, value in one["values"] if value != "NaN"]
            if points:
                yield Series(re.sub(r"\{\{.*?\}\}", "", name).strip() or NONE, points)


def shown(value: float, unit: str) -> str:
    """Return a value as a person reads it."""
    if value == 0:
        return "0"
    scales = _UNITS.get(unit, _UNITS["short"])
    factor, word = next((one for one in scales if abs(value) >= one[0]), scales[-1])
    scaled = value / factor
    told = f"{scaled:,.0f}" if abs(scaled) >= _ROUND else f"{scaled:.3g}"
    return f"{told}{word if word[:1] in 'kM%/' else f' {word}'}".strip()


def nice(top: float, unit: str) -> float:
    """Return where an axis ends: the next 1, 2, 4 or 8 of a power of ten of its unit."""
    whole = 1 << 20 if unit == "bytes" else 1
    power = 10.0 ** math.floor(math.log10(top / whole)) * whole
    return next(power * step for step in (1, 2, 4, 8, 10) if power * step >= top)


def pieces(
    points: Sequence[tuple[float, float]], step: float
) -> Iterator[list[tuple[float, float]]]:
    """Cut a line where nothing was measured for a while."""
    piece: list[tuple[float, float]] = []
    for point in points:
        if piece and point[0] - piece[-1][0] > 2 * step:
            yield piece
            piece = []
        piece.append(point)
    yield piece


def text(x: float, y: float, words: str, size: int = 12, **more: str) -> str:
    """Return a piece of text."""
    rest = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in more.items())
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}"{rest}>{escape(words)}</text>'


class Box(NamedTuple):
    """Where a panel is, in pixels."""

    x: float
    y: float
    w: float
    h: float


def card(panel: dict[str, Any], box: Box, value: float | None) -> str:
    """Draw a stat."""
    field = panel["fieldConfig"]["defaults"]
    colour, words = CARD, "no data"
    if value is not None:
        words = shown(value, field["unit"])
        steps = [one for one in field["thresholds"]["steps"] if (one["value"] or 0) <= value]
        colour = COLOURS[steps[-1]["color"]]
        for mapping in field["mappings"]:
            if told := mapping["options"].get(f"{value:g}"):
                words, colour = told["text"], COLOURS[told["color"]]
    plain = panel["options"]["colorMode"] == "value"
    ink = (colour if value is not None else INK) if plain else CARD
    middle = box.x + box.w / 2
    return (
        f'<rect x="{box.x}" y="{box.y}" width="{box.w}" height="{box.h}" rx="4"'
        f' fill="{CARD if plain else colour}"/>'
        + text(box.x + 10, box.y + 20, panel["title"], 12, fill=FAINT if plain else CARD)
        + text(middle, box.y + box.h / 2 + 22, words, 32, fill=ink, text_anchor="middle",
               font_weight="600")
    )  # fmt: skip


def graph(panel: dict[str, Any], box: Box, lines: Sequence[Series], source: Source) -> str:
    """Draw lines over time, with their legend below."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    shown_lines = sorted(lines, key=lambda one: -max(v for _, v in one.points))[: len(LINES)]
    legend = math.ceil(len(shown_lines) / 2) * 16
    left, top = box.x + 58, box.y + 34
    wide, high = box.w - 74, box.h - 34 - 26 - legend
    tallest = max((v for one in shown_lines for _, v in one.points), default=1.0)
    highest = nice(tallest or 1.0, unit)

    def at(moment: float, value: float) -> str:
        x = left + wide * (moment - source.start) / (source.end - source.start)
        return f"{x:.1f},{top + high * (1 - min(value, highest) / highest):.1f}"

    parts = [
        f'<rect x="{box.x}" y="{box.y}" width="{box.w}" height="{box.h}" rx="4" fill="{CARD}"/>',
        text(box.x + 10, box.y + 20, panel["title"], 13, font_weight="600"),
    ]
    for n in range(5):
        y = top + high * n / 4
        parts.append(f'<path d="M{left} {y:.1f}h{wide}" stroke="#dfe2e8"/>')
        told = shown(highest * (1 - n / 4), unit)
        parts.append(text(left - 6, y + 4, told, 10, fill=FAINT, text_anchor="end"))
    for n in range(5):
        seconds = (source.end - source.start) * n / 4
        x = left + wide * n / 4
        parts.append(text(x, top + high + 14, f"{seconds:.0f} s", 10, fill=FAINT,
                          text_anchor="middle"))  # fmt: skip
    for n, one in enumerate(shown_lines):
        way = "M".join(
            "L".join(at(*point) for point in piece) for piece in pieces(one.points, source.step)
        )
        parts.append(f'<path d="M{way}" fill="none" stroke="{LINES[n]}" stroke-width="1.8"/>')
        x, y = box.x + 14 + (n % 2) * (box.w / 2), top + high + 34 + (n // 2) * 16
        highest_of = max(v for _, v in one.points)
        told = f" {shown(one.points[-1][1], unit)}, at most {shown(highest_of, unit)}"
        room = int((box.w / 2 - 36) / _LETTER) - len(told)
        words = (one.name if len(one.name) <= room else f"{one.name[: room - 1]}…") + " " + told
        parts.append(f'<rect x="{x}" y="{y - 8:.1f}" width="10" height="3" fill="{LINES[n]}"/>')
        parts.append(text(x + 16, y - 3, words, 11))
    return "".join(parts)


def drawn(board: dict[str, Any], source: Source) -> str:
    """Return a dashboard as SVG."""
    wide = 24 * COLUMN + GAP
    rows = max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in board["panels"])
    high = HEAD + rows * ROW + GAP
    parts = []
    for panel in board["panels"]:
        at = panel["gridPos"]
        box = Box(GAP + at["x"] * COLUMN, HEAD + at["y"] * ROW, at["w"] * COLUMN - GAP,
                  at["h"] * ROW - GAP)  # fmt: skip
        lines = [line for target in panel["targets"] for line in source.series(target)]
        lines = [line for line in lines if line.name != NONE] or lines
        if panel["type"] == "stat":
            parts.append(card(panel, box, lines[0].points[-1][1] if lines else None))
        else:
            parts.append(graph(panel, box, lines, source))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}"'
        f' height="{high}" font-family="system-ui, sans-serif" fill="{INK}">'
        f'<rect width="{wide}" height="{high}" fill="{PAPER}"/>'
        + text(GAP + 4, 26, board["title"], 17, font_weight="600")
        + "\n".join(parts)
        + "</svg>\n"
    )


def main(address: str, span: str, uids: Sequence[str]) -> None:
    """Draw each of the dashboards that are asked for."""
    end = time.time()  # noqa: TID251 - Prometheus' own clock is this machine's
    source = Source(address, end - float(span), end)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for board in dashboards.documents():
        name = board["uid"].removeprefix("tidegate-")
        if name in uids:
            path = FOLDER / f"{name}.svg"
            path.write_text(drawn(board, source), encoding="utf-8")
            print(path)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
