"""The marketplace's own side: buyers come, its counter falls, and orders live their lives.

Every change of an order makes a new version of it; what we see of them is the feed's business.
Pieces of closed and refunded orders are not put on the counter again while the sale goes on.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from math import inf
from random import Random
from typing import Final, NamedTuple, TypeAlias

from engine.simulation.marketplace.types import Listing, Spec, Status

_LINES_MAX: Final = 3
_MORE_LINES: Final = 0.25
_TWO_PIECES: Final = 0.15
_GIFTS: Final = 0.1
_PAIRS: Final = 0.5
_TRIES_MAX: Final = 20
_ON_DELIVERY: Final = 0.03
_PAID_AT_ONCE: Final = 0.35
_NEVER_PAID: Final = 0.12
_SPIKE: Final = 1.3  # arrivals = duration * u^this: denser at the opening


class Line(NamedTuple):
    """One line; refunded and shipped pieces are two parts of its quantity."""

    listing: Listing
    quantity: int
    listed: bool
    refunded: int = 0
    shipped: int = 0

    @property
    def waiting(self) -> int:
        """Pieces that are still to be shipped."""
        return self.quantity - self.refunded - self.shipped


class Version(NamedTuple):
    """An order as it is from `at_s` on; `number` is that instant in ms, and always grows."""

    number: int
    at_s: float
    lines: tuple[Line, ...]
    status: Status = "unpaid"
    paid_s: float | None = None
    on_delivery: bool = False
    memos: int = 0
    address: int = 1
    oversold: bool = False

    def units(self) -> Counter[str]:
        """Return by SKU what this version wants: of a closed order only what was shipped."""
        wanted: Counter[str] = Counter()
        for line in self.lines:
            pieces = line.shipped if self.status == "closed" else line.quantity - line.refunded
            if line.listing.sku and pieces:
                wanted[line.listing.sku] += pieces * line.listing.units_per
        return wanted


# What happens to an order; a change that does not fit its state any more does nothing.
Change: TypeAlias = Callable[[Version, Random], Version]


def trade(spec: Spec) -> list[list[Version]]:
    """Play a shop from its opening until nothing changes any more: by order, all its versions."""
    rng = Random(f"{spec.seed} {spec.channel}")
    placed = list(_sell(spec, rng))
    marked = _oversold(spec, placed)
    return [_versions(spec, rng, first, marked=n in marked) for n, first in enumerate(placed)]


def arrivals(spec: Spec, rng: Random) -> list[float]:
    """Return when buyers come, in seconds from the opening."""
    return sorted(spec.duration_s * rng.random() ** _SPIKE for _ in range(spec.orders))


def life(spec: Spec, rng: Random, first: Version) -> list[Version]:
    """Return an order's versions from its first one on."""
    return _versions(spec, rng, first, marked=False)


def _sell(spec: Spec, rng: Random) -> Iterator[Version]:
    """Yield orders as they are placed, each for what the counter still shows."""
    counter, lags = Counter(spec.published), True
    for at_s in arrivals(spec, rng):
        if lags and at_s >= spec.lag_s:
            lags = False
            counter.subtract(_lowered(spec))
        lines = basket(spec, rng, counter)
        if lines:
            first = Version(spec.opens_at_ms + int(at_s * 1_000), at_s, lines)
            counter.subtract(first.units())
            yield first


def _lowered(spec: Spec) -> Counter[str]:
    """Return by SKU the units that the shop shows and we do not have."""
    return Counter({sku: units - spec.have[sku] for sku, units in spec.published.items()})


def _oversold(spec: Spec, placed: list[Version]) -> set[int]:
    """Return which orders the shop marks once it has read our number: the latest beyond it."""
    if spec.lag_s == inf:
        return set()
    before = [(n, one.units()) for n, one in enumerate(placed) if one.at_s < spec.lag_s]
    missing, marked = Counter({sku: -units for sku, units in spec.have.items()}), set[int]()
    for _, units in before:
        missing.update(units)
    for n, units in reversed(before):
        if any(missing[sku] > 0 for sku in units):
            marked.add(n)
            missing.subtract(units)
    return marked


