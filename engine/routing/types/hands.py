"""What is decided of an order's routing beside its plan."""

from typing import NamedTuple


class Hand(NamedTuple):
    """By hand, or until somebody looks at it.

    `hold` is why it waits in MANUAL, `node` from where all of it is to be sent, "" if that is not
    decided. `hops` is how many shipments of it nodes refused since somebody last had it tried.
    """

    hold: str = ""
    node: str = ""
    hops: int = 0
