"""Closes aiokafka's consumers and admin clients within a bounded time.

Their own methods wait for the broker: to leave a group, to end a rebalance, or to send what is left
in a socket. While the broker is away, that takes until a request times out, or forever.
"""

import asyncio
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer.group_coordinator import GroupCoordinator

from messaging.producer import close_client

if TYPE_CHECKING:
    from faststream import FastStream

logger = logging.getLogger(__name__)

_CLOSE_SECONDS = 3.0
_END_SECONDS = 1.0
"""Time limit for cancelled tasks to end."""
_COMMIT = GroupCoordinator._do_commit_offsets.__code__  # noqa: SLF001
_TASKS = (
    *("_coordination_task", "_heartbeat_task", "_commit_refresh_task"),
    *("_reset_committed_task", "_fetch_task"),
)
"""Attributes of aiokafka's coordinators and fetcher with their tasks."""


async def close_consumer(consumer: AIOKafkaConsumer) -> None:
    """Leave the group and close the consumer, within a few seconds even without a broker.

    Without an answer of the broker, the group notices the end of the session.
    """
    stopping = asyncio.ensure_future(consumer.stop())
    try:
        await asyncio.wait({stopping}, timeout=_CLOSE_SECONDS)
        # It may have cancelled itself: it cancels a fetch that waits for its next attempt.
        if not stopping.done() or stopping.cancelled() or stopping.exception() is not None:
            await abort_consumer(consumer)
    finally:
        await _end([stopping])


async def close_app(app: "FastStream", *, work_seconds: float) -> None:
    """Stop an application of FastStream; its handlers get some seconds to end their work."""
    consumers = [
        consumer
        for broker in app.brokers
        for subscriber in broker.subscribers
        if (consumer := getattr(subscriber, "consumer", None)) is not None
    ]
    stopping = asyncio.ensure_future(app.stop())
    try:
        await asyncio.wait({stopping}, timeout=work_seconds + _CLOSE_SECONDS)
        if not stopping.done() or stopping.cancelled() or stopping.exception() is not None:
            logger.warning("the consumers were not closed in time, so their groups notice it late")
            await asyncio.gather(*map(abort_consumer, consumers))
    finally:
        await _end([stopping])


async def abort_consumer(consumer: AIOKafkaConsumer) -> None:
    """End the tasks of a consumer and its connections, and send nothing."""
    await _end([*_tasks_of(consumer)])
    await close_client(consumer._client)  # noqa: SLF001


async def close_admin(admin: AIOKafkaAdminClient) -> None:
    """Close an admin client, within a few seconds even without a broker."""
    await close_client(admin._client)  # noqa: SLF001


def _commits_of(consumer: AIOKafkaConsumer) -> "Iterator[asyncio.Task[Any]]":
    """The commits that wait for the broker: the coordinator shields them from whoever gave up."""
    for task in asyncio.all_tasks():
        frame = getattr(task.get_coro(), "cr_frame", None)
        if frame is None or frame.f_code is not _COMMIT:
            continue
        if frame.f_locals["self"] is consumer._coordinator:  # noqa: SLF001
            yield task


def _tasks_of(consumer: AIOKafkaConsumer) -> "Iterator[asyncio.Task[Any]]":
    for owner in (consumer._coordinator, consumer._fetcher):  # noqa: SLF001
        for name in _TASKS:
            if (task := getattr(owner, name, None)) is not None:
                yield task
        yield from getattr(owner, "_pending_tasks", ())
    yield from _commits_of(consumer)


async def _end(tasks: "list[asyncio.Task[Any]]") -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_END_SECONDS)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()  # else asyncio logs that it was never retrieved
