"""Answering erasure requests: each one is carried out or refused, once."""

import logging
from collections.abc import Set
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from audit.erasure.erase import erase_speaker
from audit.erasure.find import FoundPerson, find_by_our_id, find_by_sessionize_id
from contracts import identity
from contracts.messages import ErasureIds, SpeakerErasureRequested
from eventstore.erasure import Erased, ForeignPersonError
from eventstore.erasure_answers import (
    DONE,
    REFUSED,
    ErasureAnswer,
    read_answer,
    write_answer,
)
from worker.rules.ids import read_id
from worker.rules.spelling import spellings_of

logger = logging.getLogger(__name__)

_UNKNOWN = (
    "the organization does not know this speaker_id. Remedy: compare both ids, or give the "
    "sessionize_id: by that, a speaker whom nobody knows yet is forgotten in advance"
)


class ErasureIdTakenError(Exception):
    """Another request has the same id, so this one cannot be answered."""

    def __init__(self, request_id: UUID, whose: str) -> None:
        super().__init__(f"request_id {request_id} is that of an erasure request of {whose}")


class _AnsweredMeanwhileError(Exception):
    """Another process has answered the request since we looked."""


async def find_answer(
    engine: AsyncEngine, request: SpeakerErasureRequested
) -> ErasureAnswer | None:
    """Return the answer to a request; None if it has none yet. Raises as `answer_request`."""
    return await _answered(engine, request, _speakers_of(request))


async def answer_request(
    engine: AsyncEngine, request: SpeakerErasureRequested, *, in_advance: bool = False
) -> ErasureAnswer:
    """Erase the speaker, or refuse. The answer is stored in the same transaction, and returned.

    A request that has an answer is not carried out again, even if the erasure was lifted since.
    `in_advance` also forgets a speaker by an id of ours that nobody knows: a restored log may not
    know the speaker yet.

    Raises:
        ErasureIdTakenError: another request has this id, for another speaker or organization. So
            this one is never answered.
        sqlalchemy.exc.DBAPIError, OSError: the database is down, or a right is missing.
    """
    if (answered := await find_answer(engine, request)) is not None:
        return answered
    try:
        person = await _find(engine, request)
    except ValueError as error:
        return await refuse_request(engine, request, f"sessionize_id: {error}")
    if person.is_our_id and not person.is_known and not in_advance:
        return await refuse_request(engine, request, _UNKNOWN, person.subjects[0])
    return await _erase(engine, request, person)


async def refuse_request(
    engine: AsyncEngine, ids: ErasureIds, reason: str, speaker_id: UUID | None = None
) -> ErasureAnswer:
    """Refuse a request, unless it has an answer; return the answer. Raises as `answer_request`.

    Without a `speaker_id`, the request names no speaker that can be read.
    """
    refusal = ErasureAnswer(ids.request_id, ids.organization_id, speaker_id, REFUSED, reason=reason)
    async with engine.begin() as connection:
        if await write_answer(connection, refusal):
            logger.warning("erasure %s is refused: %s", ids.request_id, reason)
            return refusal
    answered = await _answered(engine, ids, {speaker_id})
    return refusal if answered is None else answered


async def _find(engine: AsyncEngine, request: SpeakerErasureRequested) -> FoundPerson:
    if request.speaker_id is not None:
        return await find_by_our_id(engine, request.organization_id, request.speaker_id)
    sessionize_id = read_id(request.sessionize_id or "")
    if not sessionize_id:
        raise ValueError("it is empty")
    return await find_by_sessionize_id(engine, request.organization_id, sessionize_id)


async def _erase(
    engine: AsyncEngine, request: SpeakerErasureRequested, person: FoundPerson
) -> ErasureAnswer:
    ids = (request.request_id, request.organization_id, person.subjects[0])
    answer = ErasureAnswer(*ids, DONE)

    async def store_answer(connection: AsyncConnection, erased: Erased) -> None:
        nonlocal answer
        answer = ErasureAnswer(*ids, DONE, streams=len(erased.stream_ids))
        if not await write_answer(connection, answer):
            raise _AnsweredMeanwhileError

    try:
        await erase_speaker(
            engine,
            request.organization_id,
            person.subjects,
            request.request_id,
            finish=store_answer,
        )
    except ForeignPersonError as error:
        return await refuse_request(engine, request, str(error), person.subjects[0])
    except _AnsweredMeanwhileError:
        answered = await find_answer(engine, request)
        return answer if answered is None else answered
    logger.info("erasure %s is done in %d streams", request.request_id, answer.streams)
    return answer


def _speakers_of(request: SpeakerErasureRequested) -> Set[UUID | None]:
    """Return the ids of the speaker that an answer may have; None if the id cannot be read."""
    if request.speaker_id is not None:
        return {request.speaker_id}
    try:
        sessionize_id = read_id(request.sessionize_id or "")
    except ValueError:
        return {None}
    if not sessionize_id:
        return {None}
    return {
        identity.speaker_id(request.organization_id, spelling)
        for spelling in spellings_of(sessionize_id)
    }


async def _answered(
    engine: AsyncEngine, ids: ErasureIds, speakers: Set[UUID | None]
) -> ErasureAnswer | None:
    """Return the answer to a request for one of these speakers. Raises `ErasureIdTakenError`."""
    async with engine.connect() as connection:
        answer = await read_answer(connection, ids.request_id)
    if answer is not None and answer.organization_id != ids.organization_id:
        raise ErasureIdTakenError(ids.request_id, "another organization")
    if answer is not None and answer.speaker_id not in speakers:
        raise ErasureIdTakenError(ids.request_id, "another speaker")
    return answer
