"""Which events an endpoint wants: `order.paid`, `order.*`, `*`; pure."""

import re
from collections.abc import Sequence
from typing import Final

ALL: Final = "*"


def pattern(text: str) -> str:
    """Return a filter as LIKE has it."""
    escaped = text.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
    return escaped[:-1] + "%" if text.endswith(ALL) else escaped


def patterns(types: Sequence[str]) -> list[str]:
    """Return filters as LIKE has them; none is all."""
    return sorted({pattern(one) for one in types or [ALL]})


def matches(types: Sequence[str], name: str) -> bool:
    """Tell whether an event is wanted; says of a type what its pattern says of a row."""
    return any(
        name.startswith(one[:-1]) if one.endswith(ALL) else name == one for one in types or [ALL]
    )


def fault(text: str, known: Sequence[str]) -> str:
    """Return what is wrong with a filter; "" where it lets something through."""
    if not re.fullmatch(r"\*|[a-z_.]+(\.\*)?", text):
        return "must be a type of event, or one's beginning with .* behind it"
    if not any(matches([text], name) for name in known):
        return f"no event is called so; there are {', '.join(known)}"
    return ""
