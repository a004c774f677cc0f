"""Plans as they are written, in short."""

from engine.kernel import codec
from engine.routing.types.plans import PlanFields

RULE = {"seq": 1, "name": "nearest", "scorers": [{"metric": "distance"}]}


def fields_of(name="north", rule=None, **more):
    stages = [{"seq": 1, "rules": [RULE | (rule or {})]}]
    return codec.typed({"plan": name, "stages": stages} | more, PlanFields)
