"""Rules as written to rules that judge."""

from engine.kernel.errors import ValidationFailed
from engine.kernel.expressions.judging import InvalidConditions, compile_conditions
from engine.kernel.types import Fault
from engine.review.rules.facts import REVIEW_SCHEMA
from engine.review.types.documents import ReviewFields
from engine.review.types.judging import Rules


def compile_rules(fields: ReviewFields, version: int) -> Rules:
    """Check rules and make them judge.

    Raises:
        ValidationFailed: with all that is wrong; of a condition with line and column in its text.
        NotInstalled: the library that checks conditions is missing.
    """
    faults: list[Fault] = []
    seen: set[str] = set()
    for n, one in enumerate(fields.rules):
        if one.name in seen:
            faults.append(Fault(f"/rules/{n}/name", "is given twice"))
        seen.add(one.name)
        if one.do == "block" and not one.reason.strip():
            faults.append(Fault(f"/rules/{n}/reason", "is required: whoever looks must see why"))
        if one.do == "approve" and one.hold_minutes:
            faults.append(Fault(f"/rules/{n}/hold_minutes", "is for rules that block"))
    judge = None
    try:
        if fields.rules:
            judge = compile_conditions([one.when for one in fields.rules], REVIEW_SCHEMA)
    except InvalidConditions as invalid:
        faults += [
            Fault(f"/rules/{n}/when", f"{mistake.line}:{mistake.column}: {mistake.detail}")
            for n, mistake in invalid.mistakes
        ]
    if faults:
        raise ValidationFailed(faults, "these rules cannot be kept")
    return Rules(version, tuple(fields.rules), judge)
