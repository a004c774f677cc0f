"""When a cell stays closed, and every fault a certificate must find."""

# ruff: noqa: E501 - tables are read by their columns

import pytest

from engine.assurance import report, rules
from engine.assurance.types import Certificate, Epoch, PoolRow, PoolTotals

SOUND = PoolTotals(10, 0, 4, 3, 3)

# fmt: off
#                         phase         log ends  sentence
LOST_OR_NOT = {
    "clean":             ("open",       "9-1",    ""),
    "further than Postgres": ("open",   "9-2",    ""),
    "emptied":           ("",           "0-0",    "the cell is empty, but Postgres has recorded up to log id 9-1"),
    "behind":            ("open",       "9-0",    "the cell's log ends at 9-0, but Postgres has recorded up to 9-1"),
    "behind, by number": ("open",       "8-10",   "the cell's log ends at 8-10"),
    "broken off":        ("rebuilding", "9-2",    "a rebuild of the cell was broken off"),
}
#                         log begins  trimmed  sentence
GAP_OR_NOT = {
    "whole":             ("1-0",      "0-0",   ""),
    "cut where recorded": ("9-1",     "9-1",   ""),
    "rebuilt, nothing since": ("9-2", "9-1",   ""),
    "cut too far":       ("9-3",      "9-2",   "the log was cut at 9-2, but Postgres stands at 9-1"),
    "cut by hand":       ("9-2",      "9-0",   "the log begins at 9-2, but Postgres stands at 9-1"),
    "behind":            ("8-0",      "0-0",   ""),
}
# fmt: on


@pytest.mark.parametrize(("phase", "log_end", "sentence"), LOST_OR_NOT.values(), ids=LOST_OR_NOT)
def test_what_is_lost(phase, log_end, sentence):
    reason = rules.reason_to_rebuild(Epoch(2, "9-1", "database"), phase=phase, log_end=log_end)
    assert reason.startswith(sentence)
    assert bool(reason) is bool(sentence)


def test_a_new_cell_for_a_new_database_has_lost_nothing():
    epoch = Epoch(1, "0-0", "database")
    assert rules.reason_to_rebuild(epoch, phase="", log_end="0-0") == ""
    assert rules.gap(epoch, log_begin="5-0", trimmed_to="0-0") == ""


@pytest.mark.parametrize(("begin", "cut", "sentence"), GAP_OR_NOT.values(), ids=GAP_OR_NOT)
def test_what_this_database_lacks(begin, cut, sentence):
    found = rules.gap(Epoch(2, "9-1", "database"), log_begin=begin, trimmed_to=cut)
    assert found.startswith(sentence)
    assert bool(found) is bool(sentence)


@pytest.mark.parametrize("pool", [PoolTotals(10, 0, 4, 3, 2), PoolTotals(1, 0, -1, 1, 1)])
def test_a_pool_that_does_not_add_up_is_named(pool):
    assert rules.wrong_sums({"p": pool, "sound": SOUND}) == "pools do not add up in the cell: p"
    assert rules.wrong_sums({"sound": SOUND}) == ""


def test_ten_wrong_pools_are_named_and_no_more():
    pools = {f"p{n:02}": PoolTotals(1, 0, 0, 0, 0) for n in range(12)}
    assert rules.wrong_sums(pools).endswith("p08, p09")


def test_log_ids_compare_as_numbers():
    assert rules.position("10-2") > rules.position("9-11") > rules.position("9-2")
    assert rules.position("7") == (7, 0)


# fmt: off
#                    granted owed available held sold   oversold  adds up
OVERSOLD = {
    "sound":         ((10,   0,   4,        3,   3),    0,        True),
    "sold out":      ((10,   0,   0,        0,   10),   0,        True),
    "by a channel":  ((10,   2,   0,        0,   12),   0,        True),
    "by us, held":   ((10,   0,   0,        8,   3),    1,        False),
    "by us, sold":   ((10,   2,   0,        0,   15),   3,        False),
    "less than all": ((10,   0,   1,        0,   3),    0,        False),
    "negative":      ((10,   0,   -1,       8,   3),    1,        False),
}
# fmt: on


@pytest.mark.parametrize(("accounts", "units", "sound"), OVERSOLD.values(), ids=OVERSOLD)
def test_oversold(accounts, units, sound):
    totals = PoolTotals(*accounts)
    assert rules.oversold(totals) == units
    assert totals.adds_up is sound


def row(cell=SOUND, recorded=SOUND, from_orders=(3, 3)):
    return PoolRow("p", "d11", "mall", "A", cell, recorded, from_orders)


WRONG = PoolTotals(10, 0, 4, 4, 3)
OTHER = PoolTotals(11, 0, 5, 3, 3)

