"""Plots as SVG, with their axes, faults and keys; colours and dashes are classes of the page."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import pairwise
from math import ceil, floor, log10
from typing import Final, NamedTuple

from engine.simulation.drill.summary import Fault

LEFT: Final = 52
RIGHT: Final = 12
_TOP: Final = 20
_BOTTOM: Final = 22
_ROW: Final = 13  # of a fault's words
_FAULT_ROWS: Final = 3
_NAME_MAX: Final = 48
_SHARP: Final = 2  # places of a path are whole numbers: half pixels
_STEPS: Final = (1, 2, 5)
_SECONDS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 43_200)
_TICKS_MAX: Final = 10
_MINUTE: Final = 60
_HOUR: Final = 3_600
_FEW_DECADES: Final = 2.5

Points = Sequence[tuple[float, float | None]]


class Line(NamedTuple):
    """A series: `look` is a class of the page that gives colour and dash."""

    name: str
    look: str
    points: Points


class Axis(NamedTuple):
    """From values to places; `log` counts decades. What lies beyond it is drawn at its end."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        low, high = (log10(self.low), log10(self.high)) if self.log else (self.low, self.high)
        told = log10(max(value, self.low)) if self.log else value
        part = (told - low) / ((high - low) or 1)
        return self.start + (self.stop - self.start) * min(max(part, 0.0), 1.0)


class Plot(NamedTuple):
    """What is drawn: `seconds` long, or, if that is 0, over log10(1/(1-q)) of percentiles."""

    key: str
    title: str
    told: str
    unit: str
    lines: Sequence[Line]
    seconds: float
    faults: Sequence[Fault] = ()
    log: bool = False
    width: int = 820
    height: int = 250


def figure(plot: Plot) -> str:
    """Return a plot with its key, as a figure; one without values says so."""
    head = (
        f'<figcaption><b>{escape(plot.title)}</b> <span class="unit">{escape(plot.unit)}</span>'
        f'<span class="key">{"".join(map(_key, plot.lines))}</span></figcaption>'
    )
    if not any(value is not None for line in plot.lines for _, value in line.points):
        return f'<figure>{head}<p class="none">Nothing was measured.</p></figure>'
    return f"<figure>{head}{_picture(plot)}<output></output></figure>"


def clock(seconds: float) -> str:
    """Return seconds as 0:05, 12:30 or 1:02:30."""
    whole = round(seconds)
    minutes, rest = whole // _MINUTE, whole % _MINUTE
    if whole < _HOUR:
        return f"{minutes}:{rest:02d}"
    return f"{whole // _HOUR}:{minutes % _MINUTE:02d}:{rest:02d}"


def moment(seconds: float) -> str:
    """Return seconds with a tenth of one."""
    return f"{seconds:.1f} s"


