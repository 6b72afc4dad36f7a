"""Erasures that come again or are lifted: log, read models and verification agree afterwards."""

from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.answer import answer_request
from audit.erasure.erase import erase, lift
from audit.verify.verify import verify
from contracts.identity import speaker_id
from contracts.messages import decode_erasure
from eventstore.erasure_answers import DONE, read_answer
from tests.integration.test_erasures_from_files import an_erasure
from tests.support.documents import document, speaker, talk
from tests.support.line import ORGANIZATION
from tests.support.past import Past, dumped

pytestmark = pytest.mark.asyncio

ADA = speaker_id(ORGANIZATION, "ada")
WITH_ADA = document(talk("1"), talk("2", speakers=["bob"]))
WITHOUT_ADA = document(talk("2", speakers=["bob"]))


async def status(past: Past) -> object:
    rows = await dumped(past.engine, "event_speakers", past.event_id)
    return next(row["status"] for row in rows if row["speaker_id"] == str(ADA))


@pytest.mark.parametrize("in_advance", [False, True])
async def test_a_second_erasure_leaves_a_withdrawn_speaker_withdrawn(
    engine: AsyncEngine, in_advance: bool
) -> None:
    past = Past(engine)
    if in_advance:
        await erase(engine, ORGANIZATION, ADA)
    await past.imports(WITH_ADA)
    await erase(engine, ORGANIZATION, ADA)
    await past.imports(WITHOUT_ADA)
    assert await status(past) == "withdrawn"

    report = await erase(engine, ORGANIZATION, ADA)

    await past.project()
    assert (report.rows, await status(past)) == (0, "withdrawn")
    found = await verify(engine)
    assert found.is_clean, found.findings


async def test_a_lifted_erasure_explains_the_documents_that_it_deleted(
    engine: AsyncEngine,
) -> None:
    past = Past(engine)
    await erase(engine, ORGANIZATION, ADA)  # in advance: no stream has a SpeakerErased
    await past.imports(WITH_ADA)
    await lift(engine, ORGANIZATION, ADA)
    await past.imports(document(talk("1", title="New"), talk("2", speakers=["bob"])))

    found = await verify(engine)

    assert found.is_clean, found.findings


async def test_an_erasure_by_the_command_has_an_answer_as_one_by_request(
    engine: AsyncEngine,
) -> None:
    past = Past(engine)
    await past.imports(document(talk("1"), speakers=[speaker("ada")]))
    report = await erase(engine, ORGANIZATION, ADA)
    asked = await answer_request(engine, decode_erasure(an_erasure(uuid4())))
    async with engine.connect() as connection:
        answer = await read_answer(connection, report.erased.erasure_id)
    assert answer is not None
    assert (answer.speaker_id, answer.status, answer.streams) == (ADA, DONE, 1)
    assert asked.status != DONE
