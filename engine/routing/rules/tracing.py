"""A decision's trace: as bytes for its record, and in words for who asks why.

Sets of nodes are bytes in the record, because there may be more nodes than an integer of msgpack
has bits; the names of filters and metrics come from the plan's version that decided.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from engine.routing.rules.candidates import bits
from engine.routing.types.core import (
    FILTERS,
    RULE_FILTER,
    CompiledPlan,
    Decision,
    SourcingRule,
    Trace,
    Tried,
)

_VERSION: Final = 1
_Step = tuple[int, bytes]
_Score = tuple[bytes, tuple[int, ...]]
_Wire = tuple[
    int,
    list[tuple[int, int, list[_Step], bytes, list[_Score], str]],
    tuple[int, ...],
    tuple[int, ...],
    bool,
    list[tuple[int, str]],
]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Wire).decode


class Step(NamedTuple):
    """One filter: the nodes that it dropped, and how many it left."""

    filter: str
    dropped: tuple[str, ...]
    left: int


class Score(NamedTuple):
    """A set of nodes that was compared, and its score by metric; less is better."""

    nodes: tuple[str, ...]
    score: tuple[tuple[str, int], ...]


class Attempt(NamedTuple):
    """One rule that was tried; `cover` are the nodes that have everything."""

    stage: int
    rule: int
    name: str
    steps: tuple[Step, ...]
    cover: tuple[str, ...]
    scores: tuple[Score, ...]
    why: str


class Story(NamedTuple):
    """Why a decision is as it is; `margin` is by how much the runner-up is worse."""

    tried: tuple[Attempt, ...]
    runner_up: tuple[str, ...]
    margin: tuple[tuple[str, int], ...]
    bounded: bool
    carriers: tuple[tuple[str, str], ...]


def packed(trace: Trace) -> bytes:
    """Return a trace as bytes."""
    tried = [
        (
            one.stage, one.rule, [(no, _bytes(mask)) for no, mask in one.verdicts],
            _bytes(one.cover), [(_bytes(mask), score) for mask, score in one.scores], one.why,
        )
        for one in trace.tried
    ]  # fmt: skip
    return _encode((_VERSION, tried, trace.runner_up, trace.margin, trace.bounded, trace.carriers))


def unpacked(data: bytes) -> Trace:
    """Return the trace of these bytes; raises `msgspec.DecodeError` if they are none."""
    version, tried, runner_up, margin, bounded, carriers = _decode(data)
    if version != _VERSION:
        raise msgspec.DecodeError(f"a trace of version {version}, known is {_VERSION}")
    found = tuple([
        Tried(
            stage, rule, tuple([(no, _mask(mask)) for no, mask in verdicts]), _mask(cover),
            tuple([(_mask(mask), score) for mask, score in scores]), why,
        )
        for stage, rule, verdicts, cover, scores, why in tried
    ])  # fmt: skip
    return Trace(found, runner_up, margin, bounded, tuple(carriers))


def _bytes(mask: int) -> bytes:
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")


def _mask(data: bytes) -> int:
    return int.from_bytes(data, "little")


def story(plan: CompiledPlan, nodes: Sequence[str], decision: Decision) -> Story:
    """Return a decision's trace in words; `nodes` are the names by number, as they were then."""
    rules = {(stage.seq, rule.seq): rule for stage in plan.stages for rule in stage.rules}
    tried = tuple(
        [_attempt(one, rules[one.stage, one.rule], nodes) for one in decision.trace.tried]
    )
    decided = rules.get((decision.stage, decision.rule))
    names = metric_names(decided) if decided else ()
    return Story(
        tried,
        _names(decision.trace.runner_up, nodes),
        tuple(zip(names, decision.trace.margin, strict=False)),
        decision.trace.bounded,
        tuple([(nodes[no], why) for no, why in decision.trace.carriers]),
    )


def _attempt(one: Tried, rule: SourcingRule, nodes: Sequence[str]) -> Attempt:
    left, steps = (1 << len(nodes)) - 1, []
    for number, mask in one.verdicts:
        dropped = _names(bits(left & ~mask), nodes)
        steps.append(Step(filter_name(rule, number), dropped, mask.bit_count()))
        left = mask
    names = metric_names(rule)
    scores = tuple(
        [
            Score(_names(bits(mask), nodes), tuple(zip(names, score, strict=True)))
            for mask, score in one.scores
        ]
    )
    return Attempt(
        one.stage, one.rule, rule.name, tuple(steps), _names(bits(one.cover), nodes), scores,
        one.why,
    )  # fmt: skip


def filter_name(rule: SourcingRule, number: int) -> str:
    """Return what a filter of a trace is called: a rule's own with its operator and value."""
    if number < RULE_FILTER:
        return FILTERS[number]
    one = rule.filters[number - RULE_FILTER]
    return f"{one.field} {one.op} {_written(one.value)}"


def _written(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def metric_names(rule: SourcingRule) -> tuple[str, ...]:
    """Return what the numbers of a rule's scores are, in their order."""
    if rule.weighted:
        return ("weighted",)
    return tuple([one.metric for one in rule.scorers if one.metric != "parcels"])


def _names(numbers: Sequence[int], nodes: Sequence[str]) -> tuple[str, ...]:
    return tuple([nodes[no] for no in numbers])
