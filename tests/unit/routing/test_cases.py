"""Routing case by case, as tables: what the systems we learnt from do, and where they failed.

A file has a world and a plan; a case changes what it must and says which node gets how many units
of which line. `breaks` names what the case is about: without that filter, scorer, constraint or
rule, or with another stock, the answer is another one, or the case would show nothing. Every case
has it.
"""

import copy
from pathlib import Path

import pytest
import yaml

from engine.routing.rules.deciding import decide
from tests.unit.routing.documents import World, an_order, compiled
from tests.unit.routing.world import NOW

HERE = Path(__file__).parent
PLANS = HERE.parents[2] / "plans"
WORLD = (
    "nodes", "stock", "lanes", "services", "capacity", "closed", "late", "switched_off", "load",
    "metrics", "usable",
)  # fmt: skip


def merged(base, over):
    """`over` on top of `base`; a dict is merged, anything else replaced."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return copy.deepcopy(over)
    return {
        key: merged(base[key], over[key]) if key in base and key in over else
        copy.deepcopy(over.get(key, base.get(key)))
        for key in [*base, *[key for key in over if key not in base]]
    }  # fmt: skip


def cases():
    for path in sorted((HERE / "cases").glob("*.yaml")):
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
        for case in table["cases"]:
            yield pytest.param(table, case, id=f"{path.stem}: {case['name']}")


def plan_of(table, case):
    """The plan of a case: the document that it names, its own rules, or those of the table."""
    if named := case.get("plan", table.get("plan")):
        return yaml.safe_load((PLANS / f"{named}.yaml").read_text(encoding="utf-8"))
    rules = case.get("rules", table.get("rules"))
    stages = case.get("stages", [{"seq": 1, "rules": rules}])
    document = {"plan": "case", "max_hops": case.get("max_hops", 3), "stages": stages}
    for stage in document["stages"]:
        for seq, one in enumerate(stage["rules"], 1):
            one.setdefault("seq", seq)
            one.setdefault("assignment", "MIN_SPLIT")
            one["scorers"] = [
                {"metric": each} if isinstance(each, str) else each
                for each in one.get("scorers", ())
            ]
    return document


def changed(document, table, case):
    """The plan and the case without what the case is about.

    `breaks` is a path, of what is taken away, or several with what stands there instead. One that
    begins with a number is the plan's (`0.1.filters.0`: stage, rule, …), others are the case's.
    """
    breaks = case["breaks"]
    document, case = copy.deepcopy(document), copy.deepcopy(case)
    told = breaks if isinstance(breaks, dict) else {breaks: None}
    for path, value in told.items():
        at = [int(key) if key.isdigit() else key for key in str(path).split(".")]
        where, way = case, at
        if isinstance(at[0], int):
            where, way = document["stages"], at
            if isinstance(at[1] if len(at) > 1 else "", int):
                way = [at[0], "rules", *at[1:]]
        elif isinstance(breaks, dict) and way[0] in table:
            where[way[0]] = merged(table[way[0]], where.get(way[0], {}))
        for key in way[:-1]:
            where = where[key]
        if isinstance(breaks, dict):
            where[way[-1]] = value
        else:
            del where[way[-1]]
    return document, case


def answered(document, table, case):
    world = World({key: merged(table.get(key), case.get(key)) if key in case and key in table
                   else case.get(key, table.get(key)) for key in WORLD
                   if key in case or key in table})  # fmt: skip
    told = case.get("orders") or [case["order"]]
    orders = [an_order(one, n) for n, one in enumerate(told, 1)]
    by_id = {one.order_id: one for one in orders}
    found = decide(compiled(document), world.snap, orders, NOW, world.carriers)
    return [seen(one, by_id[one.order_id], world) for one in found]


def seen(decision, order, world):
    """A decision in the words of the tables."""
    parts = []
    for part in decision.parts:
        units = {}
        for index, n in part.atoms:
            line_no = order.lines[index].line_no
            units[line_no] = units.get(line_no, 0) + n
        service = world.snap.services[part.service].service if part.service >= 0 else ""
        parts.append({world.names[part.node]: units, "by": service})
    rest = {}
    for index, n in decision.rest:
        line_no = order.lines[index].line_no
        rest[line_no] = rest.get(line_no, 0) + n
    return {
        "order": decision.order_id, "parts": parts, "rest": rest, "queue": decision.queue,
        "reason": decision.reason, "rule": decision.rule, "stage": decision.stage,
        "minutes": (decision.until - NOW) // 60_000 if decision.until else 0,
        "cancels": (decision.cancel_at - NOW) // 60_000 if decision.cancel_at else 0,
    }  # fmt: skip


def agrees(got, want):
    """Whether a decision is what a case says, of what it says."""
    for key, value in want.items():
        if key == "parts":
            plain = [{k: v for k, v in one.items() if k != "by"} for one in got["parts"]]
            asked = [{k: v} for one in ([value] if isinstance(value, dict) else value)
                     for k, v in one.items()]  # fmt: skip
            if sorted(map(str, plain)) != sorted(map(str, asked)):
                return False
        elif key == "by":
            if [one["by"] for one in got["parts"]] != value:
                return False
        elif got[key] != value:
            return False
    return True


def fits(document, table, case):
    got = answered(document, table, case)
    want = case["expect"] if isinstance(case["expect"], list) else [case["expect"]]
    return len(got) == len(want) and all(map(agrees, got, want)), got


@pytest.mark.parametrize(("table", "case"), list(cases()))
def test_case(table, case):
    ok, got = fits(plan_of(table, case), table, case)
    assert ok, got


@pytest.mark.parametrize(("table", "case"), list(cases()))
def test_control_without_what_a_case_is_about_the_answer_is_another(table, case):
    document, without = changed(plan_of(table, case), table, case)
    ok, got = fits(document, table, without)
    assert not ok, got


@pytest.mark.parametrize("path", sorted(PLANS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_plan_document_does_what_its_examples_say(path):
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert document["examples"]
    for example in document["examples"]:
        case, expect = dict(example), dict(example["expect"])
        for key in ("parts", "rest"):
            if key in expect:
                expect[key] = keyed_by_number(expect[key])
        case["expect"] = expect
        table = {key: value for key, value in document["world"].items() if key not in case}
        ok, got = fits(document, table, case)
        assert ok, (example["name"], got)


def keyed_by_number(told):
    """JSON's keys are texts, lines are numbers."""
    return {
        int(key) if str(key).isdigit() else key: (
            keyed_by_number(value) if isinstance(value, dict) else value
        )
        for key, value in told.items()
    }


def test_there_are_enough_cases():
    every = [one.values[1] for one in cases()]
    assert len(every) >= 60
    assert all("breaks" in one for one in every)
