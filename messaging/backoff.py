"""Retries with capped exponential backoff and jitter; each change of state is logged once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeVar

import stamina

from contracts.outage_text import describe_outage

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class _Failing:
    """The state of a failing server or part, since the line that reported it."""

    variable: str | None
    """The environment variable that the last logged reason named."""
    operations: set[Hashable] = field(default_factory=set)
    """The operations that failed and have not succeeded since."""


_failing: dict[str, _Failing] = {}


def _unobserved(_: str) -> None:
    """Ignore a retry."""


_on_retry: Callable[[str], None] = _unobserved


def observe_retries(observe: Callable[[str], None]) -> None:
    """Have a function called with the name of every operation that fails and is retried.

    There is one for the process, as for the lines of the log; another call replaces it.
    """
    global _on_retry
    _on_retry = observe


FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 10.0


async def retry_until_success(
    what: str,
    work: Callable[[], Awaitable[T]],
    *,
    on: Callable[[Exception], bool],
    first_wait: float = FIRST_WAIT_SECONDS,
    longest_wait: float = LONGEST_WAIT_SECONDS,
) -> T:
    """Repeat `work` until it succeeds, without a limit of time, and return its result.

    Only exceptions that `on` accepts are retried; others are raised. `work` must be safe to repeat.
    The log gets one line when `what` begins to fail and one when it works again, not one per
    attempt; callers that give the same name for `what` share these lines.

    await retry_until_success("Kafka", producer.start, on=is_kafka_outage)
    """
    operation = object()

    def is_waited_for(error: BaseException) -> bool:
        return isinstance(error, Exception) and on(error)  # stamina also passes cancellations

    try:
        async for attempt in stamina.retry_context(
            on=is_waited_for,
            attempts=None,
            timeout=None,
            wait_initial=first_wait,
            wait_max=longest_wait,
            wait_jitter=first_wait,
        ):
            with attempt:
                try:
                    result = await work()
                except Exception as error:
                    if on(error):
                        _on_retry(what)
                        log_failing(
                            what,
                            describe_outage(error),
                            variable=variable_of(error),
                            operation=operation,
                        )
                    raise
    except (Exception, asyncio.CancelledError):
        _forget(what, operation)
        raise
    log_working(what, operation=operation)
    return result


def log_failing(
    what: str, reason: str, *, variable: str | None = None, operation: Hashable = None
) -> None:
    """Log that an operation fails, unless that has been logged.

    A reason that names another environment variable is logged again, once: an operator has to act.
    Different operations may fail because of the same server; `what` names the server then, and
    `operation` distinguishes them.
    """
    known = _failing.get(what)
    if known is None or (variable is not None and variable != known.variable):
        _failing[what] = _Failing(variable, known.operations if known else set())
        logger.warning(
            "%s is failing; retrying until it succeeds: %s",
            what,
            reason,
            extra={"component": what, "reason": reason}
            | ({} if variable is None else {"variable": variable}),
        )
    _failing[what].operations.add(operation)


def log_working(what: str, *, operation: Hashable = None) -> None:
    """Log that `what` works again, if it was failing and no operation fails any more.

    The success of one operation proves nothing about the others. Without `operation`, all of them
    count as succeeded.
    """
    if (known := _failing.get(what)) is None:
        return
    known.operations = set() if operation is None else known.operations - {operation}
    if not known.operations:
        del _failing[what]
        logger.info("%s works again", what, extra={"component": what})


def _forget(what: str, operation: Hashable) -> None:
    """An operation is given up: it will neither fail nor succeed."""
    if (known := _failing.get(what)) is not None:
        known.operations.discard(operation)


def is_failing(what: str, *, besides: Hashable = None) -> bool:
    """Return whether an operation of `what` fails now, other than `besides`."""
    known = _failing.get(what)
    return known is not None and bool(known.operations - {besides})


def variable_of(error: BaseException) -> str | None:
    """Return the environment variable that an operator should check, if the error names one."""
    variable: str | None = getattr(error, "variable", None)
    return variable
