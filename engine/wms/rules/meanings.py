"""What a warehouse's refusal means, by the words that its node's profile knows."""

from collections.abc import Mapping
from typing import Final

from engine.wms.types import Meaning, Reply

_PERMANENT: Final = frozenset({"invalid", "no_such_order", "too_late", "cancelled"})


def refusal(
    code: str, text: str, codes: Mapping[str, Meaning], *, cancels: bool = False, wms_ref: str = ""
) -> Reply:
    """Return the reply that a refusal stands for.

    What is there already was created, and what is cancelled already is cancelled. Of a code that
    nobody explained it is not known whether asking again would help, so it is asked again. Texts
    are never looked into: "no such address" would be taken for "no such order".
    """
    meaning = codes.get(code, code)
    if meaning == ("cancelled" if cancels else "exists"):
        return Reply("DONE", wms_ref, meaning, text)
    return Reply("REFUSED", wms_ref, meaning, text, permanent=meaning in _PERMANENT)
