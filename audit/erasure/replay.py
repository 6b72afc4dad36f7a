"""Replaying erasures on a restored log: the backup brings back persons who were erased since.

Three sources know the erasures: the topic of the requests, the `SpeakerErased` events on the topic
of the log, and files that `erasures export` wrote.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec
from aiokafka import TopicPartition
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.answer import ErasureIdTakenError, answer_request, refuse_request
from audit.erasure.erase import erase_again
from contracts.codec import cloudevent_type
from contracts.messages import InvalidErasureError, UnreadableRequestError, decode_erasure
from contracts.topics import ERASURE_REQUESTS, IMPORT_EVENTS
from contracts.wording import counted
from eventstore.erasure import ForeignPersonError, erased_subjects
from eventstore.erasure_answers import DONE, read_answer
from messaging.cloudevents import decode
from messaging.raw_record import RawRecord
from messaging.topic_reader import TopicReader, known_partitions_of, to_the_end

NEWEST_IMPORT = text("""
    SELECT recorded_at FROM event_store.events WHERE type <> 'SpeakerErased'
    ORDER BY position DESC LIMIT 1
""")

KNOWN_IDS = text("""
    SELECT message_id FROM event_store.events
    WHERE message_id = ANY(CAST(:message_ids AS uuid[]))
""")

LIST_ERASURES = text("""
    SELECT organization_id, subject, erasure_id, erased_at FROM event_store.erased_subjects
    ORDER BY erased_at, subject
""")


class ErasedPerson(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a file of erasures: ids only."""

    organization_id: UUID
    subject: UUID
    """Our id of the speaker or the requester."""
    erasure_id: UUID
    erased_at: datetime | None = None


@dataclass
class ErasureReplay:
    """The outcome of a replay, counted."""

    requests: int = 0
    """Requests that were read from the topic or a file."""
    answered: int = 0
    """Requests among them that were carried out or refused now; the log had answered the others."""
    erased: int = 0
    """Persons that were erased now."""
    unreadable: int = 0
    """Messages without readable ids: they are dead letters."""
    gaps: list[str] = field(default_factory=list)
    """Sentences: sources that no longer reach back to the backup."""

    def to_json(self) -> dict[str, object]:
        """The counts and the gaps by name."""
        return {
            "requests": self.requests,
            "answered": self.answered,
            "erased": self.erased,
            "unreadable": self.unreadable,
            "gaps": list(self.gaps),
        }


class Retained(NamedTuple):
    """The records that were read from a topic, and how far back it reaches."""

    records: list[RawRecord]
    since: datetime | None
    """The topic has every record from this time on; None if it has lost none."""


async def export_erasures(engine: AsyncEngine) -> list[bytes]:
    """Return one line of JSON for each erased person, oldest first."""
    async with engine.connect() as connection:
        found = (await connection.execute(LIST_ERASURES)).mappings().all()
    return [msgspec.json.encode(ErasedPerson(**row)) + b"\n" for row in found]


async def replay_topics(
    engine: AsyncEngine,
    reader: TopicReader,
    *,
    backup_time: datetime | None,
    requests_kept: timedelta | None,
    events_kept: timedelta,
) -> ErasureReplay:
    """Carry out every erasure that the topics have and the log has not. Safe to repeat.

    Args:
        engine: on the database of the log, as a role that may erase.
        reader: of the topics.
        backup_time: when the backup was made; None: the time of the newest import in the log.
        requests_kept: how long the settings keep erasure requests; None: not limited.
        events_kept: how long the settings keep import events.

    Raises:
        UnknownTopicError: a topic does not exist, or is not shown to us.
        aiokafka.errors.KafkaError, sqlalchemy.exc.DBAPIError: a server does not answer.
    """
    replay = ErasureReplay()
    made_at = backup_time or await _newest_import(engine)
    requests = await _read(reader, ERASURE_REQUESTS, lambda _: True, requests_kept)
    for record in requests.records:
        await _replay_request(engine, record.value or b"", replay)
    published = await _read(reader, IMPORT_EVENTS, _is_erasure, events_kept)
    await _replay_published(engine, published.records, replay)
    for topic, since in ((ERASURE_REQUESTS, requests.since), (IMPORT_EVENTS, published.since)):
        if since is not None and (made_at is None or since > made_at):
            replay.gaps.append(_gap(topic, since, made_at))
    return replay


