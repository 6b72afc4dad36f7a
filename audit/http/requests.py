"""Requesting a sync over HTTP: publish a `SyncRequested`, and wait for its outcome if asked to."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import msgspec
from starlette.responses import Response

from audit.http.bodies import JSON, Publish, publish_or_refuse, read_body
from audit.http.changes import ChangesOfRuns
from audit.http.models import SyncAccepted, SyncReport, SyncRequest
from audit.http.routes import read_report, with_changes
from contracts.messages import SyncRequested, Window, parse_api_id
from eventstore.log import EventLog
from projections.http.answering import MAX_WAIT_SECONDS, Answers, respond, wanted_sync
from projections.http.encoded import encoded
from projections.http.endpoint import Call, Endpoint, Parameter
from projections.http.problem import ProblemError, ProblemType, bad_request, not_found
from projections.http.queries import EVENT
from projections.http.tokens import Scope
from worker.rules.window import InvalidWindowError, bounds_of
from worker.sync.first_request import find_first_request


class SyncRequests:
    """The handler of `POST /v1/events/{event_id}/syncs`."""

    def __init__(
        self, answers: Answers, log: EventLog, changes: ChangesOfRuns, publish: Publish
    ) -> None:
        self._answers = answers
        self._log = log
        self._changes = changes
        self._publish = publish

    async def handle(self, call: Call) -> Response:
        """Publish the request, unless its id has been used for it already."""
        event_id = call.path_uuid("event_id")
        body = await read_body(call.request, SyncRequest)
        if not call.access.includes(body.organization_id):
            raise not_found("The token knows no such organization")
        await self._answers.refuse_foreign(call, event_id)
        message = message_of(event_id, body)
        await self.request(message)
        location = f"/v1/events/{event_id}/syncs/{message.request_id}"
        seconds = call.wait_seconds(MAX_WAIT_SECONDS)
        report = (
            await self._report(call, event_id, message.request_id, seconds) if seconds else None
        )
        if report is not None:
            answer = respond(call, encoded(msgspec.json.encode(report)), None, "private, no-store")
            answer.headers["Content-Location"] = location
            return answer
        accepted = SyncAccepted(sync_id=message.request_id, status="accepted", location=location)
        return Response(
            msgspec.json.encode(accepted),
            status_code=202,
            media_type=JSON,
            headers={"Location": location, "Retry-After": "1", "Cache-Control": "no-store"},
        )

    async def request(self, message: SyncRequested) -> None:
        """Publish a request whose id is new, or whose first request has not ended yet.

        Raises:
            ProblemError: the id was used for a request with other content, or Kafka does not
                confirm the record.
        """
        first = await find_first_request(self._log, message)
        if first is not None and first.differences:
            raise ProblemError(
                ProblemType.CONFLICT,
                "The request_id was used for a request that differs in: "
                f"{', '.join(first.differences)}. Use a new request_id",
                field="request_id",
            )
        if first is None or not first.is_over:
            await publish_or_refuse(self._publish, message)

    async def _report(
        self, call: Call, event_id: UUID, sync_id: UUID, seconds: float
    ) -> SyncReport | None:
        """The report, once the outcome is visible; None if it takes longer."""
        try:
            wanted = wanted_sync(sync_id, seconds)
            async with self._answers.moment(event_id, wanted) as (connection, event):
                report = await read_report(connection, event_id, sync_id, event, call.access)
        except ProblemError as error:
            if error.type_ is ProblemType.NOT_YET:
                return None
            raise
        return await with_changes(self._changes, report, event)


def message_of(event_id: UUID, body: SyncRequest) -> SyncRequested:
    """The message of a request, sent now. Raises `ProblemError` for a wrong field."""
    if parse_api_id(body.sessionize_api_id) is None:
        raise bad_request(
            "sessionize_api_id",
            "sessionize_api_id is neither 8 to 12 letters or digits nor a Sessionize API URL",
        )
    window = Window(**msgspec.structs.asdict(body.window))
    try:
        bounds_of(window)
    except InvalidWindowError as error:
        raise bad_request(error.field, str(error)) from error
    return SyncRequested(
        request_id=body.request_id or uuid4(),
        organization_id=body.organization_id,
        spreaview_event_id=event_id,
        sessionize_api_id=body.sessionize_api_id,
        window=window,
        requested_at=datetime.now(UTC),
        requested_by=body.requested_by,
        force=body.force or None,
        allow_removals=body.allow_removals,
    )


def request_endpoints(requests: SyncRequests) -> tuple[Endpoint, ...]:
    """The endpoints that request work."""
    return (
        Endpoint(
            method="POST",
            path="/v1/events/{event_id}/syncs",
            name="requestSync",
            summary="Request a sync; with Prefer: wait, answer with its report.",
            scope=Scope.SYNC,
            handle=requests.handle,
            answers={200: SyncReport, 202: SyncAccepted},
            parameters=(
                EVENT,
                Parameter("Prefer", "header", "`wait=N`: wait at most N seconds, up to 60."),
            ),
            body=SyncRequest,
            problems=(
                ProblemType.NOT_FOUND,
                ProblemType.CONFLICT,
                ProblemType.UNSUPPORTED_MEDIA_TYPE,
            ),
            tag="syncs",
        ),
    )