def short(value: float) -> str:
    """Return a number for an axis: 0.5, 20, 1.5k, 2M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _picture(plot: Plot) -> str:
    across, up = _axes(plot)
    name = f"plot-{plot.key}"
    timed = f' data-plot="{plot.key}"' if plot.seconds else ""
    bottom = plot.height - _BOTTOM
    return "".join([
        f'<svg{timed} viewBox="0 0 {plot.width} {plot.height}" role="img" ',
        f'aria-labelledby="{name}-t {name}-d">',
        f'<title id="{name}-t">{escape(plot.title)}</title>',
        f'<desc id="{name}-d">{escape(plot.told)}</desc>',
        *_bands(plot, across),
        *_rows(plot, up),
        *_columns(plot, across),
        *(_path(line, across, up) for line in plot.lines),
        *_words(plot, across),
        f'<path class="cursor" d="M0 {_TOP}V{bottom}"/>' if plot.seconds else "",
        "</svg>",
    ])  # fmt: skip


def _axes(plot: Plot) -> tuple[Axis, Axis]:
    values = [value for line in plot.lines for _, value in line.points if value is not None]
    right = plot.width - RIGHT
    widest = plot.seconds or max((at for line in plot.lines for at, _ in line.points), default=1)
    across = Axis(0, widest or 1, LEFT, right)
    top, bottom = _TOP + (_ROW if plot.faults else 0), plot.height - _BOTTOM
    if not plot.log:
        return across, Axis(0, (max(values) * 1.05) or 1, bottom, top)
    lowest = max(min((value for value in values if value > 0), default=0.1), 0.01)
    highest = max(*values, lowest * 10) * 1.1
    return across, Axis(lowest * 0.9, highest, bottom, top, log=True)


def _bands(plot: Plot, across: Axis) -> Iterator[str]:
    for fault in plot.faults:
        start, stop = _span(fault, plot, across)
        yield (
            f'<rect class="fault" x="{start:.1f}" y="{_TOP - 2}" width="{max(stop - start, 1):.1f}"'
            f' height="{plot.height - _BOTTOM - _TOP + 2}"/>'
            f'<path class="faultline" d="M{start:.1f} {_TOP - 2}V{plot.height - _BOTTOM}"/>'
        )


def _words(plot: Plot, across: Axis) -> Iterator[str]:
    """Name each fault at its beginning, on the side that has room, a few under one another."""
    for number, fault in enumerate(plot.faults):
        start, _ = _span(fault, plot, across)
        late = start > (LEFT + plot.width) / 2
        tell = moment if plot.seconds < _MINUTE else clock
        over = "not over" if fault.ended_s is None else f"over {tell(fault.ended_s)}"
        anchor = ' text-anchor="end"' if late else ""
        row = _TOP + 9 + _ROW * (number % _FAULT_ROWS)
        yield (
            f'<text class="faultword" x="{start + (-4 if late else 4):.1f}" y="{row}"{anchor}>'
            f"&#9660; {escape(fault.name[:_NAME_MAX])} at {tell(fault.at_s)}, {over}</text>"
        )


def _span(fault: Fault, plot: Plot, across: Axis) -> tuple[float, float]:
    ended = plot.seconds if fault.ended_s is None else fault.ended_s
    return across(fault.at_s), across(ended)


def _rows(plot: Plot, up: Axis) -> Iterator[str]:
    right = plot.width - RIGHT
    for value in _logs(up) if plot.log else _evens(up.high):
        y = up(value)
        yield (
            f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>'
        )


def _columns(plot: Plot, across: Axis) -> Iterator[str]:
    bottom = plot.height - _BOTTOM
    for at, word in _times(plot.seconds) if plot.seconds else _parts(across.high):
        x = across(at)
        anchor = "middle" if x < plot.width - LEFT else "end"
        yield (
            f'<path class="grid" d="M{x:.1f} {bottom}v4"/>'
            f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="{anchor}">{word}</text>'
        )


def _evens(high: float) -> Iterator[float]:
    least = high / 5
    step = next(
        digit * 10.0**power
        for power in (floor(log10(least)), ceil(log10(least)), ceil(log10(least)) + 1)
        for digit in _STEPS
        if digit * 10.0**power >= least
    )
    return (step * n for n in range(floor(high / step) + 1))


def _logs(up: Axis) -> Iterator[float]:
    few = log10(up.high / up.low) < _FEW_DECADES
    for power in range(floor(log10(up.low)), ceil(log10(up.high)) + 1):
        for digit in _STEPS if few else (1,):
            if up.low <= digit * 10.0**power <= up.high:
                yield digit * 10.0**power


def _times(seconds: float) -> Iterator[tuple[float, str]]:
    step = next((one for one in _SECONDS if seconds / one <= _TICKS_MAX), 86_400)
    return ((at, clock(at)) for at in range(0, floor(seconds) + 1, step))


def _parts(high: float) -> Iterator[tuple[float, str]]:
    yield log10(2), "50 %"
    for nines in range(1, floor(high + 1e-9) + 1):
        yield nines, f"{100 - 100 * 10.0**-nines:.{max(nines - 2, 0)}f} %"


def _path(line: Line, across: Axis, up: Axis) -> str:
    drawn = "".join(map(_stretch, _stretches(line.points, across, up)))
    return f'<path class="line {line.look}" transform="scale({1 / _SHARP})" d="{drawn}"/>'


def _stretches(points: Points, across: Axis, up: Axis) -> Iterator[list[tuple[int, int]]]:
    """Cut a line where nothing was measured."""
    some: list[tuple[int, int]] = []
    for at, value in points:
        if value is not None:
            some.append((round(across(at) * _SHARP), round(up(value) * _SHARP)))
        elif some:
            yield some
            some = []
    if some:
        yield some


def _stretch(places: Sequence[tuple[int, int]]) -> str:
    (x, y), *_ = places
    steps = ((b[0] - a[0], b[1] - a[1]) for a, b in pairwise(places))
    moves = "".join(f"l{dx}{dy}" if dy < 0 else f"l{dx} {dy}" for dx, dy in _merged(steps))
    return f"M{x} {y}{moves or 'h1'}"


def _merged(steps: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join level steps to one."""
    level = 0
    for dx, dy in steps:
        if dy == 0:
            level += dx
            continue
        if level:
            yield level, 0
            level = 0
        yield dx, dy
    if level:
        yield level, 0


def _key(line: Line) -> str:
    look = escape(line.look)
    return (
        f'<span><svg class="swatch" viewBox="0 0 22 8" aria-hidden="true">'
        f'<path class="line {look}" d="M0 4H22"/></svg>{escape(line.name)}</span>'
    )
