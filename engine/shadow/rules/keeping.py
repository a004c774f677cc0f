"""Which of the facts that a file tells are kept beside those that are there.

What is told is a set of facts: the same again changes nothing, and of an order's line the newest
version counts, whatever came first. Two that say different things of the same cannot both be kept.
"""

from collections.abc import Iterable, Mapping
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from engine.physical.rules.lines import LineFault

Fact = TypeVar("Fact")
Key: TypeAlias = "tuple[object, ...]"


class Candidate(NamedTuple, Generic[Fact]):
    """A fact of a file's line, its key, and its version ("" where facts have none)."""

    n: int
    key: Key
    version: str
    fact: Fact


class Sorted(NamedTuple, Generic[Fact]):
    """What is to be written, by key, and what becomes of all rows."""

    write: dict[Key, Fact]
    counts: dict[str, int]
    faults: list[LineFault]


def rank(version: str) -> tuple[int, int, bytes]:
    """Return what versions are compared by: digits as a number, any other byte by byte."""
    if version.isascii() and version.isdecimal():
        return 1, int(version), b""
    return (2 if version else 0), 0, version.encode()


def sort(told: Iterable[Candidate[Fact]], there: Mapping[Key, tuple[str, Fact]]) -> Sorted[Fact]:
    """Decide over the facts of a file, in its order, beside what is there by key."""
    known = dict(there)
    found: Sorted[Fact] = Sorted({}, {"created": 0, "updated": 0, "unchanged": 0, "stale": 0}, [])
    for n, key, version, fact in told:
        before = known.get(key)
        if before is None:
            word = "created"
        elif before[1] == fact:
            word = "unchanged"
        elif rank(before[0]) < rank(version):
            word = "updated"
        elif rank(before[0]) > rank(version):
            word = "stale"
        else:
            again = f" at version {version}" if version else ""
            told_before = f"was told before with other contents{again}"
            found.faults.append(LineFault(n, "", told_before))
            continue
        found.counts[word] += 1
        if word in {"created", "updated"}:
            known[key] = version, fact
            found.write[key] = fact
    return found
