"""From which status a version of a plan may come into which; pure."""

from collections.abc import Mapping
from typing import Final

from engine.kernel.errors import InConflict
from engine.routing.types.answers import Status

SHADOWS_MAX: Final = 4  # each decides what the active one does, so each costs as much

# A version that was archived may come back: on the night of a sale that is the way out.
_FROM: Final[Mapping[Status, frozenset[Status]]] = {
    "ACTIVE": frozenset({"DRAFT", "SHADOW", "ARCHIVED"}),
    "SHADOW": frozenset({"DRAFT", "ARCHIVED"}),
    "ARCHIVED": frozenset({"DRAFT", "SHADOW", "ACTIVE"}),
}


def moves(before: Status, after: Status) -> bool:
    """Whether a version is to be moved; False if it stands there already.

    Raises:
        InConflict: it may not be moved there from where it stands.
    """
    if before == after:
        return False
    if before not in _FROM[after]:
        raise InConflict(
            f"a version that is {before} cannot become {after}: activate another, or archive it",
            state=before,
        )
    return True


def require_room(shadows: int) -> None:
    """Refuse one more plan in the shadow of the active one.

    Raises:
        InConflict: there are as many as may be.
    """
    if shadows >= SHADOWS_MAX:
        raise InConflict(f"at most {SHADOWS_MAX} plans are SHADOW at a time: archive one")