def basket(spec: Spec, rng: Random, counter: Counter[str]) -> tuple[Line, ...]:
    """Return what a buyer finds; nothing, when the counter has nothing that he wants."""
    wares, pairs = spec.wares, spec.pairs
    lines: dict[str, Line] = {}
    for _try in range(_TRIES_MAX):
        listing = rng.choices(wares, spec.weights)[0]
        listed = rng.random() < spec.rates.listed
        if listed and rng.random() < _PAIRS:
            listing = pairs.get(listing.sku, listing)
        quantity = 2 if rng.random() < _TWO_PIECES else 1
        if listing.item_id in lines or counter[listing.sku] < quantity * listing.units_per:
            continue
        if listed and rng.random() < spec.rates.unmapped:
            listing = spec.unmapped
        lines[listing.item_id] = Line(listing, quantity, listed)
        if len(lines) == _LINES_MAX or rng.random() >= _MORE_LINES:
            break
    if lines and spec.gift and rng.random() < _GIFTS:
        lines["gift"] = Line(Listing("gift", "", spec.gift, 1), 1, listed=False)
    return tuple(lines.values())


def _versions(spec: Spec, rng: Random, first: Version, *, marked: bool) -> list[Version]:
    coming: list[tuple[float, Change]] = [(spec.lag_s, _mark)] if marked else []
    at_s = first.at_s
    for change, at_once in _life(spec, rng):
        at_s += 0.0 if at_once else rng.expovariate(1 / spec.rates.step_s)
        coming.append((at_s, change))
    found = [first]
    for now_s, change in sorted(coming, key=lambda one: one[0]):
        last = found[-1]
        changed = change(last._replace(at_s=now_s), rng)
        if now_s == first.at_s:
            found = [changed]
        elif changed[2:] != last[2:]:
            number = max(spec.opens_at_ms + int(now_s * 1_000), last.number + 1)
            found.append(changed._replace(number=number))
    return found


def _life(spec: Spec, rng: Random) -> Iterator[tuple[Change, bool]]:
    """Yield what will happen to an order in turn, and whether at once or after a while."""
    fate, rates = rng.random(), spec.rates
    if fate < _NEVER_PAID:
        if rng.random() < rates.closed:
            yield _close, False
        return
    if fate < _NEVER_PAID + _ON_DELIVERY:
        yield _pay_on_delivery, True
    else:
        yield _pay, rng.random() < _PAID_AT_ONCE
    happens = {
        _note: rates.memo, _move: rates.address, _ship_some: rates.shipped / 3,
        _refund: rates.refund, _refund_all: rates.refund / 3, _ship: rates.shipped,
        _deliver: rates.shipped / 2, _close: rates.refund / 5,
    }  # fmt: skip
    yield from ((change, False) for change, share in happens.items() if rng.random() < share)


def _mark(order: Version, _rng: Random) -> Version:
    return order._replace(oversold=True)


def _close(order: Version, _rng: Random) -> Version:
    return order._replace(status="closed")


def _pay(order: Version, _rng: Random) -> Version:
    return order._replace(status="paid", paid_s=order.at_s)


def _pay_on_delivery(order: Version, _rng: Random) -> Version:
    return order._replace(status="paid", on_delivery=True)


def _note(order: Version, _rng: Random) -> Version:
    return order._replace(memos=order.memos + 1)


def _move(order: Version, _rng: Random) -> Version:
    return order._replace(address=order.address + 1)


def _refund(order: Version, rng: Random) -> Version:
    """Refund some pieces of one line; an order that waits for nothing more is shipped or closed."""
    n = rng.choice([n for n, one in enumerate(order.lines) if one.waiting])
    line = order.lines[n]
    line = line._replace(refunded=line.refunded + rng.randint(1, line.waiting))
    changed = order._replace(lines=(*order.lines[:n], line, *order.lines[n + 1 :]))
    if any(one.waiting for one in changed.lines):
        return changed
    return changed._replace(status="shipped" if order.status == "partly_shipped" else "closed")


def _refund_all(order: Version, _rng: Random) -> Version:
    lines = tuple(one._replace(refunded=one.refunded + one.waiting) for one in order.lines)
    return order._replace(lines=lines, status="closed")


def _ship_some(order: Version, _rng: Random) -> Version:
    waiting = [one for one in order.lines if one.waiting]
    if order.status != "paid" or len(waiting) < 2:  # noqa: PLR2004 - one now, the others later
        return order
    sent = waiting[0]._replace(shipped=waiting[0].waiting)
    lines = tuple(sent if one is waiting[0] else one for one in order.lines)
    return order._replace(lines=lines, status="partly_shipped")


def _ship(order: Version, _rng: Random) -> Version:
    if order.status not in {"paid", "partly_shipped"}:
        return order
    lines = tuple(one._replace(shipped=one.shipped + one.waiting) for one in order.lines)
    return order._replace(lines=lines, status="shipped")


def _deliver(order: Version, _rng: Random) -> Version:
    return order._replace(status="delivered") if order.status == "shipped" else order
