"""Events of the log: what one version writes, another one can read."""

from typing import get_args

import msgspec
import pytest

from engine.kernel import events
from engine.kernel.events import Move, Payment

PAID = Payment("p", 100, "CNY", "alipay", 5, "full", "key-1")
MOVES = [Move("pool", 0, 0, -1, 1, 0)]
HEAD = ("o", 7, MOVES)
STAGES = [["deposit", 8, 9, [[1, 30]]], ["balance", 18, 19, []]]

EVERY = [
    events.Reserved(
        *HEAD, 1, "P", 8, 9, [(1, "pool", 1)], [("b/x", 1, 1)], [(1, 2)], [3], [4], [5], "print",
        "main", "mall", "d11", "b", "CNY", 10**14, "key-1", 1, PAID, "other", "",
        STAGES,
    ),
    events.Synced(
        *HEAD, 1, "C", 8, 9, [("A", 1, 100, "")], ["line-1"], [(1, "pool", 1)], [("c/x", 1, 0)],
        [("pool", 1, 1)], [2], [1], 1, [1],
    ),
    events.Confirmed(*HEAD, PAID, 1),
    events.DepositPaid(*HEAD, PAID, 8, 9, STAGES[1:]),
    events.Reheld(*HEAD, PAID, 2, [(1, "pool", 1)], [], "P", 8, 9, STAGES[1:]),
    events.RefundDue(*HEAD, PAID, "cancelled"),
    events.Released(*HEAD, "c", "cancel", "why", "key-1", [(1, 1, 100)], "R", 0, [], 30),
    events.Expired(*HEAD, 30),
    events.Expiring(*HEAD, 9),
    events.Returned(*HEAD, "r"),
    events.Granted("pool", 7, MOVES, 3, 10, 9, "load", "ref"),
    events.Moved("m", 7, MOVES, "a", "b", 5, "why", 1),
    events.PauseSet("sku", 7, [], "main", "A", 1, "key-1", "why"),
    events.RuleSet("offer", 7, [], 3),
    events.Checkpoint("c", 7, [], 1, 2, 5, [("pool", [1, 0, 1, 0, 0, 3, "", 0])]),
    events.Opened("opened", 7, [], 3, "", 1, 7),
    events.DeadlineMoved(*HEAD, 8, 9, STAGES),
]  # fmt: skip


def test_every_kind_is_here():
    assert {type(one) for one in EVERY} == set(get_args(events.LogEvent))


@pytest.mark.parametrize("event", EVERY, ids=lambda one: type(one).__name__)
def test_an_event_comes_back_as_it_went(event):
    packed = msgspec.msgpack.encode([event])
    assert events.decode(packed) == [event]


@pytest.mark.parametrize("event", EVERY, ids=lambda one: type(one).__name__)
def test_a_later_version_may_add_a_value_at_the_end(event):
    values = msgspec.msgpack.decode(msgspec.msgpack.encode(event))
    longer = msgspec.msgpack.encode([[*values, "of a later version"]])
    assert events.decode(longer) == [event]


OF_AN_EARLIER_VERSION = {
    "R without stages": ["R", *HEAD, 1, "P", 8, 9, [], [], [], [], [], [], "print", "main", "mall",
                         "d11", "b", "CNY", 1, "key-1", 1, PAID, "", ""],
    "H of a confirmed hold": ["H", *HEAD, PAID, 2, [], []],
    "L without a deposit": ["L", *HEAD, "c", "cancel", "why", "key-1", [], "R", 0, []],
    "E without a deposit": ["E", *HEAD],
    "D without stages": ["D", *HEAD, 8, 9],
}  # fmt: skip


@pytest.mark.parametrize("values", OF_AN_EARLIER_VERSION.values(), ids=OF_AN_EARLIER_VERSION)
def test_what_an_earlier_version_wrote_is_read_as_paid_at_once(values):
    (event,) = events.decode(msgspec.msgpack.encode([values]))
    assert (getattr(event, "stages", None) or [], getattr(event, "paid", 0)) == ([], 0)
    if isinstance(event, events.Reheld):
        assert (event.state, event.pay_by) == ("C", 0)


def test_no_two_kinds_have_one_letter():
    letters = [kind.__struct_config__.tag for kind in get_args(events.LogEvent)]
    assert len(set(letters)) == len(letters)


@pytest.mark.parametrize(
    "packed",
    [b"", b"\xc1", msgspec.msgpack.encode([["?", "o", 1, []]]), msgspec.msgpack.encode([["C"]])],
    ids=["nothing", "not msgpack", "an unknown kind", "half an event"],
)
def test_what_cannot_be_read_says_so(packed):
    with pytest.raises(msgspec.MsgspecError):
        events.decode(packed)
