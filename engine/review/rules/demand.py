"""What is still to be sent of an order, line by line and group of nodes by group; pure."""

from collections.abc import Iterable, Mapping

from engine.review.types.judging import Demand


def demand(
    draws: Iterable[tuple[int, str, int]],
    groups: Mapping[str, str],
    lines: Mapping[int, tuple[str, int]],
    sent: Mapping[int, int],
) -> tuple[Demand, ...]:
    """Return what no live shipment has.

    `draws` are (line, pool, units), `groups` the group of each pool's nodes, `lines` (sku, open
    units) by number, `sent` what live shipments have of each. Of a line that drew from several
    groups, what was sent or cancelled is taken off the last ones first. A draw of a pool that is
    not known stands in no group, which no node is of.
    """
    drawn: dict[tuple[int, str], int] = {}
    for line_no, pool, units in draws:
        key = line_no, groups.get(pool, "")
        drawn[key] = drawn.get(key, 0) + units
    left = {n: max(units - sent.get(n, 0), 0) for n, (_, units) in lines.items()}
    found = []
    for (line_no, group), units in sorted(drawn.items()):
        wanted = min(units, left.get(line_no, 0))
        if wanted > 0:
            left[line_no] -= wanted
            found.append(Demand(line_no, lines[line_no][0], group, wanted))
    return tuple(found)
