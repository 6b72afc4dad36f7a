"""Waiting for what is down: capped exponential backoff with jitter, said once per state."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina

logger = logging.getLogger(__name__)

T = TypeVar("T")

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

    `work` must be safe to repeat. The log gets one line when it begins to fail and one when it
    works again, not one per try.
    """
    failing = False
    async for attempt in stamina.retry_context(
        on=on,
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
                if not failing and on(error):
                    failing = True
                    logger.warning("%s: failing, trying on until it works: %s", what, error)
                raise
    if failing:
        logger.info("%s: works again", what)
    return result
