"""The fewest parcels, then the least cost, by a solver: run by test_mip.py in its own process.

Reads a list of instances as JSON: the cost of each node, and for each line the nodes that have it.
"""

import json
import sys

import highspy


def solved(costs, lines):
    many = sum(costs) + 1  # a parcel more is dearer than whatever nodes cost
    model = highspy.Highs()
    model.setOptionValue("output_flag", False)  # noqa: FBT003
    used = [model.addBinary(obj=many + cost) for cost in costs]
    for nodes in lines:
        model.addConstr(sum(used[no] for no in nodes) >= 1)
    model.run()
    assert model.getModelStatus() == highspy.HighsModelStatus.kOptimal
    chosen = [no for no, value in enumerate(model.getSolution().col_value) if value > 0.5]
    return len(chosen), sum(costs[no] for no in chosen)


if __name__ == "__main__":
    json.dump([solved(**one) for one in json.load(sys.stdin)], sys.stdout)
