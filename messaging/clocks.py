"""The cause of a record that Kafka refuses for its time stamp: a wrong clock, and whose.

Kafka does this only where publishers stamp the records, see `messaging.append_time`. It compares
their time stamps with its own clock, and reports neither.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeAlias

from aiokafka.errors import InvalidTimestampError

from messaging.append_time import append_time_command
from messaging.connection import KafkaConnection

Clock: TypeAlias = Callable[[], Awaitable[datetime]]

_ANSWER_SECONDS = 3.0
AGREEMENT = timedelta(minutes=30)
"""Kafka allows an hour by default. If one clock is wrong by more than that, then of two differences
at least one exceeds half of it."""


class WrongClockError(InvalidTimestampError):  # type: ignore[misc]  # aiokafka is untyped
    """Kafka refuses a record for its time stamp: somebody has to set a clock or alter the topic.

    The text names the clock, how far it is off, and the remedy. The record was not published; the
    same request succeeds after the remedy.
    """

    def __str__(self) -> str:
        return str(self.args[0])


def _this_process() -> datetime:
    return datetime.now(UTC)


class ClockCheck(NamedTuple):
    """Compares the clock of this process with another, where Kafka refuses a time stamp."""

    kafka: KafkaConnection
    database: Clock | None
    """Reads the database's clock. Without an answer the error names no wrong clock."""
    process: Callable[[], datetime] = _this_process

    @asynccontextmanager
    async def explaining(self, topic: str) -> AsyncIterator[None]:
        """Raise `WrongClockError` if Kafka refuses a time stamp of the block's records."""
        try:
            yield
        except WrongClockError:
            raise
        except InvalidTimestampError as error:
            database = await self._database_now()
            sentence = _describe(self.kafka, topic, self.process(), database)
            raise WrongClockError(sentence) from error

    async def _database_now(self) -> datetime | None:
        if self.database is None:
            return None
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self.database()
        except Exception:  # the clock is asked for to explain another error
            return None


def _describe(
    kafka: KafkaConnection, topic: str, process: datetime, database: datetime | None
) -> str:
    begin = f"Kafka at {kafka} refuses the time stamp of a record for {topic}: "
    end = f"; or have the broker stamp the records, with: {append_time_command(kafka, topic)}"
    if database is None:
        return (
            f"{begin}the clock of this process ({process:%Y-%m-%d %H:%M:%S} UTC) and the broker's "
            "differ by more than the topic allows (an hour by default). Remedy: set the one that "
            f"is wrong{end}"
        )
    difference = process - database
    if abs(difference) < AGREEMENT:
        return (
            f"{begin}the clock of this process agrees with the database's (within "
            f"{duration_text(abs(difference))}), so the broker's clock differs from both by more "
            f"than the topic allows (an hour by default). Remedy: set the broker's clock{end}"
        )
    return (
        f"{begin}the clock of this process is {duration_text(abs(difference))} "
        f"{'ahead of' if difference > timedelta(0) else 'behind'} the database's. Remedy: set the "
        f"clock of this machine{end}"
    )


def duration_text(difference: timedelta) -> str:
    """Describe a difference of clocks, such as `2 h 5 s`."""
    minutes, seconds = divmod(round(difference.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "1 s"
