"""Documents written by people, in YAML or JSON, that know where each of their values stands.

YAML is read as what it looks like: `no` is a text and `007` as well, the scalars of JSON are what
they are in JSON, and all else is text. Anchors, aliases, tags and further documents are refused,
so that a short file is a short document.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any, Final, Literal, NamedTuple

import orjson
import yaml

from engine.kernel import codec
from engine.kernel.limits import BODY_BYTES_MAX

DEPTH_MAX: Final = 24
NODES_MAX: Final = 20_000
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BREAK: Final = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_INT: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_FLOAT: Final = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+]?[0-9]+)?")
_WORDS: Final[Mapping[str, object]] = {
    "": None, "~": None, "null": None, "true": True, "false": False,
}  # fmt: skip
_JSON: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_JOINED: Final = re.compile(r"\\(?:\r\n|[\n\r])[ \t]*")  # a line that goes on in the next one
_ESCAPES: Final = {"x": 4, "u": 6, "U": 10}


class Place(NamedTuple):
    """Line and column, from 1, in characters."""

    line: int
    column: int


class Malformed(Exception):
    """It is no document of this kind at all."""

    def __init__(self, place: Place, detail: str) -> None:
        """Take where, and what."""
        self.place, self.detail = place, detail
        super().__init__(f"{place.line}:{place.column}: {detail}")


class Scalar(NamedTuple):
    """Where a value is written: from `start` to `end` of the text, in which style of YAML."""

    start: int
    end: int
    style: str


class Located:
    """A document and the places of its values, by JSON pointer."""

    def __init__(self, text: str) -> None:
        """Take the text; `read` fills the rest."""
        self.text: Final = text
        self.value: Any = None
        self._starts = [0, *(found.end() for found in _BREAK.finditer(text))]
        self._places: dict[str, int] = {}
        self._scalars: dict[str, Scalar] = {}

    def mark(self, pointer: str, start: int) -> None:
        """Note where a value, or the name of a member, begins."""
        self._places.setdefault(pointer, start)

    def write(self, pointer: str, scalar: Scalar) -> None:
        """Note how a text is written."""
        self._scalars[pointer] = scalar

    def index(self, line: int, column: int) -> int:
        """Return the character of a line and column, both from 0."""
        if line >= len(self._starts):
            return len(self.text)
        return min(self._starts[line] + column, len(self.text))

    def place(self, pointer: str) -> Place:
        """Return where a value stands; of one that is missing, what it is missing in."""
        while pointer and pointer not in self._places:
            pointer = pointer.rpartition("/")[0]
        return self.at(self._places.get(pointer, 0))

    def inside(self, pointer: str, line: int, column: int) -> Place:
        """Return where a place of a text stands: its line and column, from 1, in the value."""
        scalar = self._scalars.get(pointer)
        if scalar is None:
            return self.place(pointer)
        value = self._value(pointer)
        lines = list(accumulate((len(one) + 1 for one in value.split("\n")), initial=0))
        at = lines[min(line, len(lines)) - 1] + column - 1
        origins = _origins(self.text, scalar, value)
        return self.at(origins[at] if at < len(origins) else _last(origins, scalar))

    def _value(self, pointer: str) -> str:
        found = self.value
        for step in pointer.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            found = found[int(name)] if isinstance(found, list) else found[name]
        return str(found)

    def at(self, index: int) -> Place:
        """Return the place of a character."""
        low, high = 0, len(self._starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._starts[middle] <= index else (low, middle)
        return Place(low + 1, index - self._starts[low] + 1)


def _last(origins: list[int], scalar: Scalar) -> int:
    """Return where a text has just ended."""
    return origins[-1] + 1 if origins else scalar.start


def _origins(text: str, scalar: Scalar, value: str) -> list[int]:
    """Return where each character of a value is written.

    Lines may be folded and indented and characters escaped: what the value has not is passed over.
    """
    at, found = scalar.start, []
    if scalar.style in {"|", ">"}:
        at = text.find("\n", at) + 1
    elif scalar.style:
        at += 1
    for char in value:
        while at < scalar.end and not _writes(text, at, scalar.style, char):
            joined = _JOINED.match(text, at) if scalar.style == '"' else None
            at = joined.end() if joined else at + 1
        found.append(min(at, scalar.end))
        at += _width(text, at, scalar.style)
    return found


def _writes(text: str, at: int, style: str, char: str) -> bool:
    here = text[at]
    if style == '"' and here == "\\":
        return text[at + 1 : at + 2] not in {"\n", "\r"}
    return here == char or (char in " \n" and here in "\r\n")


def _width(text: str, at: int, style: str) -> int:
    """Return by how many characters one character of a value is written."""
    if style == '"' and text[at : at + 1] == "\\":
        width = _ESCAPES.get(text[at + 1 : at + 2], 2)
        pair = text[at + 2 : at + 4].lower() in {"d8", "d9", "da", "db"}
        return 2 * width if width == _ESCAPES["u"] and pair else width
    return 2 if style == "'" and text[at : at + 2] == "''" else 1


class _Step(NamedTuple):
    """A step through a document: a map, a list or a scalar begins, or the last one ends.

    `name` is a scalar as written: what it is called if it is the name of a member.
    """

    kind: Literal["map", "list", "scalar", "end"]
    at: int
    end: int = 0
    value: Any = None
    name: str = ""
    style: str = ""


def read(text: str) -> Located:
    """Read JSON if the text begins as an object of it does, otherwise YAML.

    Raises:
        Malformed: it is neither, or larger than documents are; a member that is given twice.
    """
    found = Located(text)
    try:
        size = len(text.encode())
    except UnicodeEncodeError as failure:
        raise Malformed(found.at(failure.start), "half a surrogate pair is no text") from failure
    if size > BODY_BYTES_MAX:
        raise Malformed(Place(1, 1), f"has more than {BODY_BYTES_MAX} bytes")
    _build(found, _json(found) if text.lstrip().startswith("{") else _yaml(found))
    return found


class _Frame:
    """A map or list that has begun; `key` is the member whose value comes next."""

    __slots__ = ("key", "pointer", "value")

    def __init__(self, value: dict[str, Any] | list[Any], pointer: str | None) -> None:
        self.value, self.pointer = value, pointer
        self.key: str | None = None


def _build(found: Located, steps: Iterator[_Step]) -> None:
    root: list[Any] = []
    stack = [_Frame(root, None)]  # what holds the whole has no pointer
    for number, step in enumerate(steps):
        if number > NODES_MAX or len(stack) > DEPTH_MAX:
            at_most = f"at most {NODES_MAX} values, {DEPTH_MAX} levels deep"
            raise Malformed(found.at(step.at), at_most)
        top = stack[-1]
        if step.kind == "end":
            stack.pop()
        elif isinstance(top.value, dict) and top.key is None:
            _name(found, top, step)
        else:
            frame = _put(found, top, step)
            if step.kind != "scalar":
                stack.append(frame)
    found.value = root[0] if root else None


def _name(found: Located, top: _Frame, step: _Step) -> None:
    """Take the name of a member."""
    if step.kind != "scalar":
        raise Malformed(found.at(step.at), "the name of a member is a text")
    if step.name in top.value:
        raise Malformed(found.at(step.at), f"{step.name} is given twice")
    top.key = step.name
    found.mark(f"{top.pointer}/{codec.escape(step.name)}", step.at)


def _put(found: Located, top: _Frame, step: _Step) -> _Frame:
    """Put a value where it belongs; return it as what may hold others."""
    value: Any = {"map": {}, "list": []}.get(step.kind, step.value)
    pointer = top.pointer or ""
    if isinstance(top.value, dict):
        assert top.key is not None, "a value comes after its name"
        pointer = f"{pointer}/{codec.escape(top.key)}"
        top.value[top.key] = value
        top.key = None
    else:
        if top.pointer is not None:
            pointer = f"{pointer}/{len(top.value)}"
        top.value.append(value)
    found.mark(pointer, step.at)
    if step.kind == "scalar":
        found.write(pointer, Scalar(step.at, step.end, step.style))
    return _Frame(value, pointer)


def _yaml(found: Located) -> Iterator[_Step]:
    try:
        yield from _steps(found, yaml.parse(found.text, Loader=_LOADER))
    except yaml.MarkedYAMLError as failure:
        mark = failure.problem_mark or failure.context_mark
        place = found.at(found.index(mark.line, mark.column)) if mark else Place(1, 1)
        raise Malformed(place, failure.problem or "is not YAML") from failure
    except yaml.reader.ReaderError as failure:
        place = found.at(_character(found.text, failure.position))
        raise Malformed(place, "has a character that YAML has not") from failure


def _character(text: str, position: int) -> int:
    """Return which character it was; libyaml counts bytes."""
    if _LOADER is yaml.SafeLoader:
        return position
    return len(text.encode()[:position].decode(errors="ignore"))


def _steps(found: Located, events: Iterable[Any]) -> Iterator[_Step]:
    documents = 0
    for event in events:
        at = found.index(event.start_mark.line, event.start_mark.column)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise Malformed(found.at(at), "a file has one document")
        if isinstance(event, yaml.NodeEvent):
            _plain(found, event, at)
        if isinstance(event, yaml.ScalarEvent):
            end = found.index(event.end_mark.line, event.end_mark.column)  # type: ignore[union-attr]
            style = event.style or ""
            value = event.value if style else _scalar(event.value)
            yield _Step("scalar", at, end, value, event.value, style)
        elif isinstance(event, yaml.CollectionStartEvent):
            yield _Step("map" if isinstance(event, yaml.MappingStartEvent) else "list", at)
        elif isinstance(event, yaml.CollectionEndEvent):
            yield _Step("end", at)


def _plain(found: Located, event: yaml.NodeEvent, at: int) -> None:
    """Refuse what would make a short file a long document, or values of other types."""
    if isinstance(event, yaml.AliasEvent) or event.anchor:
        raise Malformed(found.at(at), "anchors and aliases are not read: write it again")
    if getattr(event, "tag", None):
        raise Malformed(found.at(at), "tags are not read: write a text, a number, true or false")


def _scalar(text: str) -> object:
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _json(found: Located) -> Iterator[_Step]:
    try:
        orjson.loads(found.text)
    except orjson.JSONDecodeError as failure:
        told = str(failure).partition(": line ")[0]
        raise Malformed(found.at(failure.pos), f"is not JSON: {told}") from failure
    for token in _JSON.finditer(found.text):
        text, at = token[0], token.start()
        if text in "{[":
            yield _Step("map" if text == "{" else "list", at)
        elif text in "]}":
            yield _Step("end", at)
        elif text not in ":,":
            value, quoted = orjson.loads(text), text.startswith('"')
            yield _Step("scalar", at, token.end(), value, str(value), '"' if quoted else "")