# fmt: off
#                              row                            ledger  pool    what is said
FAULTS = {
    "nothing":                (row(),                         SOUND,  SOUND,  []),
    "only the cell has it":   (row(recorded=None),            SOUND,  SOUND,  ["known to one side only"]),
    "only Postgres has it":   (row(cell=None),                SOUND,  SOUND,  ["known to one side only"]),
    "the sides differ":       (row(cell=OTHER),               SOUND,  SOUND,  ["the cell says (11, 0, 5, 3, 3), Postgres (10, 0, 4, 3, 3)"]),
    "unsound in the cell":    (row(cell=WRONG),               SOUND,  SOUND,  ["the cell says", "does not add up in the cell"]),
    "unsound in Postgres":    (row(recorded=WRONG),           SOUND,  SOUND,  ["the cell says", "does not add up in Postgres"]),
    "unsound on both sides":  (row(WRONG, WRONG),             SOUND,  SOUND,  ["does not add up in the cell", "does not add up in Postgres"]),
    "the ledger differs":     (row(),                         OTHER,  SOUND,  ["its ledger sums to (11, 0, 5, 3, 3)"]),
    "the pool was changed":   (row(),                         SOUND,  OTHER,  ["its ledger sums to"]),
    "orders hold less":       (row(from_orders=(2, 3)),       SOUND,  SOUND,  ["orders hold 2 and bought 3"]),
    "orders bought more":     (row(from_orders=(3, 4)),       SOUND,  SOUND,  ["orders hold 3 and bought 4"]),
}
# fmt: on


@pytest.mark.parametrize(("one", "ledger", "pool", "said"), FAULTS.values(), ids=FAULTS)
def test_what_is_wrong_about_a_pool(one, ledger, pool, said):
    found = list(rules.pool_faults(one, ledger, pool))
    assert len(found) == len(said)
    for fault, words in zip(found, said, strict=True):
        assert words in fault
        assert fault.startswith("pool p (A mall)")


COUNTS = {
    "accepted": 5, "recorded_then": 5, "recorded": 9, "orders": 8, "duplicates": 1,
    "paid_without_payment": 0, "applied_without_paid": 0, "owed_to_nobody": 0,
    "shipped_after_stop": 0, "shipped_twice": 0, "orders_nowhere": 0,
}  # fmt: skip

# fmt: off
COUNT_FAULTS = {
    "nothing":              ({},                          []),
    "lost on the way":      ({"recorded_then": 4},        ["accepted 5, recorded 4"]),
    "an order is gone":     ({"orders": 7},               ["recorded 9, orders 7"]),
    "a duplicate too many": ({"duplicates": 2},           ["recorded 9, orders 8"]),
    "a payment is gone":    ({"paid_without_payment": 2}, ["2 orders are paid without a payment"]),
    "an order is not paid": ({"applied_without_paid": 3}, ["3 payments are applied to orders that are not paid"]),
    "owed to no order":     ({"owed_to_nobody": 1}, ["1 pools owe other units than their orders lack"]),
    "it is nowhere":        ({"orders_nowhere": 1}, ["1 orders to be sent are in no queue"]),
    "it left all the same": ({"shipped_after_stop": 2}, ["2 shipments left after a stop was granted"]),
    "it left twice":        ({"shipped_twice": 1}, ["1 shipments left with units that another one had sent"]),
    "all at once":          ({"accepted": 6, "orders": 7, "paid_without_payment": 1, "applied_without_paid": 1},
                             ["accepted 6", "recorded 9", "1 orders", "1 payments"]),
}
# fmt: on


@pytest.mark.parametrize(("changed", "said"), COUNT_FAULTS.values(), ids=COUNT_FAULTS)
def test_which_counts_do_not_agree(changed, said):
    found = list(rules.count_faults(COUNTS | changed))
    assert len(found) == len(said)
    assert all(fault.startswith(words) for fault, words in zip(found, said, strict=True))


def certificate(*faults, pools=()):
    return Certificate(
        "c", "9-1", "9-4", 5, 5, 9, 8, 1, list(pools), oversold_by_us=2, sold_beyond_stock=1,
        dead_letters=0, faults=list(faults),
    )  # fmt: skip


# fmt: off
VERDICTS = {
    "holds":      ([],              "certificate: holds"),
    "one fault":  (["a"],           "certificate: BROKEN (a)"),
    "two faults": (["a", "b"],      "certificate: BROKEN (a; and 1 more)"),
    "many":       (["a", *"bcdef"], "certificate: BROKEN (a; and 5 more)"),
}
# fmt: on


@pytest.mark.parametrize(("faults", "last"), VERDICTS.values(), ids=VERDICTS)
def test_the_last_line_is_the_verdict(faults, last):
    one = certificate(*faults)
    assert rules.verdict(one) == last
    assert one.holds is (not faults)
    told = report.lines(one)
    assert told[-1] == last
    assert told[-6:-1] == [
        "oversold by us: 2", "sold by channels beyond stock: 1", "shipped after stop: 0",
        "shipped twice: 0", "orders nowhere: 0",
    ]  # fmt: skip
    assert all(any(fault in line for line in told) for fault in faults)


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "for people"])
def test_a_certificate_is_shown_with_every_pool_and_its_verdict(capsys, as_json):
    report.show(certificate("a", pools=[row(), row(recorded=None)]), as_json=as_json)
    told = capsys.readouterr().out
    if as_json:
        assert '"holds": false' in told
        assert '"recorded": null' in told
    else:
        assert told.rstrip().endswith("certificate: BROKEN (a)")
        assert "10 | ?" in told
        assert "10 | 10" not in told