async def replay_lines(engine: AsyncEngine, lines: Iterable[bytes]) -> ErasureReplay:
    """Carry out the erasures of a file: lines of `erasures export`, or erasure requests.

    Raises:
        ValueError: a line, named by its number, is neither, or names a person of another
            organization. The lines before it are carried out.
    """
    replay = ErasureReplay()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            person = msgspec.json.decode(line, type=ErasedPerson)
        except msgspec.DecodeError:
            unreadable = replay.unreadable
            await _replay_request(engine, line.strip(), replay)
            if replay.unreadable > unreadable:
                raise ValueError(f"line {number} is neither an erasure nor a request") from None
        else:
            try:
                await _erase(engine, person, replay)
            except ForeignPersonError as error:
                raise ValueError(f"line {number}: {error}") from None
    return replay


async def _newest_import(engine: AsyncEngine) -> datetime | None:
    async with engine.connect() as connection:
        found: datetime | None = (await connection.execute(NEWEST_IMPORT)).scalar_one_or_none()
    return found


async def _replay_request(engine: AsyncEngine, body: bytes, replay: ErasureReplay) -> None:
    try:
        request = decode_erasure(body)
    except InvalidErasureError as invalid:
        replay.requests += 1
        with suppress(ErasureIdTakenError):  # it is a dead letter and erases nobody
            await refuse_request(engine, invalid.ids, invalid.reason)
        return
    except UnreadableRequestError:
        replay.unreadable += 1
        return
    replay.requests += 1
    async with engine.connect() as connection:
        if await read_answer(connection, request.request_id) is not None:
            return
    try:
        answer = await answer_request(engine, request, in_advance=True)
    except ErasureIdTakenError:  # a dead letter
        replay.unreadable += 1
        return
    replay.answered += 1
    replay.erased += answer.status == DONE


async def _replay_published(
    engine: AsyncEngine, records: Sequence[RawRecord], replay: ErasureReplay
) -> None:
    events = [decode(record.value or b"", record.headers) for record in records]
    async with engine.connect() as connection:
        ids = {"message_ids": [event.id for event in events]}
        known = set((await connection.execute(KNOWN_IDS, ids)).scalars())
    for data in (event.data for event in events if event.id not in known):
        person = msgspec.convert(
            {
                "organization_id": data["organization_id"],
                "subject": data["speaker_id"],
                "erasure_id": data["sync_id"],
            },
            ErasedPerson,
        )
        await _erase(engine, person, replay)


async def _erase(engine: AsyncEngine, person: ErasedPerson, replay: ErasureReplay) -> None:
    organization_id, subject, erasure_id, _ = msgspec.structs.astuple(person)
    async with engine.connect() as connection:
        if subject in await erased_subjects(connection, organization_id):
            return
    await erase_again(engine, organization_id, subject, erasure_id)
    replay.erased += 1


async def _read(
    reader: TopicReader,
    topic: str,
    wanted: Callable[[RawRecord], bool],
    kept: timedelta | None,
) -> Retained:
    """Read a topic that keeps its records for `kept`, by the settings."""
    partitions = await known_partitions_of(reader, topic)
    begins = await reader.consumer.beginning_offsets(partitions)
    firsts: dict[TopicPartition, int] = {}
    records = []
    async for record in to_the_end(reader, partitions):
        firsts.setdefault(TopicPartition(topic, record.partition), record.timestamp)
        if wanted(record):
            records.append(record)
    now = datetime.now(UTC)
    at_least = now if kept is None else now - kept
    since = [
        min(_time(firsts[partition]), at_least) if partition in firsts else at_least
        for partition in partitions
        if begins[partition] > 0
    ]
    return Retained(records, max(since, default=None))


def _is_erasure(record: RawRecord) -> bool:
    return dict(record.headers).get("ce_type") == _ERASED


_ERASED = cloudevent_type("SpeakerErased").encode()


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _gap(topic: str, since: datetime, made_at: datetime | None) -> str:
    backup = "the log is empty" if made_at is None else f"the backup is of {_shown(made_at)}"
    return f"{topic} has only records since {_shown(since)}, and {backup}"


def _shown(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def summary(replay: ErasureReplay) -> str:
    """The counts as a sentence."""
    return (
        f"{counted(replay.requests, 'request')} read, {replay.answered} answered now; "
        f"{counted(replay.erased, 'person')} erased now."
    )
