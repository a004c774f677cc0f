"""Every way a call may be refused: one type, one code, one HTTP status.

`retryable` is one fact with two edges: HTTP answers with `Retry-After`, a consumer retries instead
of writing a dead letter.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from engine.kernel.types import Fault


class EngineError(Exception):
    """The engine refused; nothing was changed unless the subclass says otherwise.

    `extra` goes into the problem document beside `code` and `detail`; it holds only plain values.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str = "", **extra: object) -> None:
        """Take what to tell the caller; without a detail the docstring's first line is told."""
        self.detail = detail or (self.__doc__ or self.code).splitlines()[0]
        self.extra: Mapping[str, object] = extra
        super().__init__(self.detail)


class ValidationFailed(EngineError):
    """The request is not of the documented shape."""

    code, status = "validation_failed", 400

    def __init__(self, faults: Sequence[Fault], detail: str = "the request is not valid") -> None:
        """Take one fault per field: a JSON pointer and what is accepted there."""
        self.faults = tuple(faults)
        super().__init__(
            detail, errors=[{"pointer": f.pointer, "detail": f.detail} for f in faults]
        )


class Unauthorised(EngineError):
    """A valid key is needed: Authorization: Bearer <key>."""

    code, status = "unauthorised", 401


class Forbidden(EngineError):
    """This key may not do that."""

    code, status = "forbidden", 403


class NotFound(EngineError):
    """There is nothing of that name."""

    code, status = "not_found", 404


class MethodNotAllowed(EngineError):
    """This path does not answer that method."""

    code, status = "method_not_allowed", 405


class PayloadTooLarge(EngineError):
    """The body is larger than the bound of this call."""

    code, status = "payload_too_large", 413


class UnsupportedMediaType(EngineError):
    """The body must be application/json."""

    code, status = "unsupported_media_type", 415


class PreconditionRequired(EngineError):
    """It has started: send If-Match with the ETag you read."""

    code, status = "precondition_required", 428


class PreconditionFailed(EngineError):
    """It was changed since you read it: read it again and repeat your change."""

    code, status = "precondition_failed", 412


class InConflict(EngineError):
    """What was asked does not fit what is already there."""

    code, status = "conflict", 409


class Immutable(EngineError):
    """What has taken effect is not changed any more: make a new version of it."""

    code, status = "immutable", 409


class WrongCall(EngineError):
    """This channel's orders come by another call."""

    code, status = "wrong_call", 422


class PlanInvalid(EngineError):
    """The routing plan cannot be used: `errors` say where and why."""

    code, status = "plan_invalid", 422


class LacksLibrary(EngineError):
    """This server lacks a library that the call needs."""

    code, status = "not_installed", 501


class IdempotencyConflict(EngineError):
    """Something with this id came before and says something else."""

    code, status = "idempotency_conflict", 422


class UnknownSku(EngineError):
    """A line's SKU is not on sale here; nothing was taken."""

    code, status = "unknown_sku", 422


class SoldOut(EngineError):
    """A line has fewer sellable units than asked; nothing was taken."""

    code, status = "sold_out", 409


class LimitReached(EngineError):
    """The buyer's limit would be passed; nothing was taken."""

    code, status = "limit_reached", 409


class NotStarted(EngineError):
    """The campaign has not started; nothing was taken."""

    code, status = "not_started", 409


class Ended(EngineError):
    """The campaign has ended; nothing was taken."""

    code, status = "ended", 409


class TicketNeeded(EngineError):
    """This campaign has a waiting room, and it is not this buyer's turn; nothing was taken."""

    code, status = "ticket_needed", 409


class Paused(EngineError):
    """Sale is paused; nothing was taken."""

    code, status = "paused", 409


class WrongAmount(EngineError):
    """The payment is not what the order asks for; it was not booked."""

    code, status = "wrong_amount", 422


class NotCancellable(EngineError):
    """The order can no longer be cancelled."""

    code, status = "not_cancellable", 409


class NotChangeable(EngineError):
    """The order's address can no longer be changed."""

    code, status = "not_changeable", 409


class WrongCode(EngineError):
    """This is not the code, or it is not valid any more."""

    code, status = "wrong_code", 422


class AlreadyRedeemed(EngineError):
    """The goods were handed out for this code before."""

    code, status = "already_redeemed", 409


class RateLimited(EngineError):
    """Too many requests; try again after the time in Retry-After."""

    code, status, retryable = "rate_limited", 429, True

    def __init__(self, detail: str = "", retry_after_s: int = 1) -> None:
        """Take when there is room again."""
        super().__init__(detail)
        self.retry_after_s = max(retry_after_s, 1)


class DeadlinePassed(EngineError):
    """It waited for longer than its client does; nothing was taken."""

    code, status, retryable = "deadline_passed", 503, True


class Overloaded(EngineError):
    """A bound was reached; try again after the time in Retry-After."""

    code, status, retryable = "overloaded", 503, True


class Closed(EngineError):
    """The cell is closed until it is certain again; try again after the time in Retry-After."""

    code, status, retryable = "closed", 503, True


class OutcomeUnknown(EngineError):
    """The answer was lost: send the same request again, it will be done at most once."""

    code, status, retryable = "outcome_unknown", 503, True


class Misconfigured(Exception):
    """The process must not start: the message says what to set."""


class NotInstalled(Misconfigured):
    """A library that this command or role needs is not there: the message names it."""
