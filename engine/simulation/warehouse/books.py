"""A warehouse's books: what it was asked for, what became of it, and what it tells of that.

Of each consignment everything is drawn from the seed and its code, so neither the order of calls
nor their instants change what becomes of it, only when.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count
from random import Random

from engine.kernel.clock import instant
from engine.simulation.warehouse.types import Answered, Held, Knobs, Span
from engine.wms.types import Item, Package, Report, ReportKind, SeenState, Step


class Books:
    """One warehouse; `run(now_ms)` lets everything happen that is due by then."""

    def __init__(self, knobs: Knobs) -> None:
        self.knobs = knobs
        self.held: dict[str, Held] = {}
        self._due: list[tuple[int, int, Callable[[int], None]]] = []
        self._outbox: list[tuple[int, int, Report]] = []
        self._number = count()
        self._turns = Counter[str]()
        self._passed: set[str] = set()

    # What it is asked.

    def create(
        self, code: str, lines: Sequence[Item], carrier: str, waybill: str, now_ms: int
    ) -> Answered:
        """Begin a consignment; a code that is there already begins nothing."""
        self.run(now_ms)
        held = self.held.get(code)
        if held is not None:
            held.asked += 1
            if held.state != "cancelled":
                return Answered("exists", wms_ref=held.wms_ref)
            if self._rng(code, f"recreates {held.asked}").random() >= self.knobs.recreates:
                return Answered("cancelled", wms_ref=held.wms_ref)
            held.made += 1
            held.state, held.cancelled_at = "open", None
        else:
            held = self.held[code] = Held(
                code, f"W-{code}", tuple(lines), carrier, waybill or self._new_waybill()
            )
        self._plan(held, now_ms)
        return Answered(wms_ref=held.wms_ref)

    def cancel(self, code: str, now_ms: int) -> Answered:
        """Stop a consignment, if it is not too late."""
        self.run(now_ms)
        held = self.held.get(code)
        turn = self._turn(f"cancel {code}")
        rng = self._rng(code, f"cancel {turn}")
        if held is None or rng.random() < self.knobs.cancel_unknown:
            return Answered("no_such_order", state="none")
        if held.state == "cancelled":
            held.said_cancelled_at = held.said_cancelled_at or now_ms
            return Answered("cancelled", wms_ref=held.wms_ref)
        if rng.random() < self.knobs.late_cancel and self._can_stop(held):
            return self._cancel_late(held)
        if not self.knobs.cancels_later:
            return self._cancel_now(held, now_ms)
        self._at(now_ms + self._span(rng, self.knobs.cancel_ms), lambda at: self._decide(held, at))
        return Answered(pending=True, wms_ref=held.wms_ref)

    def query(self, code: str, now_ms: int) -> Answered:
        """Say what it has of a consignment."""
        self.run(now_ms)
        held = self.held.get(code)
        if held is None:
            return Answered("no_such_order", state="none")
        if held.state == "cancelled":
            held.said_cancelled_at = held.said_cancelled_at or now_ms
        words = {
            "open": (), "cancelled": ("CANCELED",), "rejected": ("REJECT",),
            "partly_shipped": ("PARTDELIVERED",), "shipped": ("DELIVERED",),
        }  # fmt: skip
        statuses = ("ACCEPT", *words[held.state])
        return Answered(wms_ref=held.wms_ref, state=_seen(held), statuses=statuses)

    # Time.

    def run(self, now_ms: int) -> None:
        """Let everything happen that is due, each at its own instant."""
        while self._due and self._due[0][0] <= now_ms:
            at, _, step = heappop(self._due)
            step(at)

    def tell(self, now_ms: int) -> list[Report]:
        """Return what it tells by now, once each; some of it twice, or not in its order."""
        self.run(now_ms)
        told = []
        while now_ms >= self.knobs.silent_until and self._outbox and self._outbox[0][0] <= now_ms:
            told.append(heappop(self._outbox)[2])
        return told

    def again(self, report: Report, now_ms: int) -> None:
        """Tell something once more, later: nobody took it."""
        heappush(self._outbox, (now_ms + self.knobs.resend_ms, next(self._number), report))

    @property
    def silent(self) -> bool:
        """Whether nothing waits to be told; what is being told just now may not be taken."""
        return not self._outbox

    def next_ms(self) -> int | None:
        """Return when something happens, or is told, next; None: nothing is left to do."""
        waits = [queue[0][0] for queue in (self._due, self._outbox) if queue]
        return min(waits) if waits else None

    # What becomes of a consignment.

    def _plan(self, held: Held, now_ms: int) -> None:
        made = held.made
        rng = self._rng(held.code, f"plan {made}")
        at = now_ms + self._span(rng, self.knobs.accept_ms)
        if rng.random() < self.knobs.reject:
            self._at(at, self._unless_gone(held, made, lambda now: self._reject(held, now)))
            return
        self._at(at, self._unless_gone(held, made, lambda now: self._say(held, "ACCEPTED", now)))
        lacking = self._lacking(held, rng)
        steps: tuple[tuple[Step, Span], ...]
        steps = (("picked", self.knobs.pick_ms), ("packed", self.knobs.pack_ms))
        for step, span in steps:
            at += self._span(rng, span)
            self._at(at, self._unless_gone(held, made, self._stepper(held, step)))
            if step == "picked" and lacking:
                lack = self._lacker(held, lacking)
                self._at(at, self._unless_gone(held, made, lack))
        there = _less(held.lines, lacking)
        for final, part in self._parts(there, rng):
            at += self._span(rng, self.knobs.ship_ms)
            ship = self._shipper(
                held, part, final=final, split=rng.random() < self.knobs.split_parcels
            )
            self._at(at, self._unless_gone(held, made, ship))

    def _lacking(self, held: Held, rng: Random) -> tuple[Item, ...]:
        if rng.random() >= self.knobs.lack:
            return ()
        short = rng.choice(held.lines)
        return (short._replace(units=rng.randint(1, short.units)),)

    def _parts(
        self, there: tuple[Item, ...], rng: Random
    ) -> Iterator[tuple[bool, tuple[Item, ...]]]:
        """Yield what goes out together, the last of it with True; nothing if there is nothing."""
        units = sum(item.units for item in there)
        if rng.random() < self.knobs.partial and units > 1:
            first, rest = _cut(there, rng.randint(1, units - 1))
            yield False, first
            yield True, rest
        elif there:
            yield True, there

    def _stepper(self, held: Held, step: Step) -> Callable[[int], None]:
        def happen(now: int) -> None:
            self._passed.add(f"{step} {held.code} {held.made}")
            self._say(held, "PROGRESS", now, step=step)

        return happen

    def _lacker(self, held: Held, lacking: tuple[Item, ...]) -> Callable[[int], None]:
        def happen(now: int) -> None:
            self._say(held, "LACK", now, lines=lacking)
            if not _less(held.lines, lacking):
                self._reject(held, now)

        return happen

    def _shipper(
        self,
        held: Held,
        part: tuple[Item, ...],
        *,
        final: bool,
        split: bool,
    ) -> Callable[[int], None]:
        def happen(now: int) -> None:
            held.left += [(now, item) for item in part]
            held.state = "shipped" if final else "partly_shipped"
            boxes = [part]
            units = sum(item.units for item in part)
            if split and units > 1:
                boxes = list(_cut(part, units // 2))
            kind: ReportKind = "SHIPPED" if final else "PARTLY_SHIPPED"
            packages = tuple(self._package(held, box) for box in boxes)
            self._say(held, kind, now, packages=packages, lines=part)

        return happen

    def _package(self, held: Held, items: tuple[Item, ...]) -> Package:
        n = self._turn(f"box {held.code}")
        waybill = held.waybill if n == 1 else f"{held.waybill}-{n}"
        grams = 100 + 200 * sum(item.units for item in items)
        boxed = tuple(Item(item.sku, item.units) for item in items)
        return Package(held.carrier, waybill, f"P{n}", grams, (300, 200, 100), 6_000, boxed)

    def _unless_gone(
        self, held: Held, made: int, step: Callable[[int], None]
    ) -> Callable[[int], None]:
        def happen(now: int) -> None:
            lies = self._rng(held.code, f"lies {made}").random() < self.knobs.lies
            gone = held.state == "rejected" or (held.state == "cancelled" and not lies)
            if held.made == made and not gone:
                step(now)

        return happen

    # Cancels.

    def _can_stop(self, held: Held) -> bool:
        if held.state != "open":
            return False
        until = self.knobs.cancel_until
        return until == "shipped" or f"{until} {held.code} {held.made}" not in self._passed

    def _cancel_now(self, held: Held, now_ms: int) -> Answered:
        if not self._can_stop(held):
            return Answered("too_late", wms_ref=held.wms_ref, state=_seen(held))
        self._stop(held, now_ms)
        held.said_cancelled_at = now_ms
        return Answered(wms_ref=held.wms_ref, state="cancelled")

    def _cancel_late(self, held: Held) -> Answered:
        """Take note, and say no when it has left; or, if notes are not taken, that it is busy."""
        if not self.knobs.cancels_later:
            return Answered("busy", wms_ref=held.wms_ref)
        self._passed.add(f"late {held.code} {held.made}")
        return Answered(pending=True, wms_ref=held.wms_ref)

    def _decide(self, held: Held, now_ms: int) -> None:
        if held.state == "cancelled":
            return
        if self._can_stop(held):
            self._stop(held, now_ms)
            held.said_cancelled_at = now_ms
            self._say(held, "CANCELLED", now_ms)
        else:
            self._say(held, "CANCEL_FAILED", now_ms)

    def _stop(self, held: Held, now_ms: int) -> None:
        held.state, held.cancelled_at = "cancelled", now_ms

    def _reject(self, held: Held, now_ms: int) -> None:
        held.state = "rejected"
        self._say(held, "REJECTED", now_ms)

    # What it tells.

    def _say(
        self,
        held: Held,
        kind: ReportKind,
        now_ms: int,
        *,
        step: Step = "",
        packages: tuple[Package, ...] = (),
        lines: tuple[Item, ...] = (),
    ) -> None:
        n = self._turn(f"report {held.code}")
        report = Report(
            kind, f"{held.code}:{n}", held.code, instant(now_ms), step, packages, lines,
            wms_ref=held.wms_ref,
        )  # fmt: skip
        self._queue(report, self._rng(held.code, f"report {n}"), now_ms)
        late = f"late {held.code} {held.made}"
        if kind == "SHIPPED" and late in self._passed:
            self._passed.discard(late)
            self._say(held, "CANCEL_FAILED", now_ms)

    def _queue(self, report: Report, rng: Random, now_ms: int) -> None:
        at = now_ms
        if rng.random() < self.knobs.lost_callback:
            at += self.knobs.resend_ms
        if rng.random() < self.knobs.reorder:
            at += self._span(rng, self.knobs.reorder_ms)
        heappush(self._outbox, (at, next(self._number), report))
        if rng.random() < self.knobs.repeat_callback:
            at += self._span(rng, self.knobs.reorder_ms)
            heappush(self._outbox, (at, next(self._number), report))

    def _new_waybill(self) -> str:
        return f"{self.knobs.prefix}{len(self.held):08d}"

    def _at(self, at: int, step: Callable[[int], None]) -> None:
        heappush(self._due, (at, next(self._number), step))

    def _turn(self, what: str) -> int:
        self._turns[what] += 1
        return self._turns[what]

    def _rng(self, code: str, what: str) -> Random:
        return Random(f"{self.knobs.seed} {code} {what}")

    @staticmethod
    def _span(rng: Random, span: Span) -> int:
        return rng.randint(*span)


def _less(lines: Sequence[Item], lacking: Sequence[Item]) -> tuple[Item, ...]:
    """Return what of lines is there."""
    short = {(item.line, item.sku): item.units for item in lacking}
    there = (
        item._replace(units=item.units - short.get((item.line, item.sku), 0)) for item in lines
    )
    return tuple(item for item in there if item.units > 0)


def _cut(items: Sequence[Item], units: int) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Return the first so many units, and the others."""
    first, rest = list[Item](), list[Item]()
    for item in items:
        taken = min(units, item.units)
        units -= taken
        first += [item._replace(units=taken)] if taken else []
        rest += [item._replace(units=item.units - taken)] if taken < item.units else []
    return tuple(first), tuple(rest)


def _seen(held: Held) -> SeenState:
    return "cancelled" if held.state == "rejected" else held.state
