"""What an order needs, and which nodes have it whole: one set of nodes for each need.

A need is a line; or lines of one SKU, which each pass alone while their sum may not; or lines that
go together (`Line.together`), which one node sends in one parcel or nobody does.
"""

from collections.abc import Sequence
from typing import NamedTuple

from engine.routing.rules.candidates import Atom, bits
from engine.routing.rules.taking import Taken
from engine.routing.types.core import MUCH, Line, Order, Snapshot, Stock


class Wanted:
    """What is needed, each of one SKU: by one line, or by all lines that ask for it.

    `masks` are the nodes that have all of it, `may` those that may send it if they have any,
    `lots` its atoms. Lines that go together are one need without a SKU, which is never cut; `tied`
    has, by its atoms, the nodes that have each of its lines: none at all where its lines' own
    designations keep them apart.
    """

    __slots__ = ("lots", "masks", "may", "repeated", "skus", "tied")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.masks: list[int] = []
        self.may: list[int] = []
        self.skus: list[str] = []
        self.lots: list[tuple[Atom, ...]] = []
        self.tied: dict[tuple[Atom, ...], tuple[int, ...]] = {}
        self.repeated = False

    def add(self, mask: int, may: int, sku: str, atoms: tuple[Atom, ...]) -> None:
        """Add one need."""
        self.masks.append(mask)
        self.may.append(may)
        self.skus.append(sku)
        self.lots.append(atoms)

    def only(self, which: Sequence[int]) -> "Wanted":
        """Return these needs alone."""
        new = Wanted()
        new.repeated, new.tied = self.repeated, self.tied
        for n in which:
            new.add(self.masks[n], self.may[n], self.skus[n], self.lots[n])
        return new

    def atoms(self) -> tuple[Atom, ...]:
        """Return all atoms, by line."""
        return tuple(sorted([atom for lot in self.lots for atom in lot]))

    def torn(self, cand: int) -> bool:
        """Tell whether candidates have each of some lines that go together, and none has all."""
        return any(
            not mask & cand and lot in self.tied and all(one & cand for one in self.tied[lot])
            for mask, lot in zip(self.masks, self.lots, strict=True)
        )

    @property
    def never(self) -> bool:
        """Whether some lines that go together can do so nowhere, whatever is in stock."""
        return not all(self.tied.values())

    def useless(self, cand: int, *, partial: bool) -> int:
        """Return candidates that have some of what goes together, and nothing that they may send.

        With `partial` a node that has less than a whole line may be of use as well; of several
        lines of one SKU it may always send some.
        """
        some = use = 0
        for mask, may, lot, sku in zip(self.masks, self.may, self.lots, self.skus, strict=True):
            use |= may if sku and (partial or len(lot) > 1) else mask
            for one in self.tied.get(lot, ()):
                some |= one
        return some & ~use & cand


class Asked(NamedTuple):
    """Of what and when it is asked who has something.

    `whole` says that nothing of the order was placed yet. `margin` are units that have to stay at a
    node besides; -1 overrides safety. `apart` are tags whose lines never share a parcel with lines
    that do not have them.
    """

    order: Order
    snap: Snapshot
    taken: Taken
    now_ms: int
    whole: bool
    margin: int = 0
    apart: frozenset[str] = frozenset()


def wanted(asked: Asked, demand: Sequence[Atom]) -> Wanted:
    """Return what is needed of each SKU, and who has it, before any rule is asked."""
    order = asked.order
    plain = asked.whole and not asked.margin and not order.excluded
    found = _plain(order, asked.snap, asked.taken) if plain else None
    if found is not None:
        return found
    lines, found = order.lines, Wanted()
    tied: dict[str, list[Atom]] = {}
    for atom in demand:
        if name := lines[atom[0]].together:
            tied.setdefault(name, []).append(atom)
    single = [atom for atom in demand if not lines[atom[0]].together]
    for atoms in _by_sku(lines, single):
        found.add(*_need(asked, atoms), lines[atoms[0][0]].sku, atoms)
    for name in sorted(tied):
        _tie(asked, tuple(tied[name]), found)
    skus = [sku for sku in found.skus if sku]
    skus += [sku for atoms in tied.values() for sku in {lines[i].sku for i, _ in atoms}]
    found.repeated = len(set(skus)) < len(skus)
    return found


