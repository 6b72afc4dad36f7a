"""An erasure finds the person by any spelling of the id, and refuses an unknown person."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure import documents
from audit.erasure.answer import answer_request
from audit.erasure.erase import erase, lift
from audit.erasure.find import (
    find_by_our_id,
    find_by_sessionize_id,
    find_requester,
    find_speaker,
)
from contracts import identity
from contracts.codec import JsonObject
from contracts.messages import SpeakerErasureRequested
from eventstore.log import EventLog
from tests.support.database import tables_with
from tests.support.documents import document, speaker, talk
from tests.support.line import ORGANIZATION, rows
from tests.support.off_the_loop import with_free_loop
from tests.support.past import Past, guids_as_spelled
from tests.support.processes import environment, run

pytestmark = pytest.mark.asyncio

GUID = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
ID = identity.speaker_id(ORGANIZATION, GUID)
MARK = "zqxwv"
UNREADABLE = b"{ not a schedule"


def naming(*keys: str) -> JsonObject:
    """A document of one talk by speakers with these ids in Sessionize."""
    speakers = [speaker(key) | {"firstName": MARK, "fullName": MARK} for key in keys]
    return document(talk("1", speakers=list(keys)), speakers=speakers)


async def erase_speaker(
    url: str, given: str, *more: str, organization_id: UUID = ORGANIZATION
) -> subprocess.CompletedProcess[str]:
    """Run the command with `--speaker`."""
    named = ("--organization-id", str(organization_id), "--speaker", given)
    command = ("erase-speaker", *named, "--yes", *more)
    return await asyncio.to_thread(run, *command, env=environment(database_url=url))


@pytest.mark.parametrize(
    "spelled",
    [
        str.upper,
        lambda given: f"  {given} ",
        lambda given: given.replace("-", ""),
        lambda given: given.replace("-", " "),
        lambda given: "{" + given + "}",
    ],
)
@pytest.mark.parametrize("given", [GUID, str(ID)])
async def test_an_id_is_found_in_every_spelling(
    engine: AsyncEngine, spelled: Callable[[str], str], given: str
) -> None:
    await Past(engine).imports(naming(GUID))
    found = await find_speaker(engine, ORGANIZATION, spelled(given))
    assert (found.subjects, found.is_known) == ([ID], True)


@pytest.mark.parametrize("key", [GUID.upper(), "0A1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"])
async def test_a_speaker_imported_with_capitals_is_found(engine: AsyncEngine, key: str) -> None:
    with guids_as_spelled():
        await Past(engine).imports(naming(key))
    ours = identity.speaker_id(ORGANIZATION, key)
    for given in (GUID, str(ours), str(ID)):
        found = await find_speaker(engine, ORGANIZATION, given)
        assert (set(found.subjects), found.is_known) == ({ours, ID}, True)
    found = await find_by_sessionize_id(engine, ORGANIZATION, GUID)
    assert found.subjects == [ID, ours], "a new import would use the first"
    for asked, other in ((ours, ID), (ID, ours)):
        found = await find_by_our_id(engine, ORGANIZATION, asked)
        assert (found.subjects, found.is_known) == ([asked, other], True)


@pytest.mark.parametrize("key", [GUID.upper(), "0A1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"])
@pytest.mark.parametrize("by", ["given", "ours", "canonical"])
async def test_an_erasure_and_its_end_cover_every_spelling(
    engine: AsyncEngine, database_url: str, key: str, by: str
) -> None:
    past, later = Past(engine), Past(engine)
    with guids_as_spelled():
        await past.imports(naming(key))
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM event_store.sources"))
    given = {"given": GUID, "ours": str(identity.speaker_id(ORGANIZATION, key))}.get(by, str(ID))
    assert (await erase_speaker(database_url, given)).returncode == 0
    await later.imports(naming(GUID))
    assert not await tables_with(engine, MARK)

    lifted = await erase_speaker(database_url, given, "--lift")
    assert "is lifted" in lifted.stdout
    assert await EventLog(engine).erased_speakers(ORGANIZATION) == frozenset()
    for each in (past, later):
        await each.imports(naming(GUID))
        (speaker_row,) = await rows(engine, "event_speakers", each.event_id)
        assert (speaker_row["full_name"], speaker_row["status"]) == (MARK, "imported")


@pytest.mark.parametrize("key", [GUID, GUID.upper()])
async def test_a_requested_erasure_is_lifted_by_any_id(
    engine: AsyncEngine, database_url: str, key: str
) -> None:
    past = Past(engine)
    with guids_as_spelled():
        await past.imports(naming(GUID.upper()))
    await answer_request(
        engine,
        SpeakerErasureRequested(
            request_id=uuid4(),
            organization_id=ORGANIZATION,
            sessionize_id=GUID,
            requested_at=datetime.now(UTC),
        ),
    )
    assert len(await EventLog(engine).erased_speakers(ORGANIZATION)) == 2
    ours = identity.speaker_id(ORGANIZATION, key)
    assert (await erase_speaker(database_url, str(ours), "--lift")).returncode == 0
    assert await EventLog(engine).erased_speakers(ORGANIZATION) == frozenset()


async def test_an_id_that_is_not_a_uuid_is_found_by_its_spelling(engine: AsyncEngine) -> None:
    await Past(engine).imports(naming("Ada"))
    assert (await find_speaker(engine, ORGANIZATION, " Ada ")).is_known
    assert not (await find_speaker(engine, ORGANIZATION, "ada")).is_known
    assert not (await find_by_sessionize_id(engine, ORGANIZATION, "ada")).is_known


async def test_a_speaker_is_unknown_to_another_organization(engine: AsyncEngine) -> None:
    await Past(engine).imports(naming(GUID))
    for given in (GUID, str(ID)):
        assert not (await find_speaker(engine, uuid4(), given)).is_known


async def test_a_speaker_in_documents_only_is_found(engine: AsyncEngine) -> None:
    late = talk("late", "2026-06-30T09:00:00", speakers=[GUID.upper()])
    source = document(talk("1"), late, speakers=[speaker("ada"), speaker(GUID.upper())])
    await Past(engine).imports(source)
    found = await find_speaker(engine, ORGANIZATION, GUID)
    ours = identity.speaker_id(ORGANIZATION, GUID.upper())
    assert (set(found.subjects), found.is_known) == ({ID, ours}, True)
    assert (await find_speaker(engine, ORGANIZATION, str(ours))).is_known


async def test_reading_documents_leaves_the_event_loop_free(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = talk("late", "2026-06-30T09:00:00", speakers=[GUID])  # so that no event names her
    await Past(engine).imports(document(talk("1"), late, speakers=[speaker("ada"), speaker(GUID)]))
    finding = find_speaker(engine, ORGANIZATION, GUID)
    found = await with_free_loop(finding, monkeypatch, documents, "read_document")
    assert found.is_known


async def test_an_erased_speaker_stays_known_until_the_end(engine: AsyncEngine) -> None:
    await erase(engine, ORGANIZATION, ID)  # in advance
    assert (await find_speaker(engine, ORGANIZATION, GUID)).is_known
    await lift(engine, ORGANIZATION, ID)
    assert not (await find_speaker(engine, ORGANIZATION, GUID)).is_known


async def test_a_requester_is_found_by_organization_and_name(engine: AsyncEngine) -> None:
    await Past(engine).imports(naming(GUID), requested_by="Ada Example")
    assert (await find_requester(engine, ORGANIZATION, "Ada Example")).is_known
    assert not (await find_requester(engine, uuid4(), "Ada Example")).is_known
    assert not (await find_requester(engine, ORGANIZATION, "ada example")).is_known


async def test_a_requester_given_by_our_id_is_erased_with_all_rows(engine: AsyncEngine) -> None:
    past = Past(engine)
    await past.imports(naming(GUID), requested_by="Ada Example")
    await past.imports(naming(GUID), requested_by="Bob Example")
    ours = identity.requester_subject(ORGANIZATION, "Ada Example")
    assert (await find_speaker(engine, ORGANIZATION, str(ours))).subjects == [ours]
    assert (await erase(engine, ORGANIZATION, ours)).rows == 1
    shown = {row["requested_by"] for row in await rows(engine, "sync_runs", past.event_id)}
    assert shown == {None, "Bob Example"}


async def test_erasing_an_unknown_person_deletes_no_document(engine: AsyncEngine) -> None:
    """An unreadable document may name anybody, but nobody whom no other trace names."""
    past = Past(engine)
    await past.imports(naming(GUID))
    await past.imports(UNREADABLE)
    assert (await erase(engine, ORGANIZATION, uuid4())).erased.sources == 0
    assert (await erase(engine, ORGANIZATION, ID)).erased.sources == 2


async def test_the_command_refuses_an_unknown_person_and_changes_nothing(
    engine: AsyncEngine, database_url: str
) -> None:
    await Past(engine).imports(naming(GUID))
    other = str(uuid4())
    for given in (other, str(identity.speaker_id(ORGANIZATION, other))):
        refused = await erase_speaker(database_url, given)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "does not know speaker" in refused.stderr
        assert "nothing was erased" in refused.stderr
    unknown_id = str(identity.speaker_id(ORGANIZATION, other))
    assert (await erase_speaker(database_url, unknown_id, "--in-advance")).returncode == 1
    assert await EventLog(engine).erased_speakers(ORGANIZATION) == frozenset()

    in_advance = await erase_speaker(database_url, other, "--in-advance")
    assert in_advance.returncode == 0, in_advance.stderr
    assert "nobody knows this person yet: nothing was deleted" in in_advance.stdout
    forgotten = await EventLog(engine).erased_speakers(ORGANIZATION)
    assert forgotten == {identity.speaker_id(ORGANIZATION, other)}
    assert await tables_with(engine, MARK), "the known speaker is untouched"

    done = await erase_speaker(database_url, GUID.upper(), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["speaker_id"] == str(ID)
    assert await tables_with(engine, MARK) == {}
