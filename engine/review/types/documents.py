"""Rules of review as an operator writes them."""

from typing import Annotated, Final, Literal

import msgspec

from engine.kernel import codec
from engine.kernel.limits import EXPRESSION_BYTES_MAX

RULES_MAX: Final = 128
REASON_LENGTH_MAX: Final = 256
HOLD_MINUTES_MAX: Final = 30 * 1_440


class ReviewRule(codec.Wire, frozen=True):
    """An order of which `when` (CEL) holds is approved, or blocked for `reason`.

    What is blocked waits until a person lifts the block or, unless that is 0, for `hold_minutes`.
    """

    name: codec.Identifier
    when: Annotated[str, msgspec.Meta(min_length=1, max_length=EXPRESSION_BYTES_MAX)]
    do: Literal["approve", "block"] = "block"
    reason: Annotated[str, msgspec.Meta(max_length=REASON_LENGTH_MAX)] = ""
    hold_minutes: Annotated[int, msgspec.Meta(ge=0, le=HOLD_MINUTES_MAX)] = 0


class ReviewFields(codec.Wire, frozen=True):
    """Rules, of which the first that holds decides; an order that none holds of is approved.

    A rule that blocks and cannot be evaluated (a division by zero) blocks; one that approves does
    not. What a person let pass is not held by the same rule again.
    """

    rules: Annotated[list[ReviewRule], msgspec.Meta(max_length=RULES_MAX)]


class ReviewView(ReviewFields, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """The rules as they are answered."""

    name: str
    version: int
    updated_at: str
