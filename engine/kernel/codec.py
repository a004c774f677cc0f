"""Untrusted bytes to typed values, and values to bytes.

A failure names the field as a JSON pointer. Decoding is strict: `"1"` and `1.0` are not integers,
unknown fields are refused. Of a key given twice the last one counts: to look for it would cost an
order 1.8 us, and every process here decodes in this way, so none takes another value than the rest.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, NoReturn, TypeVar

import msgspec
import orjson

from engine.kernel.clock import rfc3339, to_ms
from engine.kernel.errors import ValidationFailed
from engine.kernel.limits import AMOUNT_MAX, IDENTIFIER_LENGTH_MAX
from engine.kernel.types import Fault

T = TypeVar("T")

Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=IDENTIFIER_LENGTH_MAX)]
Instant = Annotated[datetime, msgspec.Meta(tz=True, description="RFC 3339 with a zone")]
Document = dict[str, Any]

_moment: Final[Any] = Instant
_OPEN_DEPTH_MAX: Final = 16
_OPEN_NODES_MAX: Final = 2_000
_INTEGER_MAX: Final = 2**63 - 1
# Far enough for every sale and near enough that no zone shift leaves what Postgres and Python hold.
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_FAILURE: Final = re.compile(r"^(?P<text>.*?)(?: - at `(?P<at>[^`]*?)`)?$", re.DOTALL)
_KEY_OF: Final = re.compile(r"^(?P<text>.*) - at `key` in `(?P<at>[^`]*)`$", re.DOTALL)
_FIELD: Final = re.compile(r"field `(?P<name>.*)`$", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


class Wire(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Base of everything that comes as JSON: frozen, closed, and no work for the collector.

    A subclass says `frozen=True` again: msgspec inherits it, mypy does not.
    """


class Answer(msgspec.Struct, frozen=True, gc=False):
    """Base of what we answer; open, because a later version may tell more."""


class Money(Wire, frozen=True):
    """An amount in minor units and its currency."""

    amount: Annotated[int, msgspec.Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]
    currency: Annotated[
        str,
        msgspec.Meta(
            min_length=3, max_length=3, extra_json_schema={"pattern": "^[A-Z]{3}$"}
        ),  # a checked pattern costs 0.3 us a field, this method half of it
    ]

    def __post_init__(self) -> None:
        """Refuse what is not three capital letters; msgspec adds the path."""
        text = self.currency
        if not (text.isascii() and text.isalpha() and text.isupper()):
            raise ValueError("Expected three capital letters, as in ISO 4217")


class Decoder(Generic[T]):
    """Decodes one type; made once at import, because building it costs more than using it."""

    def __init__(self, kind: type[T]) -> None:
        self._decode = msgspec.json.Decoder(kind).decode

    def __call__(self, body: bytes, pointer: str = "") -> T:
        """Return the value; `pointer` is where the body stands in a larger document.

        Raises:
            ValidationFailed: with one fault, the first that was met.
        """
        try:
            return self._decode(body)
        except msgspec.ValidationError as failure:
            raise ValidationFailed([_fault(str(failure), pointer)]) from failure
        except UnicodeDecodeError as failure:
            refuse(pointer, "must be UTF-8", failure)
        except msgspec.DecodeError as failure:
            refuse(pointer, f"must be JSON: {failure}", failure)
        except RecursionError as failure:
            refuse(pointer, "must be nested less deeply", failure)


