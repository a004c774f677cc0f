"""Logging: one JSON line an event on stderr; never an address, a phone number or a secret."""

import logging
import sys
import traceback
from typing import Any, Final

import orjson
import structlog

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure(level: str, process: str) -> None:
    """Set the process' logging up; called once, before anything is logged."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_serialise),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING, force=True)


def without_words(failure: BaseException | None) -> dict[str, str]:
    """Tell what failed and where, but not its message, which may repeat what a client sent."""
    names, where = [], ""
    while failure is not None:
        state = getattr(failure, "sqlstate", None)  # Postgres' own word for what happened
        names.append(type(failure).__name__ + (f" {state}" if state else ""))
        where = "".join(traceback.format_tb(failure.__traceback__)) + where
        failure = failure.__cause__ or failure.__context__
    return {"error": ", from ".join(names), "where": where} if names else {}


class _Libraries(logging.Handler):
    """Puts what a library warns of into our log: its first line, without what was filled in."""

    def emit(self, record: logging.LogRecord) -> None:
        told = str(record.msg).partition("\n")[0]
        failure = record.exc_info[1] if record.exc_info else None
        level = min(record.levelno, logging.ERROR)
        log = structlog.get_logger(record.name)
        log.log(level, "library", logger=record.name, told=told, **without_words(failure))


def _serialise(event: Any, **_options: Any) -> bytes:
    return orjson.dumps(event, default=str)
