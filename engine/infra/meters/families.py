"""A metric as it stands: what all kinds become, on a socket and before it is text."""

from typing import Literal

import msgspec

# Of whom the numbers are: `sum` is added up over processes, `process` is told of each, and a `fact`
# is read of the servers and the same whoever reads it.
Scope = Literal["sum", "process", "fact"]
Kind = Literal["counter", "gauge", "histogram", "summary"]
Labels = tuple[str, ...]


class Family(msgspec.Struct, array_like=True):
    """One metric with all its labels.

    Values of a row: a number; of a histogram how many fell into each bucket (the last has no
    bound) and their sum; of a summary how many and their sum.
    """

    name: str
    kind: Kind
    told: str
    labels: Labels
    scope: Scope
    rows: list[tuple[Labels, list[float]]]
    bounds: tuple[float, ...] = ()


class Document(msgspec.Struct, array_like=True):
    """All that one process tells; `life` differs between two lives of one slot."""

    life: str
    families: list[Family]


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Document).decode
