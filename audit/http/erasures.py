"""Requesting that a speaker is forgotten, and the answer to such a request."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import Response

from audit.erasure.answer import ErasureIdTakenError, find_answer
from audit.http.bodies import JSON, Publish, publish_or_refuse, read_body
from audit.http.models import ErasureAccepted, ErasureAnswer, ErasureRequest
from contracts.messages import SpeakerErasureRequested
from projections.http.answering import Answers, respond
from projections.http.encoded import encoded
from projections.http.endpoint import UUID_SCHEMA, Call, Endpoint, Parameter
from projections.http.problem import ProblemError, ProblemType, bad_request, not_found
from projections.http.reading import read_rows
from projections.http.tokens import Scope

_ANSWER = text("""
    SELECT row_to_json(e)::text FROM spreaview.erasures e
    WHERE e.organization_id = :organization_id AND e.request_id = :request_id
""")


class Erasures:
    """The handlers of `/v1/organizations/{organization_id}/erasures`."""

    def __init__(self, answers: Answers, engine: AsyncEngine, publish: Publish) -> None:
        self._answers = answers
        self._engine = engine
        self._publish = publish

    async def request(self, call: Call) -> Response:
        """Publish a `SpeakerErasureRequested`, unless it is answered already."""
        organization_id = _organization(call)
        body = await read_body(call.request, ErasureRequest)
        if (body.speaker_id is None) == (body.sessionize_id is None):
            raise bad_request("speaker_id", "give exactly one of speaker_id and sessionize_id")
        message = SpeakerErasureRequested(
            request_id=body.request_id or uuid4(),
            organization_id=organization_id,
            speaker_id=body.speaker_id,
            sessionize_id=body.sessionize_id,
            requested_at=datetime.now(UTC),
        )
        if not await self._is_answered(message):
            await publish_or_refuse(self._publish, message)
        location = f"/v1/organizations/{organization_id}/erasures/{message.request_id}"
        accepted = ErasureAccepted(
            request_id=message.request_id, status="accepted", location=location
        )
        return Response(
            msgspec.json.encode(accepted),
            status_code=202,
            media_type=JSON,
            headers={"Location": location, "Retry-After": "1", "Cache-Control": "no-store"},
        )

    async def _is_answered(self, message: SpeakerErasureRequested) -> bool:
        """Whether the request has an answer. Raises `ProblemError` if its id is of another one."""
        try:
            return await find_answer(self._engine, message) is not None
        except ErasureIdTakenError as taken:
            raise ProblemError(
                ProblemType.CONFLICT, f"{taken}. Use a new request_id", field="request_id"
            ) from taken

    async def answer(self, call: Call) -> Response:
        """The answer to a request."""
        organization_id = _organization(call)
        request_id = call.path_uuid("request_id")
        async with self._answers.snapshot() as connection:
            rows = await read_rows(
                connection,
                _ANSWER,
                ErasureAnswer,
                organization_id=organization_id,
                request_id=request_id,
            )
        if not rows:
            raise not_found("The organization has no such request, or it is not answered yet")
        return respond(call, encoded(msgspec.json.encode(rows[0])), None, "private, no-store")


def _organization(call: Call) -> UUID:
    organization_id = call.path_uuid("organization_id")
    if not call.access.includes(organization_id):
        raise not_found("The token knows no such organization")
    return organization_id


def erasure_endpoints(erasures: Erasures) -> tuple[Endpoint, ...]:
    """The endpoints of erasures."""
    organization = Parameter("organization_id", "path", "The organization.", UUID_SCHEMA)
    return (
        Endpoint(
            method="POST",
            path="/v1/organizations/{organization_id}/erasures",
            name="requestErasure",
            summary="Request that a speaker is forgotten.",
            scope=Scope.SYNC,
            handle=erasures.request,
            answers={202: ErasureAccepted},
            parameters=(organization,),
            body=ErasureRequest,
            problems=(
                ProblemType.NOT_FOUND,
                ProblemType.CONFLICT,
                ProblemType.UNSUPPORTED_MEDIA_TYPE,
            ),
            tag="erasures",
        ),
        Endpoint(
            method="GET",
            path="/v1/organizations/{organization_id}/erasures/{request_id}",
            name="getErasure",
            summary="The answer to a request to forget a speaker.",
            scope=Scope.SYNC,
            handle=erasures.answer,
            answers={200: ErasureAnswer},
            parameters=(
                organization,
                Parameter("request_id", "path", "The id of the request.", UUID_SCHEMA),
            ),
            problems=(ProblemType.NOT_FOUND,),
            tag="erasures",
        ),
    )
