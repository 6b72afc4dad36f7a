"""An erasure removes all data of the person, and nothing else."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.erase import erase, erase_requester, lift
from audit.verify.verify import verify
from cli.sandbox.conference import conference, conference_window, encode_conference
from contracts import identity, samples
from contracts.codec import PERSONAL_FIELDS
from contracts.events import RoomImported, SpeakerImported
from contracts.messages import SyncRequested
from contracts.topics import DEFAULT_PARTITIONS, IMPORT_EVENTS
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent, SourceDocument, StreamMovedError
from messaging.requests import publish_request
from tests.support.database import tables_with
from tests.support.documents import document, speaker, talk
from tests.support.line import ORGANIZATION, Line, a_request, the_line
from tests.support.past import Past
from tests.support.processes import environment, run

pytestmark = pytest.mark.asyncio

WINDOW = conference_window()
SPEAKER = next(event for event in samples.EVENTS if isinstance(event, SpeakerImported))
ROOM = next(event for event in samples.EVENTS if isinstance(event, RoomImported))
MARK = "zqxwv"
"""A text in every personal field of one speaker, and nowhere else."""
WHO = "vwxqz"
"""A text in the name of one requester, and nowhere else."""


@pytest_asyncio.fixture
async def line(own_kafka: str, database_url: str) -> AsyncIterator[Line]:
    async with the_line(
        own_kafka, database_url, kafka_session_seconds=1.0, snapshot_events=1
    ) as line:
        yield line


def serve(line: Line, api_id: str, **changes: object) -> tuple[UUID, dict[str, Any]]:
    """Serve a conference with one marked speaker who has a session in the window."""
    document: dict[str, Any] = json.loads(encode_conference(conference(api_id)))
    talks = [s for s in document["sessions"] if (s["startsAt"] or "").startswith("2026-05-28")]
    key = next(s["speakers"][0] for s in talks if s["speakers"])
    speaker = next(s for s in document["speakers"] if s["id"] == key)
    speaker.update(
        firstName=f"{MARK} first",
        lastName=f"{MARK} last",
        fullName=f"{MARK} full",
        tagLine=f"{MARK} tag",
        bio=f"{MARK} bio",
        profilePicture=f"https://{MARK}.example/picture",
        links=[{"title": MARK, "url": f"https://{MARK}.example", "linkType": "Blog"}],
    )
    speaker |= changes
    line.double.serve(api_id, json.dumps(document).encode())
    return identity.speaker_id(ORGANIZATION, key), document


async def published(line: Line) -> list[bytes]:
    """Every record on the topic, in the order of positions."""
    head = await line.log.head()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=line.addresses.kafka.bootstrap_servers, auto_offset_reset="earliest"
    )
    consumer.assign([TopicPartition(IMPORT_EVENTS, n) for n in range(DEFAULT_PARTITIONS)])
    await consumer.start()
    found: dict[int, bytes] = {}
    try:
        async with asyncio.timeout(40):
            while head not in found:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found |= {int(dict(r.headers)["ce_position"]): r.value or b"" for r in records}
    finally:
        await consumer.stop()
    return [found[position] for position in sorted(found)]


async def test_an_erasure_removes_the_person_and_nothing_else(line: Line) -> None:
    speaker_id, document = serve(line, "forget001")
    requests = [a_request("forget001", WINDOW) for _ in range(2)]
    for request in requests:
        await line.sync(request)
    event = requests[0].spreaview_event_id
    before = {view: await line.rows(view, event) for view in ("sessions", "rooms")}
    links_before = await line.rows("session_speakers", event)
    others_before = await others(line, event, speaker_id)
    assert {"sources", "snapshots", "event_store.personal_data"} < set(
        await tables_with(line.engine, MARK)
    )
    number = len(await published(line))

    erasure = await erase(line.engine, ORGANIZATION, speaker_id)
    assert set(erasure.erased.stream_ids) == {r.spreaview_event_id for r in requests}
    assert await tables_with(line.engine, MARK) == {}
    again = replace(a_request("forget001", WINDOW, event_id=event), force=True)
    run = await line.sync(again)
    assert run["status"] == "completed"
    assert await tables_with(line.engine, MARK) == {}
    after = (await published(line))[number:]
    assert len(after) > len(document["sessions"]) / 2
    assert not [record for record in after if MARK.encode() in record.lower()]

    row = await the_speaker(line, event, speaker_id)
    assert (row["status"], row["full_name"], row["bio"], row["links"]) == ("erased", *[None] * 3)
    assert await line.rows("session_speakers", event) == links_before
    assert without_positions(await others(line, event, speaker_id)) == without_positions(
        others_before
    )
    for view, rows in before.items():
        assert without_positions(await line.rows(view, event)) == without_positions(rows)


async def others(line: Line, event: UUID, speaker_id: UUID) -> list[dict[str, object]]:
    rows = await line.rows("event_speakers", event)
    return [row for row in rows if row["speaker_id"] != speaker_id]


async def the_speaker(line: Line, event: UUID, speaker_id: UUID) -> dict[str, object]:
    rows = await line.rows("event_speakers", event)
    return next(row for row in rows if row["speaker_id"] == speaker_id)


def without_positions(rows: list[dict[str, object]]) -> list[str]:
    return sorted(repr({k: v for k, v in row.items() if k != "position"}) for row in rows)


async def test_changes_of_erased_fields_emit_no_event(
    line: Line,
) -> None:
    speaker_id, _ = serve(line, "forget002")
    request = a_request("forget002", WINDOW)
    event = request.spreaview_event_id
    await line.sync(request)
    await erase(line.engine, ORGANIZATION, speaker_id)
    for bio in (f"{MARK} bio", f"{MARK} a new bio"):
        serve(line, "forget002", bio=bio)
        before = await line.types(event)
        await line.sync(a_request("forget002", WINDOW, event_id=event))
        assert await line.types(event) == [*before, "SyncStarted", "SyncCompleted"]
    assert await tables_with(line.engine, MARK) == {}


async def test_a_lifted_erasure_brings_the_person_back_with_the_next_sync(line: Line) -> None:
    speaker_id, _ = serve(line, "forget003")
    request = a_request("forget003", WINDOW)
    event = request.spreaview_event_id
    await line.sync(request)
    await erase(line.engine, ORGANIZATION, speaker_id)
    assert await lift(line.engine, ORGANIZATION, speaker_id)
    assert not await lift(line.engine, ORGANIZATION, speaker_id)
    await line.sync(a_request("forget003", WINDOW, event_id=event))
    row = await the_speaker(line, event, speaker_id)
    assert (row["status"], row["full_name"]) == ("imported", f"{MARK} full")


async def test_syncs_in_flight_bring_nothing_back(line: Line) -> None:
    """Some are first imports: their streams do not know the person at the time of the erasure."""
    speaker_id, _ = serve(line, "forget004")
    known = a_request("forget004", WINDOW)
    await line.sync(known)
    requests = [
        replace(
            a_request(
                "forget004", WINDOW, event_id=known.spreaview_event_id if n % 3 == 0 else None
            ),
            force=True,
        )
        for n in range(12)
    ]
    erasing = []
    for request in requests:
        await publish_request(line.producer, request)
        erasing.append(asyncio.create_task(erase(line.engine, ORGANIZATION, speaker_id)))
    await asyncio.gather(*erasing)
    for request in requests:
        assert (await line.ended(request.request_id))["status"] == "completed"
    assert await tables_with(line.engine, MARK) == {}


async def test_erasing_a_requester_keeps_their_runs(line: Line) -> None:
    serve(line, "forget006")
    name = f"{WHO} of the crew"
    one = a_request("forget006", WINDOW, requested_by=name)
    other = a_request("forget006", WINDOW, event_id=one.spreaview_event_id, requested_by="Somebody")
    for request in (one, other):
        await line.sync(request)
    number = len(await published(line))
    assert await who_asked(line, one, other) == [name, "Somebody"]

    erasure = await erase_requester(line.engine, ORGANIZATION, name)
    assert (erasure.erased.stream_ids, erasure.rows) == ([one.spreaview_event_id], 1)
    assert await tables_with(line.engine, WHO) == {}
    assert "sources" in await tables_with(line.engine, MARK), "the speakers of the documents stay"
    third = replace(one, request_id=uuid4(), requested_at=datetime.now(UTC))
    assert (await line.sync(third))["status"] == "completed"
    assert await tables_with(line.engine, WHO) == {}
    after = (await published(line))[number:]
    assert not [record for record in after if WHO.encode() in record]
    assert await who_asked(line, one, other, third) == [None, "Somebody", None]
    assert (await verify(line.engine)).is_clean

    assert await lift(line.engine, ORGANIZATION, identity.requester_subject(ORGANIZATION, name))
    fourth = replace(one, request_id=uuid4(), requested_at=datetime.now(UTC))
    await line.sync(fourth)
    assert await who_asked(line, one, fourth) == [None, name]


async def who_asked(line: Line, *requests: SyncRequested) -> list[object]:
    runs = await line.rows("sync_runs", requests[0].spreaview_event_id)
    by = {run["sync_id"]: run["requested_by"] for run in runs}
    return [by[request.request_id] for request in requests]


async def test_the_command_erases_a_requester(line: Line) -> None:
    serve(line, "forget007")
    request = a_request("forget007", WINDOW, requested_by=f"{WHO} of the crew")
    await line.sync(request)
    env = environment(database_url=line.addresses.database_url)
    named = ("erase-speaker", "--organization-id", str(ORGANIZATION))
    for wrong in ((), ("--speaker", "x", "--requested-by", "y"), ("--requested-by", "\u200b ")):
        refused = await asyncio.to_thread(run, *named, *wrong, "--yes", env=env)
        assert (refused.returncode, refused.stdout) == (2, "")
    them = ("--requested-by", f" {WHO} of the crew")
    done = await asyncio.to_thread(run, *named, *them, "--yes", env=env)
    assert done.returncode == 0, done.stderr
    assert "1 event without personal fields now" in done.stdout
    assert "dead letters" in done.stdout
    assert "dead rows in the files of PostgreSQL: until VACUUM" in done.stdout
    assert await tables_with(line.engine, WHO) == {}
    lifted = await asyncio.to_thread(run, *named, *them, "--lift", env=env)
    assert lifted.returncode == 0


async def test_the_command_erases_a_speaker_and_lifts_the_erasure(line: Line) -> None:
    speaker_id, _ = serve(line, "forget005")
    request = a_request("forget005", WINDOW)
    await line.sync(request)
    row = await the_speaker(line, request.spreaview_event_id, speaker_id)
    env = environment(database_url=line.addresses.database_url)
    named = ("--organization-id", str(ORGANIZATION), "--speaker", str(row["sessionize_id"]))
    done = await asyncio.to_thread(run, "erase-speaker", *named, "--yes", "--json", env=env)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["speaker_id"] == str(speaker_id)
    assert told["spreaview_event_ids"] == [str(request.spreaview_event_id)]
    assert await tables_with(line.engine, MARK) == {}
    lifted = await asyncio.to_thread(run, "erase-speaker", *named, "--lift", env=env)
    assert lifted.returncode == 0
    assert "lifted" in lifted.stdout


async def test_an_append_decided_before_the_erasure_is_refused(
    engine: AsyncEngine, log: EventLog
) -> None:
    """Its stream does not know the person, so its version does not change."""
    stream = uuid4()
    speaker = replace(SPEAKER, spreaview_event_id=stream)
    await erase(engine, speaker.organization_id, speaker.speaker_id)
    with pytest.raises(StreamMovedError):
        await log.append(Commit(stream, 0, [NewEvent(uuid4(), speaker)]))
    assert await log.head() == 0
    nameless = dict.fromkeys(PERSONAL_FIELDS["SpeakerImported"])
    await log.append(Commit(stream, 0, [NewEvent(uuid4(), replace(speaker, **nameless))]))


async def test_a_document_read_before_the_erasure_is_not_stored(
    engine: AsyncEngine, log: EventLog
) -> None:
    """The events have no data of the person; only the document may name them."""
    stream, person = uuid4(), uuid4()
    room = replace(ROOM, spreaview_event_id=stream, organization_id=ORGANIZATION)
    body = MARK.encode()
    document = SourceDocument(hashlib.sha256(body).hexdigest(), body)
    before = await log.erased_speakers(ORGANIZATION)
    await erase(engine, ORGANIZATION, person)
    await erase(engine, uuid4(), uuid4())  # an erasure in another organization must not matter
    new = [NewEvent(uuid4(), room)]
    with pytest.raises(StreamMovedError):
        await log.append(Commit(stream, 0, new, source=document, erasures=before))
    assert (await log.head(), await tables_with(engine, MARK)) == (0, {})
    now = await log.erased_speakers(ORGANIZATION)
    await log.append(Commit(stream, 0, new, source=document, erasures=now))


UNPLANNED = {"firstName": MARK, "fullName": MARK}


@pytest.mark.parametrize("unreadable", [{}, {"bio": MARK * 20_000}])
async def test_a_speaker_who_was_never_imported_is_erased_from_the_documents(
    engine: AsyncEngine, unreadable: dict[str, str]
) -> None:
    """The speaker of a session outside the window is in the document, but not imported."""
    past = Past(engine)
    bob = speaker("bob") | UNPLANNED | unreadable
    source = document(
        talk("1"), talk("late", "2026-06-30T09:00:00", speakers=["bob"]),
        speakers=[speaker("ada"), bob],
    )  # fmt: skip
    await past.imports(source)
    await past.imports(document(talk("1"), speakers=[speaker("ada")]))
    assert await tables_with(engine, MARK)
    erased = (await erase(engine, ORGANIZATION, identity.speaker_id(ORGANIZATION, "bob"))).erased
    assert (erased.stream_ids, erased.sources) == ([], 1)
    assert await tables_with(engine, MARK) == {}
    await past.imports(source)
    assert await tables_with(engine, MARK) == {}
    async with engine.connect() as connection:
        kept = await connection.execute(text("SELECT count(*) FROM event_store.sources"))
        assert kept.scalar_one() == 1, "the document that does not name them"
