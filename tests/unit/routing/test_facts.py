"""What waits to be routed is read as it was written, or not at all."""

import msgspec
import pytest

from engine.routing.rules import facts
from engine.routing.types.core import Line, Order

ORDER = Order(
    "o1", "main", "mall", ("mall", 3, True, ["a", "b"]), "310104", 31.2, None,
    (Line(1, "A", "cn", 2, 500, 10, 900, frozenset({"cold"}), "N", "s1", 3, "box"),),
    tier="next_day", deliver_by=5, excluded=((1, "M", 1 << 60),), hops=2,
    allow=frozenset({"s1", "s2"}),
)  # fmt: skip


def test_an_order_comes_back_as_it_was():
    assert facts.unpack(facts.pack(ORDER)) == ORDER


def test_an_order_without_fields_that_came_later_is_read():
    assert facts.unpack(facts.pack(ORDER)[:1] + _short()).hops == 0


def _short():
    return msgspec.msgpack.encode(list(ORDER)[:8])


def test_a_line_without_fields_that_came_later_is_read():
    lines = [list(ORDER.lines[0])[:11]]  # as it was before lines could go together
    short = facts.pack(ORDER)[:1] + msgspec.msgpack.encode([*list(ORDER)[:7], lines])
    assert facts.unpack(short).lines == (ORDER.lines[0]._replace(together=""),)


@pytest.mark.parametrize("bad", [b"", b"\x02" + facts.pack(ORDER)[1:], facts.pack(ORDER)[:-3]])
def test_what_cannot_be_read_is_said(bad):
    with pytest.raises(facts.UnreadableFacts):
        facts.unpack(bad)
