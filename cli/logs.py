"""Logging: to standard error, as lines for people or as JSON; never a secret."""

import logging
import sys

import stamina.instrumentation
import structlog

_QUIET = ("httpx", "httpcore", "alembic", "asyncio", "faststream", "uvicorn")
"""They log URLs, which hold API IDs."""
_SILENT = ("aiokafka",)
"""It logs every try while a broker is down; what it has to say comes to us as errors."""


def configure_logging(level: str, style: str) -> None:
    """Set up logging for this process; calling it again replaces the set-up."""
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if style == "json":
        ending: list[structlog.types.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    else:
        ending = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    stamina.instrumentation.set_on_retry_hooks([])  # waiting is said once per state, by us
