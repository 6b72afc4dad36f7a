"""From a Kafka record to an ended request or a dead letter."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.errors import KafkaConnectionError

from contracts import identity, samples
from contracts.events import ImportEvent, SyncFailed, SyncStarted
from contracts.failures import FailureCode
from contracts.messages import encode_request
from contracts.topics import DEAD_LETTERS, SYNC_REQUESTS
from eventstore.log import LogIdentity
from eventstore.model import Commit, NewEvent
from messaging.dead_letters.records import REASON
from messaging.raw_record import RawRecord
from tests.support.documents import WINDOW, document, talk
from tests.support.fake_log import NOW, FakeLog, FakeSessionize
from worker.sync.consumer import RequestReader
from worker.sync.handle import Handler

pytestmark = pytest.mark.asyncio

REQUEST = msgspec.structs.replace(samples.REQUEST, window=WINDOW, allow_removals=None)
EVENT, SYNC = REQUEST.spreaview_event_id, REQUEST.request_id
BODY = encode_request(REQUEST)
TIMESTAMP = datetime(2026, 5, 20, 11, tzinfo=UTC)
MILLISECONDS = int(TIMESTAMP.timestamp()) * 1000
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class FakeProducer:
    """Keeps the dead letters; fails with these errors before."""

    letters: list[dict[str, Any]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    async def send_and_wait(self, topic: str, value: bytes | None, **fields: Any) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.letters.append({"topic": topic, "value": value, **fields})


@dataclass
class Bench:
    """A reader of requests over a fake log, a fake Sessionize and a fake producer."""

    log: FakeLog = field(default_factory=FakeLog)
    producer: FakeProducer = field(default_factory=FakeProducer)

    async def take(
        self,
        value: bytes | None,
        *,
        timestamp: int = MILLISECONDS,
        headers: tuple[tuple[str, bytes | None], ...] = (),
    ) -> object:
        """Carry out the work on a record; its ordering key."""
        sessionize = FakeSessionize(json.dumps(document(talk("1"))).encode())
        handler = Handler(
            self.log, sessionize, LogIdentity(UUID(int=1), b"k"), "test", snapshot_events=1000
        )
        reader = RequestReader(handler, cast("AIOKafkaProducer", self.producer))
        task = reader.task_of(a_record(value, timestamp, headers))
        await task.run()
        return task.key

    @property
    def events(self) -> list[ImportEvent]:
        return self.log.events(EVENT)

    @property
    def started(self) -> SyncStarted:
        (event,) = [event for event in self.events if isinstance(event, SyncStarted)]
        return event

    @property
    def failed(self) -> SyncFailed:
        (event,) = [event for event in self.events if isinstance(event, SyncFailed)]
        return event

    @property
    def reasons(self) -> list[str]:
        """Why records were dead-lettered."""
        return [dict(letter["headers"])[REASON].decode() for letter in self.producer.letters]


def a_record(
    value: bytes | None, timestamp: int, headers: tuple[tuple[str, bytes | None], ...]
) -> RawRecord:
    return ConsumerRecord(
        topic=SYNC_REQUESTS,
        partition=3,
        offset=42,
        timestamp=timestamp,
        timestamp_type=0,
        key=str(EVENT).encode(),
        value=value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=headers,
    )


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_request_is_carried_out_in_the_order_of_its_event(bench: Bench) -> None:
    key = await bench.take(BODY)

    assert key == EVENT
    assert [type(event).__name__ for event in bench.events][-1] == "SyncCompleted"
    assert bench.producer.letters == []


async def test_a_request_with_a_wrong_field_fails_by_its_ids(bench: Bench) -> None:
    fields = json.loads(BODY) | {"window": {"starts_on": "tomorrow"}}

    key = await bench.take(json.dumps(fields).encode())

    assert key == EVENT
    assert bench.failed.code == FailureCode.INVALID_REQUEST
    assert "window" in bench.failed.message
    assert bench.producer.letters == []


@pytest.mark.parametrize("value", [None, b"", b"no JSON", b'{"request_id": 1}'])
async def test_an_unreadable_record_is_dead_lettered_in_the_order_of_its_partition(
    bench: Bench, value: bytes | None
) -> None:
    key = await bench.take(value)

    assert key == (SYNC_REQUESTS, 3)
    (letter,) = bench.producer.letters
    assert (letter["topic"], letter["value"]) == (DEAD_LETTERS, value)
    assert bench.log.commits == []


@pytest.mark.parametrize("body", [BODY, BODY.replace(b'"window"', b'"windows"')])
async def test_a_request_whose_id_is_taken_is_dead_lettered(bench: Bench, body: bytes) -> None:
    start = NewEvent(identity.message_id(SYNC, 0), samples.EVENTS[0])
    bench.log.add(Commit(UUID(int=9), 0, [start]))

    await bench.take(body)

    assert bench.reasons == ["request_id is that of a sync of another SpreaView event"]
    assert bench.events == []


async def test_a_database_outage_is_waited_for(bench: Bench) -> None:
    def cut_off() -> None:
        raise ConnectionRefusedError

    bench.log.others = [cut_off, cut_off]

    await bench.take(BODY)

    assert [type(event).__name__ for event in bench.events][-1] == "SyncCompleted"


async def test_an_unforeseen_error_ends_the_run_as_an_internal_error(bench: Bench) -> None:
    def fault() -> None:
        raise ZeroDivisionError

    bench.log.others = [lambda: None, fault]

    await bench.take(BODY)

    assert bench.failed.code == FailureCode.INTERNAL_ERROR
    assert bench.failed.retryable


async def test_dead_lettering_waits_for_kafka(bench: Bench) -> None:
    bench.producer.errors = [KafkaConnectionError(), KafkaConnectionError()]

    await bench.take(b"no JSON")

    assert len(bench.producer.letters) == 1


@pytest.mark.parametrize(
    ("timestamp", "header", "ordered_at"),
    [
        pytest.param(MILLISECONDS, None, TIMESTAMP, id="record"),
        pytest.param(
            MILLISECONDS, MILLISECONDS - 60_000, TIMESTAMP - timedelta(minutes=1), id="letter"
        ),
        pytest.param(MILLISECONDS, MILLISECONDS + 60_000, TIMESTAMP, id="later letter"),
        pytest.param(MILLISECONDS, 10**14, TIMESTAMP, id="letter beyond the calendar"),
        pytest.param(-1, MILLISECONDS, TIMESTAMP, id="record without a time"),
        pytest.param(-1, None, NOW, id="no time at all"),
        pytest.param(10**15, None, NOW, id="record beyond the calendar"),
    ],
)
async def test_the_earliest_plausible_time_orders_the_run(
    bench: Bench, timestamp: int, header: int | None, ordered_at: datetime
) -> None:
    value = None if header is None else str(header).encode()

    await bench.take(BODY, timestamp=timestamp, headers=(("spreaview-ordered-at", value),))

    assert bench.started.ordered_at == ordered_at


@pytest.mark.parametrize("value", [b"", b"soon", b"-1", b"9" * 16, "٣".encode()])
async def test_a_malformed_time_in_a_header_is_ignored(bench: Bench, value: bytes) -> None:
    await bench.take(BODY, headers=(("spreaview-ordered-at", value),))

    assert bench.started.ordered_at == TIMESTAMP


@pytest.mark.parametrize(
    ("value", "kept"),
    [(TRACE, TRACE.decode()), (TRACE + b"-more", TRACE.decode()), (b"\xff", None), (None, None)],
)
async def test_a_trace_is_taken_over_if_it_is_well_formed(
    bench: Bench, value: bytes | None, kept: str | None
) -> None:
    await bench.take(BODY, headers=(("traceparent", value),))

    metadata = [dict(commit.metadata) for commit in bench.log.commits]
    assert metadata == [{"traceparent": kept} if kept else {}] * 2
