"""Versions of plans as they are kept, and as they are answered."""

from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from engine.kernel import codec
from engine.routing.types.plans import PlacedFault, PlanFields

Status = Literal["DRAFT", "SHADOW", "ACTIVE", "ARCHIVED"]


class PlanVersion(NamedTuple):
    """One version; `fields` is None in lists."""

    plan: str
    version: int
    status: Status
    digest: str
    created_by: str
    created_at: datetime
    updated_at: datetime
    effective_from: datetime | None
    effective_to: datetime | None
    activated_by: str
    activated_at: datetime | None
    fields: PlanFields | None = None


class Checked(NamedTuple):
    """What is to be said of a plan: what is wrong, worth a look, and which examples differ.

    `failed` is (number, name, detail) of examples, from 1; none is decided if anything is wrong.
    """

    errors: tuple[PlacedFault, ...] = ()
    notes: tuple[PlacedFault, ...] = ()
    examples: int = 0
    failed: tuple[tuple[int, str, str], ...] = ()


class VersionView(codec.Answer, frozen=True):
    """A version of a plan without what it says.

    A DRAFT is replaced when the plan is put again; any other version stays as it is. SHADOW decides
    beside the ACTIVE one and binds nothing. `effective_from` to `effective_to` is when it was, or
    was last, ACTIVE.
    """

    plan: str
    version: int
    status: Status
    digest: str
    created_by: str
    created_at: str
    updated_at: str
    effective_from: str | None = None
    effective_to: str | None = None
    activated_by: str = ""
    activated_at: str | None = None


class PlanView(PlanFields, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A version of a plan with all that it says."""

    version: int
    status: Status
    digest: str
    created_by: str
    created_at: str
    updated_at: str
    effective_from: str | None = None
    effective_to: str | None = None
    activated_by: str = ""
    activated_at: str | None = None


class VersionPage(codec.Answer, frozen=True):
    """One page of versions."""

    items: list[VersionView]
    next_cursor: str | None


class PlanNote(codec.Answer, frozen=True):
    """What is wrong or odd: line and column are of the text at `pointer`."""

    pointer: str
    detail: str
    line: int
    column: int


class FailedExample(codec.Answer, frozen=True):
    """An example that came out otherwise than it expects; the first is number 1."""

    example: int
    name: str
    detail: str


class CheckView(codec.Answer, frozen=True):
    """Whether a version may be activated, and what a person should look at."""

    valid: bool
    errors: list[PlanNote] = msgspec.field(default_factory=list)
    notes: list[PlanNote] = msgspec.field(default_factory=list)
    examples: int = 0
    failed: list[FailedExample] = msgspec.field(default_factory=list)
