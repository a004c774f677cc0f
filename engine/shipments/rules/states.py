"""The rule: what the reports of a shipment come to; of the set, so repeats and order do not matter.

The furthest that was told counts. **Shipped beats cancelled**: the parcel is gone, whatever was
said before or is said later. What is cancelled (or rejected) is so once nobody is sending it any
more: some answer to a call of ours must be among the reports. A node that says "cancelled" while an
answer to our create is still out may yet get that create, so until then nothing is decided.

**What left.** Parcels are told apart by carrier and waybill, without one by report and place. Of a
parcel that is told twice each line counts with the most that was told. A final confirm without
items is of everything. Parcels confirmed in part, and the rest cancelled: what will leave has left,
so that is `shipped`, too. More than was planned is not counted as left but returned as `over`.
A parcel's fate (delivered, say) says nothing of units: those are booked by the confirm.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from engine.shipments.types.shipments import GONE, LEFT, Line, NoReturn, Standing, State, Told

_PROGRESS: Final[tuple[tuple[str, State], ...]] = (
    ("sent", "sent"), ("accepted", "accepted"), ("picked", "picked"), ("packed", "packed"),
    ("waybill", "packed"),
)  # fmt: skip
_RANK: Final = {kind: n for n, (kind, _) in enumerate(_PROGRESS, start=1)}
_SHIPPED: Final = len(_PROGRESS) + 1
_FATES: Final[tuple[State, ...]] = ("lost", "delivered", "refused", "returning", "returned")
_NO_RETURN: Final[Mapping[NoReturn, int]] = {
    "accepted": _RANK["accepted"], "picked": _RANK["picked"], "waybill": _RANK["waybill"],
    "shipped": _SHIPPED,
}  # fmt: skip


def fold(told: Iterable[Told], lines: Collection[Line]) -> Standing:
    """Return what a set of reports says of a shipment of these lines."""
    reports = list(told)
    kinds = {one.kind for one in reports}
    fates = [fate for fate in _FATES if fate in kinds]
    planned = {line.line_no: line.units for line in lines}
    whole = any(
        one.kind == "shipped" and not any(box.items for box in one.packages) for one in reports
    )
    counted = planned if whole else _items(reports)
    left = {n: min(units, planned[n]) for n, units in counted.items() if n in planned and units}
    over = sum(counted.values()) - sum(left.values())
    ended = any(one.reply for one in reports) and bool(kinds & GONE)
    out = bool(fates) or bool(kinds & {"shipped", "partly_shipped"})
    final = "shipped" in kinds or ended or left == planned
    rank = _SHIPPED if out else max((_RANK.get(kind, 0) for kind in kinds), default=0)
    state: State | str = ""
    if fates:
        state = fates[-1]
    elif out:
        state = "shipped" if final else "partly_shipped"
    elif ended:
        state = "cancelled" if "cancelled" in kinds else "rejected"
    elif rank:
        state = _PROGRESS[rank - 1][1]
    has_waybill = "waybill" in kinds or any(box.waybill for one in reports for box in one.packages)
    return Standing(state, rank, tuple(sorted(left.items())), has_waybill, final, over)  # type: ignore[arg-type]  # one of State


def short(standing: Standing, lines: Collection[Line]) -> tuple[tuple[int, int], ...]:
    """Return the units by line that will not leave of a shipment of which the rest has left."""
    if standing.state not in LEFT or not standing.final:
        return ()
    left = dict(standing.left)
    return tuple(
        (line.line_no, line.units - left.get(line.line_no, 0))
        for line in lines
        if line.units > left.get(line.line_no, 0)
    )


def shown(ours: State, standing: Standing, *, stopping: bool) -> State:
    """Return the state to keep: what was told, else ours; a stop that is open shows above both."""
    state = standing.state or ours
    if stopping and state in {"sent", "accepted", "picked", "packed"}:
        return "stopping"
    return state


def is_beyond(standing: Standing, no_return: NoReturn) -> bool:
    """Whether a shipment was seen at the point from where on its node does not stop it, or past."""
    return standing.rank >= _NO_RETURN[no_return]


def _items(reports: Iterable[Told]) -> dict[int, int]:
    """Return the units of each line that are in parcels which were told to have left."""
    boxes: dict[tuple[object, ...], dict[int, int]] = {}
    for one in reports:
        if one.kind not in {"shipped", "partly_shipped"}:
            continue
        for place, box in enumerate(one.packages):
            name = (box.carrier, box.waybill) if box.waybill else (one.report_id, place)
            inside = boxes.setdefault(name, {})
            mine: dict[int, int] = {}
            for n, units in box.items:
                mine[n] = mine.get(n, 0) + units
            for n, units in mine.items():
                inside[n] = max(inside.get(n, 0), units)
    found: dict[int, int] = {}
    for inside in boxes.values():
        for n, units in inside.items():
            found[n] = found.get(n, 0) + units
    return found