def _need(asked: Asked, atoms: Sequence[Atom]) -> tuple[int, int]:
    """Return who has all of atoms of one SKU, and who may send it if it has any."""
    order, snap = asked.order, asked.snap
    line = order.lines[atoms[0][0]]
    mask = snap.groups.get(line.group, 0)
    if line.node:
        mask &= 1 << snap.index[line.node] if line.node in snap.index else 0
    if order.excluded:
        names = [order.lines[i].line_no for i, _ in atoms]
        mask &= ~_excluded(order, names, snap, asked.now_ms)
    stock, may = asked.taken.stock(snap, line.sku), mask
    if stock is not None:
        mask = _careful(mask, stock, sum([n for _, n in atoms]), asked.margin)
    return mask, may


def _tie(asked: Asked, atoms: tuple[Atom, ...], found: Wanted) -> None:
    """Add lines that go together as one need: of a SKU on several of them all is asked for."""
    lines = [asked.order.lines[i] for i, _ in atoms]
    each, may, units = [], -1, dict[str, int]()
    for atom, line in zip(atoms, lines, strict=True):
        has, here = _need(asked, [atom])
        each.append(has)
        may &= here
        units[line.sku] = units.get(line.sku, 0) + atom[1]
    mask = may
    for sku, n in units.items():
        stock = asked.taken.stock(asked.snap, sku)
        if stock is not None:
            mask = _careful(mask, stock, n, asked.margin)
    if _never(lines, asked.apart):
        each, may, mask = [], 0, 0
    found.tied[atoms] = tuple(each)
    found.add(mask, may, "", atoms)


def _never(lines: Sequence[Line], apart: frozenset[str]) -> bool:
    """Tell whether lines' own designations, drawn groups or tags forbid one parcel for them."""
    nodes, services = {line.node for line in lines}, {line.service for line in lines}
    groups, tags = {line.group for line in lines}, {line.tags & apart for line in lines}
    alone = len(nodes - {""}), len(services - {""}), len(groups), len(tags)
    return max(alone) > 1


def _plain(order: Order, snap: Snapshot, taken: Taken) -> Wanted | None:
    """Return what is needed of a whole order without designations and repeated SKUs; else None.

    The loop that every order runs through: it calls nothing that it does not have to.
    """
    _, skus, groups, units, _, _, _, _, nodes, _, _, together = zip(*order.lines, strict=True)
    if any(nodes) or any(together) or len(set(skus)) < len(skus):
        return None
    found = Wanted()
    of = snap.groups
    found.skus = list(skus)
    found.may = every = [of.get(group, 0) for group in groups]
    found.lots = [((index, n),) for index, n in enumerate(units)]
    masks, copies, stocks = found.masks, taken.stocks, snap.stock
    for sku, mask, n in zip(skus, every, units, strict=True):
        stock = copies.get(sku) or stocks.get(sku)
        if stock is None:
            masks.append(mask)
        elif n > stock.least:
            masks.append(_enough(mask & stock.mask, stock, n))
        else:
            masks.append(mask & stock.mask)
    return found


def _enough(mask: int, stock: Stock, units: int) -> int:
    row = stock.units
    look = mask & ~stock.much if units <= MUCH else mask
    while look:
        low = look & -look
        if row[low.bit_length() - 1] < units:
            mask ^= low
        look ^= low
    return mask


def _careful(mask: int, stock: Stock, units: int, margin: int) -> int:
    """Return who has it all; a margin that is not 0 is more safety than usual, or none."""
    if not margin:
        mask &= stock.mask
        return _enough(mask, stock, units) if units > stock.least else mask
    row = stock.usable if margin < 0 else stock.units
    needed = units + max(margin, 0)
    return sum([1 << no for no in bits(mask) if row[no] >= needed])


def _by_sku(lines: Sequence[Line], demand: Sequence[Atom]) -> Sequence[tuple[Atom, ...]]:
    """Return the demand with lines of one SKU together: alone each would pass, the sum not."""
    if len({lines[i].sku for i, _ in demand}) == len(demand):
        return [(atom,) for atom in demand]
    found: dict[tuple[str, str, str, frozenset[str], int], list[Atom]] = {}
    for index, units in demand:
        line = lines[index]
        key = (line.sku, line.group, line.node, line.tags, line.parts_of)
        found.setdefault(key, []).append((index, units))
    return [tuple(atoms) for atoms in found.values()]


def _excluded(order: Order, lines: Sequence[int], snap: Snapshot, now_ms: int) -> int:
    mask = 0
    for line_no, node, until in order.excluded:
        if line_no in lines and until > now_ms and node in snap.index:
            mask |= 1 << snap.index[node]
    return mask
