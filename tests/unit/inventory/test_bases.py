"""From nodes to groups."""

import pytest

from engine.inventory.service.bases import by_group
from engine.inventory.types.supply import Base
from engine.logical.types.bases import NodeBase


def node(name, group, sellable, assigned, why_not=""):
    return NodeBase(name, group, not why_not, why_not, 0, (), sellable, assigned)


# fmt: off
NODES = {
    "none":           ([], None),
    "of one group":   ([node("a", "e", 5, 1), node("b", "e", -2, 0)], {"e": Base(3, 1)}),
    "of two":         ([node("a", "e", 5, 1), node("b", "", 4, 0)],
                       {"e": Base(5, 1), "": Base(4, 0)}),
    "switched off":   ([node("a", "e", 5, 1, "disabled")], {"e": Base(0, 1)}),
    "a marketplace's": ([node("a", "e", 5, 1, "controlled_by_channel")], None),
}
# fmt: on


@pytest.mark.parametrize(("nodes", "bases"), NODES.values(), ids=NODES)
def test_nodes_of_ours_are_added_up_by_group(nodes, bases):
    assert by_group(nodes) == bases
