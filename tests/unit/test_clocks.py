"""The explanation of a record that Kafka refuses for its time stamp: whose clock is wrong."""

from datetime import UTC, datetime, timedelta

import pytest
from aiokafka.errors import InvalidTimestampError

from contracts.error_text import describe_error
from messaging.clocks import Clock, ClockCheck, WrongClockError
from messaging.connection import KafkaConnection

pytestmark = pytest.mark.asyncio

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
COMMAND = (
    "kafka-configs.sh --bootstrap-server kafka:9092 --alter --entity-type topics --entity-name "
    "topic --add-config message.timestamp.type=LogAppendTime"
)


def clock_at(moment: datetime) -> Clock:
    async def now() -> datetime:
        return moment

    return now


async def unavailable() -> datetime:
    raise ConnectionRefusedError


async def explained(database: Clock | None, process: datetime = NOW) -> str:
    check = ClockCheck(KafkaConnection("kafka:9092"), database, lambda: process)
    with pytest.raises(WrongClockError) as raised:
        async with check.explaining("topic"):
            raise InvalidTimestampError
    text = str(raised.value)
    assert text.endswith(COMMAND)
    assert text in describe_error(raised.value), "the log shows it whole"
    return text


@pytest.mark.parametrize(
    ("off", "said"),
    [
        (timedelta(hours=2, seconds=5), "this process is 2 h 5 s ahead of the database's"),
        (timedelta(minutes=-61), "this process is 1 h 1 min behind the database's"),
        (timedelta(days=2), "this process is 48 h ahead of the database's"),
    ],
)
async def test_a_process_that_differs_from_the_database_is_named_with_the_difference(
    off: timedelta, said: str
) -> None:
    text = await explained(clock_at(NOW), NOW + off)
    assert f"the clock of {said}. Remedy: set the clock of this machine" in text


@pytest.mark.parametrize(("off", "within"), [(0.2, "1 s"), (-90, "1 min 30 s")])
async def test_the_broker_is_named_if_process_and_database_agree(off: float, within: str) -> None:
    text = await explained(clock_at(NOW + timedelta(seconds=off)))
    assert f"agrees with the database's (within {within}), so the broker's clock differs" in text
    assert "Remedy: set the broker's clock" in text


@pytest.mark.parametrize("database", [None, unavailable])
async def test_without_the_database_the_time_of_the_process_is_reported(
    database: Clock | None,
) -> None:
    text = await explained(database)
    assert "the clock of this process (2026-11-30 12:00:00 UTC) and the broker's differ" in text


async def test_other_errors_pass_unchanged() -> None:
    check = ClockCheck(KafkaConnection("kafka:9092"), unavailable)
    with pytest.raises(TimeoutError):
        async with check.explaining("topic"):
            raise TimeoutError
