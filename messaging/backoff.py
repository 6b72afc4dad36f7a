"""Waiting for what is down: capped exponential backoff with jitter, said once per state."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina

from contracts.error_text import describe_error

logger = logging.getLogger(__name__)

T = TypeVar("T")

_failing: dict[str, str | None] = {}
"""What is failing now, by name, and the variable that was named last: many who wait for the same
say it once."""

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
    """Do `work` until it succeeds, however long that takes; exceptions that `on` denies pass.

    `what` names what is waited for, for all who wait for the same: the log gets one line when it
    begins to fail and one when it works again, not one per try. `work` must be safe to repeat.
    """

    def is_waited_for(error: BaseException) -> bool:
        return isinstance(error, Exception) and on(error)  # it is asked about a cancellation, too

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
    """Log that something does not work, unless that is known.

    A reason that names a variable is logged even so, once: somebody has to act.
    """
    if what not in _failing or (variable is not None and variable != _failing[what]):
        _failing[what] = variable
        logger.warning("%s: failing, trying on until it works: %s", what, reason)


def log_working(what: str) -> None:
    """Log that something works again, if it had been failing."""
    if what in _failing:
        del _failing[what]
        logger.info("%s: works again", what)


def variable_of(error: BaseException) -> str | None:
    """The environment variable that an error tells an operator to look at, if it does."""
    variable: str | None = getattr(error, "variable", None)
    return variable
