"""Retries with capped exponential backoff and jitter; each change of state is logged once."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina

from contracts.error_text import describe_error

logger = logging.getLogger(__name__)

T = TypeVar("T")

_failing: dict[str, str | None] = {}
"""Each failing operation and the environment variable that its last logged reason named. Callers
with the same operation share one entry, so that a failure is logged once."""

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

    def is_waited_for(error: BaseException) -> bool:
        return isinstance(error, Exception) and on(error)  # stamina also passes cancellations

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
                    log_failing(what, describe_error(error), variable=variable_of(error))
                raise
    log_working(what)
    return result


def log_failing(what: str, reason: str, *, variable: str | None = None) -> None:
    """Log that an operation fails, unless that has been logged.

    A reason that names another environment variable is logged again, once: an operator has to act.
    """
    if what not in _failing or (variable is not None and variable != _failing[what]):
        _failing[what] = variable
        logger.warning("%s is failing; retrying until it succeeds: %s", what, reason)


def log_working(what: str) -> None:
    """Log that an operation works again, if it was failing."""
    if what in _failing:
        del _failing[what]
        logger.info("%s works again", what)


def variable_of(error: BaseException) -> str | None:
    """Return the environment variable that an operator should check, if the error names one."""
    variable: str | None = getattr(error, "variable", None)
    return variable
