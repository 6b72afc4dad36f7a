"""A speaker who opts out in SpreaView is forgotten by a message, once, and gets an answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from audit.erasure import answer as answering
from audit.erasure.answer import ErasureIdTakenError, answer_request
from audit.erasure.erase import lift
from cli.connections import database
from contracts.codec import JsonObject
from contracts.events import SpeakerErased
from contracts.topics import ERASURE_REQUESTS
from eventstore.erasure_answers import ErasureAnswer, write_answer
from eventstore.log import EventLog
from messaging.dead_letters.resolution import read_letters, retry
from messaging.requests import publish_erasure
from messaging.topic_reader import open_topic_reader
from tests.support.brokers import Can, KnownBroker
from tests.support.brokers import broker as broker
from tests.support.database import tables_with
from tests.support.documents import WINDOW, document, speaker, talk
from tests.support.erasures import Person, a_call, answer_to
from tests.support.line import ORGANIZATION, PATIENCE, Line, a_request, the_line
from tests.support.past import Past, guids_as_spelled
from tests.support.rebuilds import rebuild_quietly
from tests.support.roles import grant_roles, logins

pytestmark = pytest.mark.asyncio

OTHER = UUID("11111111-0000-4000-8000-000000000002")


@pytest_asyncio.fixture(scope="module")
async def line(broker: KnownBroker, module_database_url: str) -> AsyncIterator[Line]:
    transactions = broker.can(Can.TRANSACTIONS)
    async with the_line(
        broker.address, module_database_url, transactions=transactions, snapshot_events=1
    ) as line:
        yield line


async def erased_events(line: Line, event_id: UUID) -> list[SpeakerErased]:
    events = [recorded.event async for recorded in line.log.read_stream(event_id)]
    return [event for event in events if isinstance(event, SpeakerErased)]


async def publish(line: Line, body: JsonObject | bytes, key: UUID = ORGANIZATION) -> None:
    value = body if isinstance(body, bytes) else json.dumps(body, default=str).encode()
    await line.producer.send_and_wait(ERASURE_REQUESTS, value, key=str(key).encode())


@pytest.mark.parametrize("by", ["sessionize_id", "upper case", "speaker_id"])
async def test_a_speaker_is_forgotten_on_every_stream(line: Line, by: str) -> None:
    person = Person()
    person.serve(line, "forget01")
    requests = [a_request("forget01", WINDOW) for _ in range(2)]
    for request in requests:
        assert (await line.sync(request))["status"] == "completed"
    ours = person.id_in(ORGANIZATION)
    given: dict[str, dict[str, Any]] = {
        "sessionize_id": {"sessionize_id": person.guid},
        "upper case": {"sessionize_id": f" {person.guid.upper()} "},
        "speaker_id": {"speaker_id": ours},
    }
    assert await tables_with(line.engine, person.mark)
    call = a_call(**given[by])

    await publish_erasure(line.producer, call)

    answer = await answer_to(line, call.request_id)
    assert (answer["status"], answer["streams"], answer["reason"]) == ("done", 2, None)
    assert (answer["organization_id"], answer["speaker_id"]) == (ORGANIZATION, ours)
    assert await tables_with(line.engine, person.mark) == {}
    for request in requests:
        (erased,) = await erased_events(line, request.spreaview_event_id)
        assert (erased.sync_id, erased.speaker_id) == (call.request_id, ours)
    again = a_request("forget01", WINDOW, event_id=requests[0].spreaview_event_id)
    assert (await line.sync(again))["status"] == "completed"
    assert await tables_with(line.engine, person.mark) == {}


async def test_a_speaker_whom_nobody_knows_is_forgotten_in_advance(line: Line) -> None:
    person = Person()
    call = a_call(sessionize_id=person.guid)
    await publish_erasure(line.producer, call)
    answer = await answer_to(line, call.request_id)
    assert (answer["status"], answer["streams"]) == ("done", 0)
    assert answer["speaker_id"] == person.id_in(ORGANIZATION)

    person.serve(line, "forget02")
    request = a_request("forget02", WINDOW)
    await line.sync(request)

    rows = await line.rows("event_speakers", request.spreaview_event_id)
    assert {row["sessionize_id"]: row["status"] for row in rows}[person.guid] == "erased"
    assert await tables_with(line.engine, person.mark) == {}


async def test_our_id_that_the_organization_does_not_know_is_refused(line: Line) -> None:
    call = a_call(speaker_id=uuid4())

    await publish_erasure(line.producer, call)

    answer = await answer_to(line, call.request_id)
    assert (answer["status"], answer["speaker_id"]) == ("refused", call.speaker_id)
    assert "does not know this speaker_id. Remedy:" in str(answer["reason"])


async def test_the_same_person_in_another_organization_stays(line: Line) -> None:
    person = Person()
    person.serve(line, "forget03")
    await line.sync(a_request("forget03", WINDOW))
    there = a_request("forget03", WINDOW, organization_id=OTHER)
    await line.sync(there)
    call = a_call(sessionize_id=person.guid)
    foreign = a_call(OTHER, speaker_id=person.id_in(ORGANIZATION))

    await publish_erasure(line.producer, call)
    await publish_erasure(line.producer, foreign)

    assert (await answer_to(line, call.request_id))["status"] == "done"
    assert (await answer_to(line, foreign.request_id))["status"] == "refused"
    rows = await line.rows("event_speakers", there.spreaview_event_id)
    assert {row["full_name"] for row in rows} == {person.mark, "Ada Example"}
    assert await erased_events(line, there.spreaview_event_id) == []


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({}, "exactly one of", id="no id"),
        pytest.param({"speaker_id": str(OTHER), "sessionize_id": "a"}, "exactly one", id="both"),
        pytest.param({"sessionize_id": 7}, "sessionize_id", id="a number"),
        pytest.param({"sessionize_id": "\u200b"}, "it is empty", id="an empty id"),
        pytest.param({"speaker_id": "ada"}, "speaker_id", id="not a UUID"),
        pytest.param({"sessionize_id": "a", "requested_at": "now"}, "requested_at", id="a time"),
    ],
)
async def test_a_request_with_readable_ids_is_refused_with_the_reason(
    line: Line, fields: JsonObject, reason: str
) -> None:
    request_id = uuid4()
    ids = {"request_id": request_id, "organization_id": ORGANIZATION}

    await publish(line, ids | {"requested_at": "2026-11-30T09:00:00Z"} | fields)

    answer = await answer_to(line, request_id)
    assert answer["status"] == "refused"
    assert reason in str(answer["reason"])


async def test_a_redelivered_request_is_carried_out_once_even_after_the_erasure_is_lifted(
    line: Line,
) -> None:
    person = Person()
    person.serve(line, "forget04")
    request = a_request("forget04", WINDOW)
    await line.sync(request)
    call = a_call(sessionize_id=person.guid)
    await publish_erasure(line.producer, call)
    before = await answer_to(line, call.request_id)
    assert await lift(line.engine, ORGANIZATION, person.id_in(ORGANIZATION))
    await line.sync(a_request("forget04", WINDOW, event_id=request.spreaview_event_id))

    await publish_erasure(line.producer, call)
    last = a_call(speaker_id=uuid4())
    await publish_erasure(line.producer, last)
    await answer_to(line, last.request_id)

    assert await answer_to(line, call.request_id) == before
    assert len(await erased_events(line, request.spreaview_event_id)) == 1
    rows = await line.rows("event_speakers", request.spreaview_event_id)
    assert person.mark in {row["full_name"] for row in rows}


async def test_an_unreadable_request_is_a_dead_letter_that_returns_to_its_topic(
    line: Line,
) -> None:
    nonsense = f"not JSON {uuid4()}".encode()
    await publish(line, nonsense)
    async with open_topic_reader(line.addresses.kafka) as reader:
        async with asyncio.timeout(PATIENCE):
            while True:
                letters = (await read_letters(reader)).open()
                found = [letter for letter in letters if letter.size == len(nonsense)]
                if found:
                    break
                await asyncio.sleep(0.1)

        published = await retry(reader, line.producer, found[0])

    assert found[0].topic == published.topic == ERASURE_REQUESTS


async def test_syncs_and_an_erasure_at_the_same_time_leave_nothing(line: Line) -> None:
    person = Person()
    person.serve(line, "forget05")
    events = [uuid4() for _ in range(4)]
    calls = [a_call(sessionize_id=person.guid) for _ in range(2)]
    syncs = [a_request("forget05", WINDOW, event_id=event) for event in events * 2]

    await asyncio.gather(
        *(line.sync(request) for request in syncs[:4]),
        *(publish_erasure(line.producer, call) for call in calls),
        *(line.sync(request) for request in syncs[4:]),
    )

    for call in calls:
        assert (await answer_to(line, call.request_id))["status"] == "done"
    for event in events:
        await line.sync(a_request("forget05", WINDOW, event_id=event))
    assert await tables_with(line.engine, person.mark) == {}


async def imported(engine: AsyncEngine, line: Line) -> Person:
    person = Person()
    person.serve(line, "forget06")
    await line.sync(a_request("forget06", WINDOW))
    return person


async def test_a_crash_before_the_answer_erases_nothing(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await imported(line.engine, line)
    call = a_call(sessionize_id=person.guid)

    async def crash(connection: AsyncConnection, answer: ErasureAnswer) -> bool:
        assert await write_answer(connection, answer)
        raise ConnectionResetError("the process is gone")

    with monkeypatch.context() as patched:
        patched.setattr(answering, "write_answer", crash)
        with pytest.raises(ConnectionResetError):
            await answer_request(line.engine, call)
    assert await tables_with(line.engine, person.mark)

    answer = await answer_request(line.engine, call)

    assert (answer.status, answer.streams) == ("done", 1)
    assert await tables_with(line.engine, person.mark) == {}


async def test_several_processes_with_one_request_erase_once(line: Line) -> None:
    person = await imported(line.engine, line)
    call = a_call(sessionize_id=person.guid)

    answers = await asyncio.gather(*(answer_request(line.engine, call) for _ in range(4)))

    assert {(answer.status, answer.streams) for answer in answers} == {("done", 1)}


@pytest.mark.parametrize("by", ["sessionize_id", "speaker_id"])
async def test_every_spelling_of_the_id_is_erased(engine: AsyncEngine, by: str) -> None:
    person = Person()
    for guid in (person.guid, person.guid.upper()):
        with guids_as_spelled():
            people = [speaker(guid, fullName=person.mark)]
            await Past(engine).imports(document(talk("1", speakers=[guid]), speakers=people))

    given: dict[str, Any] = {
        by: person.guid if by == "sessionize_id" else person.id_in(ORGANIZATION)
    }
    answer = await answer_request(engine, a_call(**given))

    assert (answer.status, answer.streams) == ("done", 2)
    assert answer.speaker_id == person.id_in(ORGANIZATION)
    assert await tables_with(engine, person.mark) == {}


async def test_an_id_of_another_organizations_request_cannot_be_answered(line: Line) -> None:
    call = a_call(speaker_id=uuid4())
    await answer_request(line.engine, call)

    with pytest.raises(ErasureIdTakenError, match="another organization"):
        await answer_request(
            line.engine, a_call(OTHER, request_id=call.request_id, speaker_id=OTHER)
        )


@pytest.mark.parametrize("by", ["sessionize_id", "speaker_id"])
async def test_every_spelling_of_the_same_request_gets_its_answer(
    engine: AsyncEngine, by: str
) -> None:
    person = Person()
    first = a_call(sessionize_id=person.guid)
    answer = await answer_request(engine, first)
    same: dict[str, Any] = {
        by: person.guid.upper() if by == "sessionize_id" else person.id_in(ORGANIZATION)
    }

    again = await answer_request(engine, a_call(request_id=first.request_id, **same))

    assert again._replace(answered_at=None) == answer._replace(answered_at=None)


@pytest.mark.parametrize(
    "other",
    [{"sessionize_id": "bob"}, {"speaker_id": str(OTHER)}, {"sessionize_id": 7}],
    ids=["a speaker", "our id", "no speaker"],
)
async def test_a_request_for_another_speaker_with_a_used_id_is_a_dead_letter(
    line: Line, other: JsonObject
) -> None:
    call = a_call(sessionize_id=Person().guid)
    await publish_erasure(line.producer, call)
    answer = await answer_to(line, call.request_id)

    ids = {"request_id": call.request_id, "organization_id": ORGANIZATION}
    await publish(line, ids | {"requested_at": "2026-11-30T09:00:00Z"} | other)

    reason = f"request_id {call.request_id} is that of an erasure request of another speaker"
    async with open_topic_reader(line.addresses.kafka) as reader, asyncio.timeout(PATIENCE):
        while True:
            letters = (await read_letters(reader)).open()
            if any(letter.reason == reason for letter in letters):
                break
            await asyncio.sleep(0.1)
    assert await answer_to(line, call.request_id) == answer


async def test_the_workers_login_erases_in_every_generation(
    line: Line, module_database_url: str
) -> None:
    person = await imported(line.engine, line)
    await grant_roles(module_database_url)
    await rebuild_quietly(line.engine)
    worker = (await logins(module_database_url))["worker"]
    async with database(worker, pool_size=2) as engine:
        answer = await answer_request(engine, a_call(sessionize_id=person.guid))

    assert (answer.status, answer.streams) == ("done", 1)
    assert await tables_with(line.engine, person.mark) == {}
    assert await EventLog(line.engine).head()
