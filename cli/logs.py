"""Logging to standard error, as lines or as JSON, without secrets and personal data."""

import copy
import logging
import sys

import stamina.instrumentation
import structlog
from opentelemetry import trace

from cli.tracebacks import short_traceback
from contracts.error_text import describe_error, without_quoted

_QUIET = (
    *("httpx", "httpcore", "urllib3"),
    *("alembic", "asyncio", "faststream", "sse_starlette", "uvicorn"),
)
"""They log URLs with API IDs, or the frames of the feed."""
FIELDS = (
    "component",
    "reason",
    "variable",
    "trace_id",
    "sync_id",
    "spreaview_event_id",
    "organization_id",
    "code",
    "events",
    "event_type",
    "position",
    "topic",
    "partition",
    "offset",
    "signal",
)
"""Fields of JSON lines besides `timestamp`, `level`, `logger` and `event`. A line has some of
them. Fields that libraries add are left out."""
_ASYNCIO = "asyncio"
_SILENT = ("aiokafka", "opentelemetry.exporter")
"""They log every attempt while a server is down; we log their errors once."""


def configure_logging(level: str, style: str) -> None:
    """Set up logging for this process; calling it again replaces the set-up."""
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if style == "json":
        shared.append(structlog.stdlib.ExtraAdder(FIELDS))
        shared.append(_add_trace)
        renderer: structlog.types.Processor = structlog.processors.JSONRenderer(default=str)
    else:
        # Its own formatting of exceptions would print local variables.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    formatter = _RedactingFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.ExceptionRenderer(_format_exc_info),
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _QUIET:
        _quieten(name, logging.ERROR)
    for name in _SILENT:
        _quieten(name, logging.CRITICAL)
    stamina.instrumentation.set_on_retry_hooks([])  # our own code logs failures


def _add_trace(_: object, __: str, line: structlog.types.EventDict) -> structlog.types.EventDict:
    """Add the trace of the run or the request that the line belongs to, if there is one."""
    found = trace.get_current_span().get_span_context()
    if found.is_valid:
        line["trace_id"] = trace.format_trace_id(found.trace_id)
    return line


def log_fault() -> None:
    """Log the exception that is being handled, even if logging is not set up yet."""
    handlers = logging.getLogger().handlers
    if not any(isinstance(handler.formatter, _RedactingFormatter) for handler in handlers):
        configure_logging("WARNING", "console")
    logging.getLogger(__name__).critical("ended by an unforeseen fault", exc_info=True)


def _quieten(name: str, level: int) -> None:
    """Have a library's logger write from a level on, and only through our handler.

    FastStream gives its logger a handler of its own when it is imported.
    """
    logger = logging.getLogger(name)
    logger.setLevel(level)
    logger.handlers.clear()
    logger.propagate = True


class _RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Formats the records of every logger; exceptions in them lose the values that they quote."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or lines, of a record; the record itself is not changed."""
        record = copy.copy(record)
        if isinstance(record.args, tuple):
            record.args = tuple(
                describe_error(arg) if isinstance(arg, BaseException) else arg
                for arg in record.args
            )
        if record.name == _ASYNCIO:
            record.msg, record.args = _from_asyncio(record.getMessage()), ()
        return super().format(record)


def _from_asyncio(message: str) -> str:
    """Return the first line, the summary: the other lines show tasks with their exceptions."""
    return without_quoted(message.partition("\n")[0])


def _format_exc_info(exc_info: structlog.typing.ExcInfo) -> str:
    return short_traceback(exc_info[1])