def typed(value: object, kind: type[T]) -> T:
    """Return plain values, as a document has them, as one type.

    Raises:
        ValidationFailed: with one fault, the first that was met.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as failure:
        raise ValidationFailed([_fault(str(failure), "")]) from failure


def refuse(pointer: str, detail: str, cause: BaseException | None = None) -> NoReturn:
    """Raise ValidationFailed for one place."""
    raise ValidationFailed([Fault(pointer, detail)]) from cause


def identifier(text: str, pointer: str) -> str:
    """Return a text that may become part of a key.

    Raises:
        ValidationFailed: empty, too long, or with a control character or half a surrogate pair.
    """
    if not 0 < len(text) <= IDENTIFIER_LENGTH_MAX:
        refuse(pointer, f"must have 1 to {IDENTIFIER_LENGTH_MAX} characters")
    # isprintable is one C loop; it also says no to some that are fine, so look closer only then.
    if not text.isprintable() and any(unicodedata.category(c) in {"Cc", "Cs"} for c in text):
        refuse(pointer, "must not contain control characters")
    return text


def plain_text(text: str, pointer: str, length_max: int) -> str:
    """Return free text as Postgres can keep it: bounded, no NUL, no half surrogate pair."""
    if len(text) > length_max:
        refuse(pointer, f"must have at most {length_max} characters")
    if not text.isprintable() and any(c == "\x00" or "\ud800" <= c <= "\udfff" for c in text):
        refuse(pointer, "must not contain U+0000")
    return text


def storable(body: bytes, extensions: Mapping[str, Any]) -> bytes:
    """Return a body that Postgres can keep as it stands, after checking its open member.

    A number may be spelled with more digits than there is room for (`0.00…01`), and then readers
    differ: a body with fractions in its extensions is spelled anew, as everybody reads it.

    Raises:
        ValidationFailed: `extensions` have what nothing could hold, or the body a U+0000.
    """
    fractions = bool(extensions) and open_document(extensions, "/extensions")
    if b"\\u0000" in body:
        refuse_nul(body)
    return encode(decode_json(body)) if fractions else body


def open_document(value: Mapping[str, Any], pointer: str) -> bool:
    """Check a member that takes anything: bounded; return whether fractions are in it."""
    stack: list[tuple[str, object, int]] = [(pointer, value, 0)]
    seen, fractions = 0, False
    while stack:
        where, one, depth = stack.pop()
        seen += 1
        if seen > _OPEN_NODES_MAX or depth > _OPEN_DEPTH_MAX:
            refuse(pointer, f"at most {_OPEN_NODES_MAX} values, {_OPEN_DEPTH_MAX} levels deep")
        fractions = fractions or isinstance(one, float)
        if isinstance(one, str):
            plain_text(one, where, _INTEGER_MAX)
        elif isinstance(one, int | float) and abs(one) > _INTEGER_MAX:
            # jsonb, where a reader makes it of this, spells 1e308 with 309 digits
            refuse(where, "must fit in 64 bits")
        elif isinstance(one, dict):
            for key, item in one.items():
                plain_text(key, where, IDENTIFIER_LENGTH_MAX)
                stack.append((f"{where}/{escape(key)}", item, depth + 1))
        elif isinstance(one, list):
            stack.extend((f"{where}/{n}", item, depth + 1) for n, item in enumerate(one))
    return fractions


def refuse_nul(body: bytes) -> None:
    """Refuse a JSON body with U+0000 in any text: Postgres cannot keep it.

    Raises:
        ValidationFailed: with the first place where it stands.
    """
    stack: list[tuple[str, object]] = [("", msgspec.json.decode(body))]
    while stack:
        where, one = stack.pop()
        if isinstance(one, str) and "\x00" in one:
            refuse(where, "must not contain U+0000")
        elif isinstance(one, dict):
            stack.extend((f"{where}/{escape(key)}", key) for key in one)
            stack.extend((f"{where}/{escape(key)}", item) for key, item in one.items())
        elif isinstance(one, list):
            stack.extend((f"{where}/{n}", item) for n, item in enumerate(one))


def instant(moment: datetime, pointer: str) -> datetime:
    """Return a moment in UTC; years before 2000 and from 2200 on are refused."""
    if not _EARLIEST <= moment < _LATEST:
        refuse(pointer, "must lie between the years 2000 and 2199")
    return moment.astimezone(UTC)


def moment(told: object) -> datetime | None:
    """Return an instant out of a document that was taken in, None where it tells none to keep.

    Read as a Decoder read it: it takes spellings (`…00z`) that `datetime` would fail on.
    """
    try:
        found = msgspec.convert(told, _moment)
    except msgspec.ValidationError:
        return None
    return found if _EARLIEST <= found < _LATEST else None


def encode(document: object) -> bytes:
    """Return JSON; structs are written by their fields, instants in UTC with milliseconds."""
    return orjson.dumps(document, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME)


def escape(token: str) -> str:
    """Return one step of a JSON pointer (RFC 6901)."""
    return token.replace("~", "~0").replace("/", "~1")


def pointers(faults: Sequence[Fault], prefix: str) -> list[Fault]:
    """Return faults as seen from a document that holds the faulty one at `prefix`."""
    return [Fault(prefix + fault.pointer, fault.detail) for fault in faults]


def _plain(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if isinstance(value, datetime):
        return rfc3339(to_ms(value))
    raise TypeError(f"{type(value).__name__} is not JSON")


def _fault(message: str, prefix: str) -> Fault:
    """Turn `… - at `$.lines[1].quantity`` into a pointer, and name an unknown or missing field."""
    found = _KEY_OF.match(message) or _FAILURE.match(message)
    assert found is not None, "the second pattern takes every text"
    text, at = found["text"], found["at"] or "$"
    # `[...]` is some value of a map: msgspec does not say which, so the pointer ends at the map.
    at, within, _ = at.partition("[...]")
    steps = [escape(name or index) for name, index in _STEP.findall(at)]
    if within:
        return Fault(
            prefix + "".join(f"/{step}" for step in steps), f"in one of its values: {text}"
        )
    if field := _FIELD.search(text):
        steps.append(escape(field["name"][:IDENTIFIER_LENGTH_MAX]))
        text = "is required" if "required" in text else "is not a field here"
    return Fault(prefix + "".join(f"/{step}" for step in steps), text)


def decode_json(text: str | bytes) -> Any:
    """Return plain values of JSON that we wrote ourselves; untrusted bytes go through a Decoder."""
    return orjson.loads(text)


def written(document: object) -> bytes:
    """Return JSON of what a stranger's open members are in.

    Raises:
        ValidationFailed: a number in them is none that JSON is read with everywhere.
    """
    try:
        return encode(document)
    except TypeError as failure:
        refuse("", "whole numbers must fit in 64 bits", failure)


def encode_pretty(document: object) -> bytes:
    """Return JSON for people and for diffs: indented, keys sorted, ending in a newline."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(document, default=_plain, option=options)
