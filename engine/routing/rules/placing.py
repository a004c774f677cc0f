"""How a rule places what is needed: on one node, on the fewest, on any, or group by group."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from engine.carriers.types.services import Parcel
from engine.kernel.limits import SPLIT_STEPS_MAX
from engine.routing.rules import scoring, splitting
from engine.routing.rules.candidates import bits
from engine.routing.rules.needs import Wanted
from engine.routing.rules.parcels import NO_CARRIER, SHIP_WITH, Desk, Placed
from engine.routing.rules.scoring import Metric
from engine.routing.types.core import Part

Scores = Mapping[int, tuple[int, ...]]
Atom = tuple[int, int]
Atoms = tuple[Atom, ...]
Known = tuple[tuple[int, ...], int]  # what is known of a set of nodes without money, and the set
_SHOWN: Final = 5  # scores that a trace keeps
# A parcel's size as one number: grams above cm3 above value, each of far fewer bits.
_GRAMS, _CM3 = 256, 128
_MASK: Final = (1 << 128) - 1
_NO_TAGS: Final[frozenset[str]] = frozenset()
_EXCHANGED: Final = 3  # nodes at once, where a search was not exact


def single(
    desk: Desk, wanted: Wanted, cand: int, found: Sequence[Metric], atoms: Atoms | None = None
) -> Placed:
    """Place everything on the best node that has it; no part is made of less."""
    cover = cand
    for mask in wanted.masks:
        cover &= mask
        if not cover:
            return Placed((), why=SHIP_WITH if wanted.torn(cand) else "no_single_node")
    first, why = cover, NO_CARRIER
    if atoms is None:
        atoms = wanted.atoms()
    spent: dict[int, Sequence[int]] = {}
    weighted = desk.rule.weighted
    while cover:
        nodes = list(bits(cover if weighted else scoring.shortlist(found, cover)))
        if told := _spend(desk, nodes, atoms, found, spent):
            why = told
            cover &= ~sum([1 << no for no in nodes if no not in spent])
            continue
        scores = scoring.of_nodes(found, nodes, spent, weighted=weighted)
        nodes.sort(key=lambda no, by=scores: (by[no], no))  # type: ignore[misc]
        parts = desk.parts(nodes[0], atoms)
        no_good = parts if isinstance(parts, str) else desk.refused(parts, (), desk.before)
        if no_good:
            why = no_good
            cover &= ~(1 << nodes[0])
            continue
        shown = tuple([(1 << no, scores[no]) for no in nodes[:_SHOWN]])
        return Placed(parts, shown, cover=first)  # type: ignore[arg-type]  # not a reason here
    return Placed((), why=why, cover=first)


def _spend(
    desk: Desk, nodes: Sequence[int], atoms: Atoms, found: Sequence[Metric],
    spent: dict[int, Sequence[int]],
) -> str:  # fmt: skip
    """Ask what each node would cost if money is a metric; return why some cannot send it."""
    why = ""
    if all(one.values is not None for one in found):
        return why
    for no, told in desk.spent([no for no in nodes if no not in spent], atoms):
        if isinstance(told, str):
            why = told
        else:
            spent[no] = told
    return why


class Division:
    """Places needs on several nodes: the search, what each set costs, and the best of them."""

    def __init__(
        self, desk: Desk, wanted: Wanted, rest: Sequence[Atom], cand: int,
        found: Sequence[Metric],
    ) -> None:  # fmt: skip
        """Take what is to be placed whole; `rest` is what will be left whatever is done."""
        self._desk, self._wanted, self._rest = desk, wanted, rest
        self._cand, self._found = cand, found
        self._masks = [mask & cand for mask in wanted.masks]
        self._why = "max_parcels"
        self._steps, self._sets = splitting.Steps(), splitting.Steps(SPLIT_STEPS_MAX)
        self._all = (1 << len(self._masks)) - 1
        self._by: dict[int, int] = {}  # the needs that a node has
        self._ranks: dict[int, tuple[int, ...]] = {}
        self._turns: dict[int, int] = {}  # the candidates by rank
        self._quotes: dict[tuple[int, int], tuple[int, int] | str] = {}  # by node and needs
        self._parcels: dict[int, Parcel] = {}
        self._sizes = _sizes(desk, wanted.lots)
        self._sums = {self._all: sum(self._sizes)}  # of sets of needs
        self._tagged = any(one.tags or one.service for one in desk.order.lines)
        self._scores: Scores = {}
        if desk.rule.weighted:
            self._scores = node_scores(desk, wanted, cand, found)

    def placed(self) -> Placed:
        """Place what is wanted as the rule says: on any nodes, or on the fewest."""
        if self._desk.rule.assignment == "ANY_SPLIT":
            return self._each()
        return self._fewest(self._desk.rule.split.max_parcels)

    def _fewest(self, most: int) -> Placed:
        """Place on the fewest nodes, at most so many, and of these sets on the best."""
        for size in range(1, min(most, len(self._masks)) + 1):
            pool = self._cand if size <= 2 else splitting.kept(self._masks, self._cand)  # noqa: PLR2004
            sets = list(splitting.covers(self._masks, pool, size, self._steps))
            placed = self._best(sets)
            if self._steps.over or (placed and pool != self._cand):
                return self._beyond(placed, most)
            if placed:
                return placed._replace(bounded=self._over())
        return Placed((), why=self._why, bounded=self._over())

    def _beyond(self, placed: Placed | None, most: int) -> Placed:
        """Return the best that is found without searching on: from what was found, and greedily."""
        starts = splitting.greedy(self._masks, self._cand, self._rank)
        if placed:
            starts.add(placed.scores[0][0])
        found = []
        for start in sorted(starts):
            nodes = self._mended(splitting.shrunk(self._masks, self._cand, start))
            score = self._priced(nodes)
            if score is not None and nodes.bit_count() <= most:
                found.append((nodes.bit_count(), score, nodes))
        self._sets = splitting.Steps(SPLIT_STEPS_MAX)  # what was found is placed in any case
        for _, _, nodes in sorted(found):
            better = self._best([(nodes & (nodes - 1), nodes & -nodes)])
            if better:
                return better._replace(bounded=True)
        return (placed or Placed((), why=self._why))._replace(bounded=True)

    def _mended(self, nodes: int) -> int:
        """Return a set with nodes exchanged for as many others, as long as that is better."""
        best, many = self._priced(nodes), 1
        while best is not None and many <= _EXCHANGED:
            for other in splitting.exchanged(self._masks, self._cand, nodes, many, many):
                if not self._sets.spend():
                    return nodes
                score = self._priced(other)
                if score is not None and score < best:
                    best, nodes, many = score, other, 1
                    break
            else:
                many += 1
        return nodes

    def _over(self) -> bool:
        return self._steps.over or self._sets.over

    def _each(self) -> Placed:
        """Give each line to the best node that has it."""
        having = 0
        for mask in self._masks:
            having |= mask
        scores = self._scores or node_scores(self._desk, self._wanted, having, self._found)
        nodes = sorted(bits(having), key=lambda no: (scores[no], no))
        left, chosen = self._masks, 0
        for no in nodes:
            if any(mask >> no & 1 for mask in left):
                chosen |= 1 << no
                left = [mask for mask in left if not mask >> no & 1]
        self._ranks = {no: (*scores[no], no) for no in nodes}
        parts = self._parts(chosen)
        if isinstance(parts, str):
            return Placed((), why=parts)
        return Placed(parts, tuple([(1 << no, scores[no]) for no in nodes[:_SHOWN]]))

    def _rank(self, no: int) -> tuple[int, ...]:
        rank = self._ranks.get(no)
        if rank is None:
            scores = self._scores.get(no)
            rank = (*scores, no) if scores else scoring.rank(self._found, no)
            self._ranks[no] = rank
        return rank

    def _best(self, sets: Sequence[tuple[int, int]]) -> Placed | None:
        """Return the best of sets of one size, of those that nothing refuses."""
        for group in self._ordered(sets):
            priced = []
            for known, nodes in group:
                score = self._priced(nodes, known) if self._sets.spend() else None
                if score is not None:
                    priced.append((score, bits(nodes), nodes))
            priced.sort()
            for n, (_, _, nodes) in enumerate(priced):
                parts = self._parts(nodes)
                if not isinstance(parts, str):
                    shown = tuple([(set_, score) for score, _, set_ in priced[n : n + _SHOWN]])
                    return Placed(parts, shown)
                self._why = parts
        return None

    def _ordered(self, sets: Sequence[tuple[int, int]]) -> Iterable[Sequence[Known]]:
        """Yield sets of nodes in groups that are equal by what is known without money.

        The first group has two sets at least, if there are two: the best and a runner-up.
        """
        for sizes in self._leading(sets):
            known = [(self._before(nodes), nodes) for nodes in sizes]
            known.sort(key=lambda one: (one[0], bits(one[1])))
            group: list[Known] = []
            for one in known:
                if len(group) > 1 and one[0] != group[-1][0]:
                    yield group
                    group = []
                group.append(one)
            if group:
                yield group

    def _leading(self, sets: Sequence[tuple[int, int]]) -> Iterable[Sequence[int]]:
        """Yield sets by the first metric alone, as long as it has levels; else all at once."""
        first = None if self._scores or not self._found else self._found[0]
        if first is None or first.values is None or first.levels is None:
            yield [chosen | 1 << no for chosen, last in sets for no in bits(last)]
            return
        groups: dict[int, list[tuple[int, int]]] = {}
        values = first.values
        for chosen, last in sets:
            worst = max([values[no] for no in bits(chosen)], default=first.levels[0][0])
            for value, level in first.levels:
                if hit := level & last:
                    groups.setdefault(max(worst, value), []).append((chosen, hit))
        kept: list[int] = []
        for value in sorted(groups):
            kept += [chosen | 1 << no for chosen, last in groups[value] for no in bits(last)]
            if len(kept) > 1:
                yield kept
                kept = []
        if kept:
            yield kept

    def _before(self, nodes: int) -> tuple[int, ...]:
        """Return the score of a set as far as it is known before money is asked for."""
        if self._scores:
            return (sum(self._scores[no][0] for no in bits(nodes)),)
        known = []
        for one in self._found:
            if one.values is None:
                break
            known.append(max([one.values[no] for no in bits(nodes)]))
        return tuple(known)

    def _priced(self, nodes: int, known: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
        """Return the score of a set; None, and why, if it may not be as far as is looked at.

        `known` is what `_before` says of it.
        """
        score = self._before(nodes) if known is None else known
        if self._scores or len(score) == len(self._found):
            return score
        money = self._money(nodes)
        if money is None:
            return None
        which = bits(nodes)
        left = [
            scoring.amount(one.scorer, money)
            if one.values is None
            else max([one.values[no] for no in which])
            for one in self._found[len(score) :]
        ]
        return (*score, *left)

    def _money(self, nodes: int) -> Sequence[int] | None:
        """Return what a set costs, without making its parts where that can be told."""
        if not self._desk.plain:
            parts = self._parts(nodes)
            if isinstance(parts, str):
                self._why = parts
                return None
            return self._desk.money(parts)
        freight = cost = 0
        for one in self._takes(nodes):
            no, lines = one
            if not lines:
                return None
            told = self._quotes.get(one)
            if told is None:
                told = self._quotes[one] = self._desk.quoted(no, self._parcel(lines))
            if isinstance(told, str):
                self._why = told
                return None
            freight += told[0]
            cost += told[1]
        return freight, cost

    def _takes(self, nodes: int) -> list[tuple[int, int]]:
        """Return (node, set of needs) of a set by rank; a node may have nothing to do."""
        if not self._turns:
            self._turns = {no: n for n, no in enumerate(sorted(bits(self._cand), key=self._rank))}
        left, found = self._all, []
        for no in sorted(bits(nodes), key=self._turns.__getitem__):
            lines = self._by.get(no)
            if lines is None:
                lines = self._by[no] = self._had(1 << no)
            found.append((no, lines & left))
            left &= ~lines
        return found

    def _had(self, bit: int) -> int:
        """Return the needs that a node has; how large they and all others are is known then."""
        lines = size = 0
        need = 1
        for mask, one in zip(self._masks, self._sizes, strict=True):
            if mask & bit:
                lines |= need
                size += one
            need <<= 1
        self._sums[lines] = size
        self._sums[self._all ^ lines] = self._sums[self._all] - size
        return lines

    def _parcel(self, lines: int) -> Parcel:
        """Return needs as one parcel."""
        kept = self._parcels.get(lines)
        if kept is None:
            kept = self._parcels[lines] = self._sum(lines)
        return kept

    def _sum(self, lines: int) -> Parcel:
        """Add needs up."""
        if self._tagged:
            return self._desk.parcel(self._atoms(lines))
        total = self._sums.get(lines)
        if total is None:
            sizes = self._sizes
            total = self._sums[lines] = sum([sizes[n] for n in bits(lines)])
        return Parcel(total >> _GRAMS, total >> _CM3 & _MASK, total & _MASK, _NO_TAGS, "")

    def _atoms(self, lines: int) -> Atoms:
        lots = self._wanted.lots
        return tuple(sorted([atom for n in bits(lines) for atom in lots[n]]))

    def _parts(self, nodes: int) -> Sequence[Part] | str:
        """Return the parts of a set, or why they may not be."""
        parts: list[Part] = []
        for no, lines in self._takes(nodes):
            if not lines:
                return self._why
            atoms = self._atoms(lines)
            self._desk.know(atoms, self._parcel(lines))
            told = self._desk.parts(no, atoms)
            if isinstance(told, str):
                return told
            parts += told
        return self._desk.refused(parts, self._rest, self._desk.before) or parts


def _sizes(desk: Desk, lots: Sequence[Atoms]) -> list[int]:
    """Return how large each need is, in one number."""
    lines, found = desk.order.lines, []
    for lot in lots:
        line = lines[lot[0][0]]
        one = line if len(lot) == 1 and lot[0][1] == line.units else desk.parcel(lot)
        found.append(one.grams << _GRAMS | one.cm3 << _CM3 | one.value)
    return found


def node_scores(desk: Desk, wanted: Wanted, cand: int, found: Sequence[Metric]) -> Scores:
    """Return the score of each node by itself; its money is that of everything in one parcel.

    A node that could not send everything in one parcel counts as the dearest of those that could.
    """
    nodes = list(bits(cand))
    spent: dict[int, Sequence[int]] = {}
    if _spend(desk, nodes, wanted.atoms(), found, spent):
        dearest = [max(column) for column in zip(*spent.values(), strict=True)] or [0, 0]
        spent = {no: spent.get(no, dearest) for no in nodes}
    return scoring.of_nodes(found, nodes, spent, weighted=desk.rule.weighted)


def together(wanted: Wanted, keys: Sequence[str]) -> Wanted:
    """Return needs with those of one key (not "") as one, which one node has to have whole."""
    lots: dict[str, list[int]] = {}
    for n, key in enumerate(keys):
        lots.setdefault(key or f"\n{n}", []).append(n)
    found = Wanted()
    found.repeated, found.tied = wanted.repeated, wanted.tied
    for group in lots.values():
        mask = may = -1
        atoms: tuple[Atom, ...] = ()
        for n in group:
            mask &= wanted.masks[n]
            may &= wanted.may[n]
            atoms += wanted.lots[n]
        found.add(mask, may, wanted.skus[group[0]] if len(group) == 1 else "", atoms)
    return found
