"""The tables of cases, with their plans compiled as `tidegate route check` does.

The tables read conditions as Python; here they are CEL, and filters, metrics and constraints are
checked. Whatever a case expects, both decide the same.
"""

import pytest

from engine.kernel import codec
from engine.routing.rules.compiling import compile_plan
from engine.routing.types.plans import PlanFields
from tests.unit.routing import documents, test_cases


@pytest.mark.parametrize(("table", "case"), list(test_cases.cases()))
def test_a_compiled_plan_decides_a_case_as_the_table_does(table, case, monkeypatch):
    document = test_cases.plan_of(table, case)
    by_hand = test_cases.answered(document, table, case)

    def compiled(document):
        own = {**table.get("metrics", {}), **case.get("metrics", {})}
        return compile_plan(codec.typed({**document, "metrics": list(own)}, PlanFields)).plan

    assert test_cases.compiled is documents.compiled
    monkeypatch.setattr(test_cases, "compiled", compiled)
    assert test_cases.answered(document, table, case) == by_hand
