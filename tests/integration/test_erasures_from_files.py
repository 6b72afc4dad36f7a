"""Erasures are exported with ids only, and repeated from the file where persons are back."""

import asyncio
import json
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.erase import erase, erase_requester, lift
from audit.erasure.replay import export_erasures, replay_lines
from contracts.identity import requester_subject, speaker_id
from eventstore.restored import check_confirmed, unconfirmed_restore
from tests.integration.test_restore_drill import rename
from tests.support.database import tables_with
from tests.support.documents import document, speaker, talk
from tests.support.line import ORGANIZATION
from tests.support.past import Past
from tests.support.processes import environment, run

pytestmark = pytest.mark.asyncio

ADA = speaker_id(ORGANIZATION, "ada")
DOCUMENT = document(talk("1"), speakers=[speaker("ada", bio="q-biography")])
REQUESTER = "q-requester"


def an_erasure(subject: UUID, organization_id: UUID = ORGANIZATION) -> bytes:
    """An erasure request, as it is on the topic."""
    request = {
        "request_id": str(uuid4()),
        "organization_id": str(organization_id),
        "speaker_id": str(subject),
        "requested_at": "2026-05-20T08:00:00Z",
    }
    return json.dumps(request).encode()


async def people_come_back(past: Past) -> None:
    """Lift both erasures and import again, so that the data are there as after a restore."""
    for subject in (ADA, requester_subject(ORGANIZATION, REQUESTER)):
        await lift(past.engine, ORGANIZATION, subject)
    await past.imports(DOCUMENT, requested_by=REQUESTER)
    assert await tables_with(past.engine, "q-biography")
    assert await tables_with(past.engine, REQUESTER)


async def test_an_exported_file_erases_speakers_and_requesters_again(engine: AsyncEngine) -> None:
    past = Past(engine)
    await past.imports(DOCUMENT, requested_by=REQUESTER)
    await erase(engine, ORGANIZATION, ADA)
    await erase_requester(engine, ORGANIZATION, REQUESTER)
    lines = await export_erasures(engine)
    assert "q-" not in b"".join(lines).decode()
    await people_come_back(past)

    done, again = await replay_lines(engine, lines), await replay_lines(engine, lines)

    assert (done.erased, again.erased) == (2, 0)
    assert await tables_with(engine, "q-biography") == {}
    assert await tables_with(engine, REQUESTER) == {}


async def test_a_file_of_requests_erases_also_whom_nobody_knows(engine: AsyncEngine) -> None:
    known, unknown = ADA, speaker_id(ORGANIZATION, "later")
    past = Past(engine)
    await past.imports(DOCUMENT)
    done = await replay_lines(engine, [an_erasure(subject) for subject in (known, unknown)])

    assert (done.requests, done.answered, done.erased) == (2, 2, 2)
    assert await tables_with(engine, "q-biography") == {}
    assert {known, unknown} <= set(await past.log.erased_speakers(ORGANIZATION))


async def test_a_faulty_request_with_a_used_id_does_not_end_a_replay(engine: AsyncEngine) -> None:
    await Past(engine).imports(DOCUMENT)
    first = an_erasure(ADA)
    faulty = json.dumps(json.loads(first) | {"speaker_id": "ada"}).encode()

    done = await replay_lines(engine, [first, faulty, an_erasure(uuid4())])

    assert (done.requests, done.answered, done.erased) == (3, 2, 2)


async def test_an_erasure_that_was_lifted_is_repeated_under_another_id(engine: AsyncEngine) -> None:
    """As after an import, which has the events of a request, and not its answer."""
    past, request = Past(engine), an_erasure(ADA)
    await past.imports(DOCUMENT)
    await replay_lines(engine, [request])
    await lift(engine, ORGANIZATION, ADA)
    await past.imports(DOCUMENT)
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM event_store.erasures"))

    assert (await replay_lines(engine, [request])).erased == 1
    assert await tables_with(engine, "q-biography") == {}


async def test_a_person_of_another_organization_is_refused(engine: AsyncEngine) -> None:
    past, elsewhere = Past(engine), uuid4()
    await past.imports(DOCUMENT)
    line = {"organization_id": str(elsewhere), "subject": str(ADA), "erasure_id": str(uuid4())}

    done = await replay_lines(engine, [an_erasure(ADA, elsewhere)])
    with pytest.raises(ValueError, match=f"line 2: the log has {ADA} as a person of organization"):
        await replay_lines(engine, [b"", json.dumps(line).encode()])

    assert (done.answered, done.erased) == (1, 0)
    assert await tables_with(engine, "q-biography")
    assert await past.log.erased_speakers(elsewhere) == frozenset()


async def test_an_erasure_in_another_organization_stops_no_import(engine: AsyncEngine) -> None:
    past, elsewhere = Past(engine), uuid4()
    done = await replay_lines(engine, [an_erasure(ADA, elsewhere)])  # nobody knows the id yet
    assert done.erased == 1

    await past.imports(DOCUMENT)

    assert await tables_with(engine, "q-biography")


async def test_a_line_that_is_neither_is_named(engine: AsyncEngine) -> None:
    with pytest.raises(ValueError, match="line 2 is neither"):
        await replay_lines(engine, [b"\n", b'{"name": "Ada"}\n'])


async def test_the_commands_export_erase_and_confirm(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    past, file = Past(engine), tmp_path / "erasures.jsonl"
    await past.imports(DOCUMENT)
    await erase(engine, ORGANIZATION, ADA)
    await rename(engine)
    env = environment(database_url=database_url, data_dir=str(tmp_path))
    for command in (
        ("erasures", "export", "--output", str(file)),
        ("erase-speaker", "--from", str(file), "--yes"),
    ):
        done = await asyncio.to_thread(run, *command, env=env)
        assert done.returncode == 0, done.stderr
        assert await unconfirmed_restore(engine), "only the replay confirms"

    done = await asyncio.to_thread(run, "erasures", "replay", "--without-kafka", env=env)

    assert done.returncode == 0, done.stderr
    await check_confirmed(engine)
