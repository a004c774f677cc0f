"""W3C Trace Context, as far as the engine looks into it: it carries what it is given.

Source: https://www.w3.org/TR/trace-context/ (3.2). `tracestate` is not carried: it may hold much.
"""

import re
from collections.abc import Mapping
from typing import Final

_IDS: Final = r"(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
# Of a version to come more may follow; of this one nothing does.
_TRACEPARENT: Final = re.compile(rf"00-{_IDS}|(?!00|ff)[0-9a-f]{{2}}-{_IDS}(?:-[0-9a-f-]{{0,64}})?")
_SAMPLED: Final = 1


def sane(given: str) -> bool:
    """Tell whether a traceparent is one."""
    return _TRACEPARENT.fullmatch(given) is not None


def of(headers: Mapping[str, str]) -> str:
    """Return the traceparent of a request, "" where it has none or not one that is right."""
    given = headers.get("traceparent")
    return given if given and sane(given) else ""


def sampled(trace: str) -> bool:
    """Tell whether whoever began a trace records it, so that we should, too; `trace` may be ""."""
    return bool(trace) and int(trace[53:55], 16) & _SAMPLED == _SAMPLED


def trace_id(trace: str) -> str:
    """Return the id that all of a trace have in common, for logs."""
    return trace[3:35]
