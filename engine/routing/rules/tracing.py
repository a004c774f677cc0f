"""A decision's trace: as bytes for its record, and in words for who asks why.

Nodes and services are numbers in the record; what they are called is kept once for all decisions
that see the same ones (`Kept.names`). The names of filters and metrics come from the plan's version
that decided. A set of nodes is an integer, or bytes where there are more nodes than an integer of
msgpack has bits.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from engine.routing.rules.candidates import bits
from engine.routing.types.core import (
    FILTERS,
    RULE_FILTER,
    CompiledPlan,
    Decision,
    Part,
    SourcingRule,
    Trace,
    Tried,
)

_FORM: Final = b"\x02"
_FORMER: Final = b"\x93"  # began with its list: [parts, rest, trace], and named nobody
_WIDE: Final = 64
_Mask = int | bytes
Seqs = tuple[int, int]  # those of a stage and of its rule
_NO_RULE: Final = SourcingRule(0, "")


class Kept(NamedTuple):
    """What a decision's record has; `names` is what its numbers are called by, 0 where none was."""

    names: int
    parts: tuple[Part, ...]
    rest: tuple[tuple[int, int], ...]
    trace: Trace


class _Tried(NamedTuple):
    stage: int
    rule: int
    verdicts: tuple[tuple[int, _Mask], ...]
    cover: _Mask
    scores: tuple[tuple[_Mask, tuple[int, ...]], ...]
    why: str


class _Trace(NamedTuple):
    tried: tuple[_Tried, ...]
    runner_up: tuple[int, ...]
    margin: tuple[int, ...]
    bounded: bool
    carriers: tuple[tuple[int, str], ...]


_Parts = tuple[Part, ...]
_Rest = tuple[tuple[int, int], ...]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, _Parts, _Rest, _Trace]).decode
_decode_former = msgspec.msgpack.Decoder(tuple[_Parts, _Rest, _Trace]).decode


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
    """One rule that was tried; `left` are those that no filter dropped, `cover` have everything."""

    stage: int
    rule: int
    name: str
    steps: tuple[Step, ...]
    left: tuple[str, ...]
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


def names_of(nodes: Sequence[str], services: Sequence[str]) -> int:
    """Return what stands for these names in their order, never 0."""
    text = msgspec.msgpack.encode((nodes, services))
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 1 or 1


def packed(decision: Decision, names: int, nodes: int) -> bytes:
    """Return what is kept of a decision, as bytes; `nodes` is how many its snapshot has."""
    trace: Trace | _Trace = decision.trace
    if nodes > _WIDE:
        trace = _Trace(tuple([_wide(one) for one in decision.trace.tried]), *decision.trace[1:])
    return _FORM + _encode((names, decision.parts, decision.rest, trace))


def unpacked(data: bytes) -> Kept:
    """Return what these bytes keep; raises `msgspec.DecodeError` if they are none of a record."""
    form = data[:1]
    if form == _FORM:
        names, parts, rest, trace = _decode(data[1:])
    elif form == _FORMER:
        names = 0
        parts, rest, trace = _decode_former(data)
    else:
        raise msgspec.DecodeError(f"a trace of form {form.hex()}")
    tried = tuple(
        [
            Tried(
                one.stage, one.rule, tuple([(no, _mask(mask)) for no, mask in one.verdicts]),
                _mask(one.cover), tuple([(_mask(mask), score) for mask, score in one.scores]),
                one.why,
            )
            for one in trace.tried
        ]
    )  # fmt: skip
    return Kept(names, parts, rest, Trace(tried, *trace[1:]))


def _wide(one: Tried) -> _Tried:
    return _Tried(
        one.stage, one.rule, tuple([(no, _bytes(mask)) for no, mask in one.verdicts]),
        _bytes(one.cover), tuple([(_bytes(mask), score) for mask, score in one.scores]), one.why,
    )  # fmt: skip


def _bytes(mask: int) -> bytes:
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")


def _mask(kept: _Mask) -> int:
    return kept if isinstance(kept, int) else int.from_bytes(kept, "little")


def by_seq(plan: CompiledPlan) -> dict[Seqs, SourcingRule]:
    """Return a plan's rules by what a decision calls them."""
    return {(stage.seq, rule.seq): rule for stage in plan.stages for rule in stage.rules}


def story(plan: CompiledPlan, nodes: Sequence[str], decision: Decision) -> Story:
    """Return a decision's trace in words; `nodes` are the names by number, as they were then."""
    return told(by_seq(plan), nodes, decision.trace, (decision.stage, decision.rule))


def told(
    rules: Mapping[Seqs, SourcingRule], nodes: Sequence[str], trace: Trace, decided: Seqs
) -> Story:
    """Return a trace in words; what a rule that is not known any more asked for has numbers."""
    names = metric_names(rules.get(decided, _NO_RULE))
    return Story(
        tuple([_attempt(one, rules.get((one.stage, one.rule), _NO_RULE), nodes)
               for one in trace.tried]),
        _names(trace.runner_up, nodes),
        _named(names, trace.margin),
        trace.bounded,
        tuple([(nodes[no], why) for no, why in trace.carriers]),
    )  # fmt: skip


def _attempt(one: Tried, rule: SourcingRule, nodes: Sequence[str]) -> Attempt:
    left, steps = (1 << len(nodes)) - 1, []
    for number, mask in one.verdicts:
        dropped = _names(bits(left & ~mask), nodes)
        steps.append(Step(filter_name(rule, number), dropped, mask.bit_count()))
        left = mask
    names = metric_names(rule)
    scores = tuple(
        [Score(_names(bits(mask), nodes), _named(names, score)) for mask, score in one.scores]
    )
    return Attempt(
        one.stage, one.rule, rule.name, tuple(steps), _names(bits(left), nodes),
        _names(bits(one.cover), nodes), scores, one.why,
    )  # fmt: skip


def filter_name(rule: SourcingRule, number: int) -> str:
    """Return what a filter of a trace is called: a rule's own with its operator and value."""
    if number < RULE_FILTER:
        return FILTERS[number]
    if number - RULE_FILTER >= len(rule.filters):
        return f"filter {number - RULE_FILTER + 1}"
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


def _named(names: Sequence[str], score: Sequence[int]) -> tuple[tuple[str, int], ...]:
    known = names if len(names) == len(score) else [f"score {n + 1}" for n in range(len(score))]
    return tuple(zip(known, score, strict=True))


def _names(numbers: Sequence[int], nodes: Sequence[str]) -> tuple[str, ...]:
    return tuple([nodes[no] for no in numbers])
