"""Listening for notifications of PostgreSQL on a connection that is opened again after a loss."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

import asyncpg

from contracts.error_text import describe_error
from eventstore.errors import is_database_outage

logger = logging.getLogger(__name__)

_CHECK_SECONDS = 5.0
"""Time between two looks whether the connection still lives."""
_RETRY_SECONDS = 1.0


async def keep_listening(
    connect: Callable[[], Awaitable[asyncpg.Connection]],
    channel: str,
    on_notification: Callable[[str], None],
    on_connection: Callable[[], None],
) -> NoReturn:
    """Listen on a channel until cancelled.

    Args:
        connect: opens a direct connection: a transaction pooler delivers no notifications.
        channel: the channel.
        on_notification: takes the payload.
        on_connection: called after each connection; notifications before it were missed.
    """
    while True:
        try:
            connection = await connect()
            try:
                await connection.add_listener(channel, lambda *given: on_notification(given[-1]))
                on_connection()
                while True:
                    await asyncio.sleep(_CHECK_SECONDS)
                    await connection.execute("SELECT 1", timeout=_CHECK_SECONDS)
            finally:
                connection.terminate()
        except Exception as error:
            if not is_database_outage(error):
                raise
            logger.debug("listening on %s failed: %s", channel, describe_error(error))
        await asyncio.sleep(_RETRY_SECONDS)
