"""Waiting for what is down: capped exponential backoff with jitter, said once per state."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina

from contracts.error_text import describe_error

logger = logging.getLogger(__name__)

T = TypeVar("T")

_failing: set[str] = set()
"""What is failing now, by name: many who wait for the same say it once."""

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 10.0


async def persist(
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
                    say_failing(what, describe_error(error))
                raise
    say_working(what)
    return result


def say_failing(what: str, reason: str) -> None:
    """Log that something does not work, unless that is known."""
    if what not in _failing:
        _failing.add(what)
        logger.warning("%s: failing, trying on until it works: %s", what, reason)


def say_working(what: str) -> None:
    """Log that something works again, if it had been failing."""
    if what in _failing:
        _failing.discard(what)
        logger.info("%s: works again", what)
