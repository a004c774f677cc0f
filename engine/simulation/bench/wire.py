"""Where one HTTP answer ends and the next begins: just enough of HTTP for answers with a length."""

import re
from typing import Final, NamedTuple

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Unreadable(ValueError):
    """An answer without a length, or none at all."""


class Place(NamedTuple):
    """One answer inside the bytes that were read: its body is `[body:end]`."""

    status: int
    body: int
    end: int


def answer(data: bytes, begin: int = 0) -> Place | None:
    """Return the answer that begins there; None while it is not whole.

    Raises:
        Unreadable: it never will be.
    """
    head_end = data.find(_HEAD_END, begin)
    if head_end < 0:
        return None
    length = _LENGTH.search(data, begin, head_end + 2)
    if length is None or not data.startswith(b"HTTP/1.1 ", begin):
        raise Unreadable(data[begin : begin + 40])
    body = head_end + 4
    end = body + int(length[1])
    if len(data) < end:
        return None
    return Place(int(data[begin + 9 : begin + 12]), body, end)
