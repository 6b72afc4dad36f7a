"""The audit routes: reports of syncs, reasons for missing sessions, and the history of entities."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

import msgspec
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from audit.explain.explain import explain
from audit.explain.rules import SESSION_RULES
from audit.http.changes import ChangesOfRuns, history_step
from audit.http.models import Explained, History, HistoryStep, SyncReport
from audit.past.entities import EntityQuery
from audit.past.moments import NotInThePastError
from audit.past.timeline import timeline
from eventstore.log import EventLog
from projections.http import reading
from projections.http.answering import FRESHNESS, Answers, respond
from projections.http.encoded import encoded
from projections.http.endpoint import UUID_SCHEMA, Call, Endpoint, Parameter
from projections.http.models import SkippedSession, SkippedSessions, SyncRun
from projections.http.problem import ProblemType, bad_request, not_found
from projections.http.queries import EVENT, PAGING, beyond_the_head, limit_of
from projections.http.shown import ShownEvent
from projections.http.tokens import Access, Scope

T = TypeVar("T")

KINDS = ("session", "room", "speaker")


class _SkippedRow(msgspec.Struct, frozen=True, kw_only=True):
    sessionize_id: str
    title: str
    starts_at: datetime | None
    ends_at: datetime | None
    reason: str
    missing: list[str] | None
    window_starts_at: datetime | None
    window_ends_at: datetime | None
    sync_id: UUID


class AuditRoutes:
    """The handlers."""

    def __init__(self, answers: Answers, log: EventLog, changes: ChangesOfRuns) -> None:
        self._answers = answers
        self._log = log
        self._changes = changes

    async def report(self, call: Call) -> Response:
        """One sync: its outcome, and what it changed."""
        event_id, sync_id = call.path_uuid("event_id"), call.path_uuid("sync_id")

        async def build(connection: AsyncConnection, event: ShownEvent) -> SyncReport:
            return await read_report(connection, event_id, sync_id, event, call.access)

        return await self._answers.event(
            call,
            event_id,
            build,
            complete=partial(with_changes, self._changes),
            variant=call.access.listed,
        )

    async def skipped(self, call: Call) -> Response:
        """The sessions of Sessionize that are not shown, each with the reason and the remedy."""
        event_id = call.path_uuid("event_id")

        async def build(connection: AsyncConnection, event: ShownEvent) -> SkippedSessions:
            rows = await read_skipped(connection, event_id)
            return SkippedSessions(shown=event.shown, spreaview_event_id=event_id, sessions=rows)

        return await self._answers.event(call, event_id, build)

    async def explain(self, call: Call) -> Response:
        """Why a session, room or speaker is there, or not."""
        event_id = call.path_uuid("event_id")
        given = [(kind, text) for kind in KINDS if (text := call.query(kind))]
        if len(given) != 1:
            raise bad_request("session", "give one of session, room and speaker")
        await self._answers.shown(call, event_id)
        kind, text = given[0]
        found = await _in_the_past(lambda: explain(self._log, event_id, kind, text))
        body = msgspec.json.encode(msgspec.convert(found.to_json(), Explained))
        return respond(call, encoded(body), None, "private, no-store")

    async def history(self, call: Call) -> Response:
        """The timeline of one entity, or of all."""
        event_id = call.path_uuid("event_id")
        given = [(kind, text) for kind in KINDS if (text := call.query(kind))]
        if len(given) > 1:
            raise bad_request("session", "give at most one of session, room and speaker")
        after = call.query_number("after", least=0, most=2**63 - 1) or 0
        limit = limit_of(call)
        await self._answers.shown(call, event_id)
        if after and after > (head := await self._log.head()):
            raise beyond_the_head(after, head)
        query = EntityQuery(*given[0]) if given else EntityQuery()
        steps, is_last = await _in_the_past(
            lambda: _steps(self._log, event_id, query, after, limit)
        )
        if given and not steps and not after:
            kind, text = given[0]
            raise not_found(
                f"The history of the event does not know a {kind} {text!r}. "
                f"/v1/events/{event_id}/explain says why, if the source contains it"
            )
        answer = History(
            spreaview_event_id=event_id,
            steps=tuple(steps),
            next=None if is_last else str(steps[-1].position),
        )
        return respond(call, encoded(msgspec.json.encode(answer)), None, "private, no-store")


async def read_report(
    connection: AsyncConnection,
    event_id: UUID,
    sync_id: UUID,
    event: ShownEvent,
    access: Access,
) -> SyncReport:
    """Read everything about a sync of an event, except for its changes: see `with_changes`.

    A request that another organization made for the event is a sync of that organization.

    Raises:
        ProblemError: the sync is unknown, or belongs to an organization that `access` excludes.
    """
    runs = await reading.read_rows(
        connection, reading.RUN, SyncRun, event_id=event_id, sync_id=sync_id
    )
    if not runs or not access.includes(runs[0].organization_id):
        raise not_found("The event has no such sync, or it has not begun yet")
    return SyncReport(
        shown=event.shown,
        sync=runs[0],
        changes=(),
        changes_total=0,
        skipped=await read_skipped(connection, event_id),
    )


async def with_changes(
    changes_of_runs: ChangesOfRuns, report: SyncReport, event: ShownEvent
) -> SyncReport:
    """Add the changes to a report.

    They are read from the log, with a connection of their own: the caller must hold none.
    """
    state = event.shown.log_id, event.erasures
    run = report.sync
    changes = await changes_of_runs.of(run.spreaview_event_id, run.sync_id, state)
    return replace(report, changes=changes.first, changes_total=changes.total)


async def read_skipped(connection: AsyncConnection, event_id: UUID) -> tuple[SkippedSession, ...]:
    """Read what is skipped now, with the remedies."""
    rows = await reading.read_rows(connection, reading.SKIPPED, _SkippedRow, event_id=event_id)
    return tuple(
        SkippedSession(**msgspec.structs.asdict(row), remedy=SESSION_RULES[row.reason].remedy)
        for row in rows
    )


async def _steps(
    log: EventLog, event_id: UUID, query: EntityQuery, after: int, limit: int
) -> tuple[list[HistoryStep], bool]:
    """A page of steps; events are never split, so a page may be longer than `limit`."""
    steps: list[HistoryStep] = []
    async for step, names, _ in timeline(log, event_id, query):
        if step.position <= after:
            continue
        if len(steps) >= limit and step.position != steps[-1].position:
            return steps, False
        steps.append(history_step(step, names))
    return steps, True


async def _in_the_past(read: Callable[[], Awaitable[T]]) -> T:
    try:
        return await read()
    except NotInThePastError as error:
        raise not_found(str(error)) from error


_IDS = dict.fromkeys(KINDS, "its Sessionize id, our id") | {
    "session": "its Sessionize id, our id, the code of its review URL"
}


def audit_endpoints(routes: AuditRoutes) -> tuple[Endpoint, ...]:
    """The endpoints of the audit routes."""
    missing = (ProblemType.NOT_FOUND, ProblemType.NOT_YET)
    entities = tuple(
        Parameter(kind, "query", f"A {kind}: {_IDS[kind]}, or part of its name.") for kind in KINDS
    )
    known = tuple(Parameter(kind, "query", f"A {kind}: {_IDS[kind]}.") for kind in KINDS)
    return (
        Endpoint(
            method="GET",
            path="/v1/events/{event_id}/syncs/{sync_id}",
            name="getSync",
            summary="One sync: outcome, warnings, and which entities it changed and how.",
            scope=Scope.READ,
            handle=routes.report,
            answers={200: SyncReport, 304: None},
            parameters=(
                EVENT,
                Parameter("sync_id", "path", "The id of the sync.", UUID_SCHEMA),
                *FRESHNESS,
            ),
            problems=missing,
            tag="syncs",
        ),
        Endpoint(
            method="GET",
            path="/v1/events/{event_id}/skipped",
            name="listSkipped",
            summary="The sessions that are not shown, each with the reason and the remedy.",
            scope=Scope.READ,
            handle=routes.skipped,
            answers={200: SkippedSessions, 304: None},
            parameters=(EVENT, *FRESHNESS),
            problems=missing,
            tag="audit",
        ),
        Endpoint(
            method="GET",
            path="/v1/events/{event_id}/explain",
            name="explain",
            summary="Why a session, room or speaker is there, or is missing.",
            scope=Scope.AUDIT,
            handle=routes.explain,
            answers={200: Explained},
            parameters=(EVENT, *entities, *FRESHNESS[:-1]),
            problems=missing,
            tag="audit",
        ),
        Endpoint(
            method="GET",
            path="/v1/events/{event_id}/history",
            name="getHistory",
            summary="What happened to the entities of an event, the oldest first.",
            scope=Scope.AUDIT,
            handle=routes.history,
            answers={200: History},
            parameters=(EVENT, *known, *PAGING, *FRESHNESS[:-1]),
            problems=(*missing, ProblemType.RESET),
            tag="audit",
        ),
    )
