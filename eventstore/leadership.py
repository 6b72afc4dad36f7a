"""Leadership of the log: one process at a time publishes it, and a stuck one loses the leadership.

The leadership is a session-level advisory lock on a separate, direct connection. The leader writes
on this connection only. So a process that has lost the leadership without knowing writes nothing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg

from eventstore.checkpoints import (
    FORGET_UNPUBLISHED,
    KEEP_UNPUBLISHED,
    RENAME_LOG,
    WRITE_CHECKPOINT,
    Checkpoint,
)
from eventstore.connection import Connect, SilentDatabaseError, connected
from eventstore.model import Recorded
from eventstore.wakeup import WakeUp

logger = logging.getLogger(__name__)

LOCK = 0x5350_5245_4156_0003
PUBLISHING = 0x5350_5245_4156_0004
"""Held shared while the leader publishes events that it has read; exclusive for an erasure."""

_HEARTBEAT_SECONDS = 0.5
_ANSWER_SECONDS = 2.0
STANDBY_SECONDS = 0.5
"""Interval at which a standby tries to take the leadership."""
_ERASURE_SECONDS = 0.05

_TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
_LOCK = "SELECT pg_advisory_lock($1)"
_HOLDER = """
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND a.datname = current_database() AND a.datid = l.database
      AND (l.classid::bigint << 32) | l.objid::bigint = $1
"""
_WHO_LEADS = f"SELECT a.application_name {_HOLDER}"
_END_HOLDER = f"SELECT pg_terminate_backend(l.pid) {_HOLDER} AND l.pid <> $2"
TRY_LOCK_SHARED = "SELECT pg_try_advisory_lock_shared($1)"
UNLOCK_SHARED = "SELECT pg_advisory_unlock_shared($1)"


class Leader:
    """The leadership of this process. Every method raises once the connection is lost."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._one_at_a_time = asyncio.Lock()

    async def heartbeat(self) -> None:
        """Prevent the connection's idle timeout. Runs until the connection is lost, then raises."""
        while True:
            await self._execute("SELECT 1")
            await asyncio.sleep(_HEARTBEAT_SECONDS)

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        """Hold back erasures while the block runs, so that it may publish what it reads.

        Waits for a running erasure. An error of the block must end the leadership, whose connection
        holds the lock.
        """
        # Polling instead of waiting for the lock leaves the connection to the heartbeat.
        while not await self._fetch(TRY_LOCK_SHARED, PUBLISHING):  # noqa: ASYNC110
            await asyncio.sleep(_ERASURE_SECONDS)
        yield
        await self._execute(UNLOCK_SHARED, PUBLISHING)

    async def write(self, name: str, checkpoint: Checkpoint) -> None:
        """Move a checkpoint, forwards or backwards."""
        await self._execute(WRITE_CHECKPOINT, name, *checkpoint)

    async def keep_unpublished(self, event: Recorded, reason: str) -> None:
        """Record that an event could not be published, for `relay status`."""
        await self._execute(KEEP_UNPUBLISHED, event.position, event.message_id, reason)

    async def forget_unpublished(self, after: int) -> None:
        """Delete the notes on unpublished events after a position: these are tried again."""
        await self._execute(FORGET_UNPUBLISHED, after)

    async def rename_log(self, name: str, checkpoint: Checkpoint) -> None:
        """Give the log the id of a checkpoint, so that its events have another source.

        Writes the checkpoint in the same statement: both are written, or neither.
        """
        await self._execute(RENAME_LOG, name, *checkpoint)

    async def _execute(self, statement: str, *arguments: object) -> None:
        async with self._one_at_a_time:
            await self._connection.execute(statement, *arguments, timeout=_ANSWER_SECONDS)

    async def _fetch(self, statement: str, *arguments: object) -> object:
        async with self._one_at_a_time:
            return await self._connection.fetchval(statement, *arguments, timeout=_ANSWER_SECONDS)


class Leadership(NamedTuple):
    """The leadership of the log, for processes that want it.

    Args:
        connect: opens a direct connection, without a pool or proxy, whose session ends after some
            idle seconds.
    """

    connect: Connect

    @asynccontextmanager
    async def leading(self, wake_up: WakeUp) -> AsyncIterator[Leader]:
        """Stand by until no other process leads, then lead while the block runs.

        If the leadership is lost, the block is cancelled and the connection's error is raised in an
        exception group. `wake_up` receives the notifications of the log.

        async with leadership.leading(wake_up) as leader: await leader.write("relay", checkpoint)
        """
        connection = await self.connect()
        try:
            # No event reports that a leader is gone. The timeout detects a dead connection.
            while not await connection.fetchval(  # noqa: ASYNC110
                _TRY_LOCK, LOCK, timeout=_ANSWER_SECONDS
            ):
                await asyncio.sleep(STANDBY_SECONDS)
            leader = Leader(connection)
            async with asyncio.timeout(_ANSWER_SECONDS):
                await wake_up.listen(connection)
            async with asyncio.TaskGroup() as group:
                heartbeat = group.create_task(leader.heartbeat())
                yield leader
                heartbeat.cancel()
        finally:
            connection.terminate()

    @asynccontextmanager
    async def deposing(self) -> AsyncIterator[Leader]:
        """Take the leadership from the current leader, and lead while the block runs.

        The deposed process stands by, and may lead again when the block has ended.
        """
        connection = await self.connect()
        waiting = asyncio.ensure_future(connection.fetchval(_LOCK, LOCK))
        try:
            while not waiting.done():  # standbys do not queue for the lock: this one gets it next
                await _end_other_holder(self.connect, connection.get_server_pid())
                await asyncio.wait({waiting}, timeout=STANDBY_SECONDS)
            await waiting
            leader = Leader(connection)
            heartbeat = asyncio.ensure_future(leader.heartbeat())
            try:
                yield leader
            finally:
                heartbeat.cancel()
                await asyncio.gather(heartbeat, return_exceptions=True)
        finally:
            connection.terminate()
            await asyncio.gather(waiting, return_exceptions=True)  # else asyncio logs its error


async def who_leads(connect: Connect) -> str | None:
    """Return the name of the leader's connection, with its host; None without a leader.

    Raises:
        SilentDatabaseError: no answer in time.
    """
    async with _asking(connect) as connection:
        name: str | None = await connection.fetchval(_WHO_LEADS, LOCK, timeout=_ANSWER_SECONDS)
    return name


async def _end_other_holder(connect: Connect, own_pid: int) -> None:
    async with _asking(connect) as connection:
        await connection.execute(_END_HOLDER, LOCK, own_pid, timeout=_ANSWER_SECONDS)


@asynccontextmanager
async def _asking(connect: Connect) -> AsyncIterator[asyncpg.Connection]:
    """A connection for one statement. A late answer is not taken for one of Kafka's."""
    try:
        async with connected(connect) as connection:
            yield connection
    except TimeoutError as error:
        raise SilentDatabaseError from error
