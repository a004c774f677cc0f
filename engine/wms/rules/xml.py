"""XML of strangers to elements, and values to XML: UTF-8, bounded, without entities of its own."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from engine.kernel import codec
from engine.kernel.limits import BODY_BYTES_MAX, XML_DEPTH_MAX, XML_ELEMENTS_MAX

# What XML 1.0 cannot hold, not even escaped.
_NEVER: Final = {c: None for c in range(32) if c not in {9, 10, 13}} | {0xFFFE: None, 0xFFFF: None}
_ESCAPED: Final = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", **_NEVER}
_HEAD: Final = '<?xml version="1.0" encoding="utf-8"?>'

Content: TypeAlias = "str | Sequence[tuple[str, Content]]"


class Element:
    """One element: its text, and its children by name; attributes and namespaces are not kept."""

    __slots__ = ("children", "name", "parts")

    def __init__(self, name: str) -> None:
        self.name = name
        self.parts: list[str] = []
        self.children: list[Element] = []

    def all(self, path: str) -> "list[Element]":
        """Return the elements at a path like `packages/package`, in their order."""
        found = [self]
        for step in path.split("/"):
            found = [child for one in found for child in one.children if child.name == step]
        return found

    def first(self, path: str) -> str | None:
        """Return the text of the first element at a path, stripped; None: there is none."""
        found = self.all(path)
        return "".join(found[0].parts).strip() if found else None


class _Builder:
    """What the parser tells, as elements; it ends the parsing where there is too much of it."""

    def __init__(self) -> None:
        self._stack: list[Element] = []
        self._seen = 0
        self.root: Element | None = None

    def start(self, tag: str, _attributes: Mapping[str, str]) -> None:
        self._seen += 1
        if len(self._stack) >= XML_DEPTH_MAX or self._seen > XML_ELEMENTS_MAX:
            codec.refuse("", f"at most {XML_ELEMENTS_MAX} elements, {XML_DEPTH_MAX} levels deep")
        one = Element(tag.rpartition("}")[2])
        if self._stack:
            self._stack[-1].children.append(one)
        else:
            self.root = one
        self._stack.append(one)

    def end(self, _tag: str) -> None:
        self._stack.pop()

    def data(self, text: str) -> None:
        self._stack[-1].parts.append(text)

    def close(self) -> Element | None:
        return self.root


def parse(body: bytes, root: str) -> Element:
    """Return the document's element, which is to have the name `root`.

    Raises:
        ValidationFailed: it is too large, not XML in UTF-8, of another name, or declares entities
            or a document type.
    """
    if len(body) > BODY_BYTES_MAX:
        codec.refuse("", f"at most {BODY_BYTES_MAX} bytes")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as failure:
        codec.refuse("", "must be XML in UTF-8", failure)
    if "\x00" in text:  # nor is it UTF-16, which the parser would find out by itself
        codec.refuse("", "must not contain U+0000")
    builder = _Builder()
    parser: Any = DefusedXMLParser(target=builder, encoding="utf-8", forbid_dtd=True)
    try:
        parser.feed(body)
        parser.close()
    except DefusedXmlException as refused:
        codec.refuse("", "must not declare a document type or entities", refused)
    except (ParseError, ValueError) as failure:
        codec.refuse("", "must be XML in UTF-8", failure)
    if builder.root is None or builder.root.name != root:
        codec.refuse("", f"must be a <{root}>")
    return builder.root


def render(name: str, content: Content) -> bytes:
    """Return a document; characters that XML cannot hold are left out."""
    return (_HEAD + "".join(_rendered(name, content))).encode()


def _rendered(name: str, content: Content) -> Iterable[str]:
    yield f"<{name}>"
    if isinstance(content, str):
        yield content.translate(_ESCAPED)
    else:
        for inner, value in content:
            yield from _rendered(inner, value)
    yield f"</{name}>"
