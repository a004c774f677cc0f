"""What an order paid in stages asks for, and how a client reads it."""

# ruff: noqa: E501 - tables are read by their columns

import msgspec
import pytest

from engine.kernel.limits import AMOUNT_MAX
from engine.reservation import stages
from engine.reservation.stages import Due

DEPOSIT = ["deposit", 2_000, 3_000, [[1, 30], [3, 5]]]
BALANCE = ["balance", 9_000, 9_500, []]
BOTH = [DEPOSIT, BALANCE]

# fmt: off
#                                    stages     open units           unpaid      what is due, in order
DUE = {
    "a deposit and the rest":       (BOTH,      {1: 2, 2: 1, 3: 1},  300,        [("deposit", 65, 2_000), ("balance", 235, 9_000)]),
    "units that were cancelled":    (BOTH,      {1: 1, 2: 1, 3: 0},  150,        [("deposit", 30, 2_000), ("balance", 120, 9_000)]),
    "a line that is not there":     (BOTH,      {1: 1},              150,        [("deposit", 30, 2_000), ("balance", 120, 9_000)]),
    "only the rest":                ([BALANCE], {1: 2, 3: 1},        235,        [("balance", 235, 9_000)]),
    "paid at once":                 ([],        {1: 2},              300,        []),
    "as much as there may be":      (BOTH,      {1: 2, 3: 1},        AMOUNT_MAX, [("deposit", 65, 2_000), ("balance", AMOUNT_MAX - 65, 9_000)]),
    "never more than is unpaid":    (BOTH,      {1: 2, 3: 1},        50,         [("deposit", 50, 2_000)]),
    "nothing left has a deposit":   (BOTH,      {1: 0, 2: 1, 3: 0},  100,        [("deposit", 100, 2_000)]),
}
# fmt: on


@pytest.mark.parametrize(("found", "units", "unpaid", "wanted"), DUE.values(), ids=DUE)
def test_what_is_due(found, units, unpaid, wanted):
    assert stages.due(found, units, unpaid) == [Due(*one) for one in wanted]


@pytest.mark.parametrize(("found", "units", "unpaid", "_"), DUE.values(), ids=DUE)
def test_what_is_due_adds_up_to_what_is_unpaid(found, units, unpaid, _):
    assert sum(one.amount for one in stages.due(found, units, unpaid)) == (unpaid if found else 0)


def test_a_client_reads_names_money_and_instants():
    shown = stages.shown([Due("deposit", 65, 1_794_355_200_000)], "CNY")
    assert msgspec.to_builtins(shown) == [
        {
            "stage": "deposit",
            "amount": {"amount": 65, "currency": "CNY"},
            "pay_by": "2026-11-11T00:00:00.000Z",
        }
    ]
