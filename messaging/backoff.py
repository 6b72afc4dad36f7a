"""Retries with capped exponential backoff and jitter; each change of state is logged once."""

import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeVar

import stamina

from contracts.error_text import describe_error

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class _Failure:
    """A failing operation."""

    callers: set[Hashable] = field(default_factory=set)
    """The callers for which it fails. They share this entry, so that a failure is logged once."""
    variable: str | None = None
    """The environment variable that the last logged reason named."""


_failing: dict[str, _Failure] = {}
"""Failing operations by name."""

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
    attempt; callers that give the same name for `what` share these lines. It works again when it
    has succeeded for all of them.

    await retry_until_success("Kafka", producer.start, on=is_kafka_outage)
    """

    def is_waited_for(error: BaseException) -> bool:
        return isinstance(error, Exception) and on(error)  # stamina also passes cancellations

    caller = object()
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
                        log_failing(
                            what, describe_error(error), variable=variable_of(error), caller=caller
                        )
                    raise
    except BaseException:
        _forget(what, caller)
        raise
    log_working(what, caller=caller)
    return result


def log_failing(
    what: str, reason: str, *, variable: str | None = None, caller: Hashable = None
) -> None:
    """Log that an operation fails, unless that has been logged.

    A reason that names another environment variable is logged again, once: an operator has to act.
    `caller` distinguishes callers for which the operation may fail independently.
    """
    failure = _failing.setdefault(what, _Failure())
    if not failure.callers or (variable is not None and variable != failure.variable):
        failure.variable = variable
        logger.warning("%s is failing; retrying until it succeeds: %s", what, reason)
    failure.callers.add(caller)


def log_working(what: str, *, caller: Hashable = None) -> None:
    """Log that an operation works again, if it was failing and fails for no other caller.

    Without a caller, it works for all.
    """
    if caller is None:
        if _failing.pop(what, None) is not None:
            logger.info("%s works again", what)
    elif _forget(what, caller):
        logger.info("%s works again", what)


def is_failing(what: str, *, besides: Hashable = None) -> bool:
    """Return whether an operation is failing for any caller, one of them left aside."""
    return what in _failing and bool(_failing[what].callers - {besides})


def _forget(what: str, caller: Hashable) -> bool:
    """Remove a caller; return whether the operation was failing for it alone."""
    failure = _failing.get(what)
    if failure is None or caller not in failure.callers:
        return False
    failure.callers.remove(caller)
    if not failure.callers:
        del _failing[what]
        return True
    return False


def variable_of(error: BaseException) -> str | None:
    """Return the environment variable that an operator should check, if the error names one."""
    variable: str | None = getattr(error, "variable", None)
    return variable
