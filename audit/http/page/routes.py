"""The routes of the page. Reading needs no script; text from Sessionize is always escaped."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from audit.explain.explain import explain
from audit.http.bodies import limited_body
from audit.http.changes import ChangesOfRuns
from audit.http.models import SyncRequest, SyncWindow
from audit.http.page import words
from audit.http.page.grid import BAR_WIDTH, CHART_HEIGHT, COLUMNS, chart_of, grid_of
from audit.http.page.sandbox import Sandbox
from audit.http.requests import SyncRequests, message_of
from audit.http.routes import read_report, read_skipped, with_changes
from audit.past.moments import NotInThePastError
from audit.words import field_name, field_names, reason
from contracts.instants import in_zone
from contracts.wording import counted
from eventstore.log import EventLog
from projections.http import reading
from projections.http.answering import Answers
from projections.http.application import COOKIE, Security, answering
from projections.http.endpoint import Call
from projections.http.models import EventSummary, SyncRun
from projections.http.problem import (
    MEDIA_TYPE,
    Problem,
    ProblemError,
    ProblemType,
    bad_request,
)
from projections.http.queries import read_schedule
from projections.http.shown import read_shown
from projections.http.templating import Renderer, static_route
from projections.http.tokens import Access, Scope

SESSION_HOURS = 12
_EVENTS = 200
_RUNS = 60
_SYNC_MAX_REMOVALS = 1_000_000


class PageRoutes:
    """The handlers of the page."""

    def __init__(
        self,
        answers: Answers,
        log: EventLog,
        changes: ChangesOfRuns,
        requests: SyncRequests,
        security: Security,
        sandbox: Sandbox | None,
    ) -> None:
        self._answers = answers
        self._log = log
        self._changes = changes
        self._requests = requests
        self._security = security
        self._sandbox = sandbox
        self.renderer = Renderer(
            ("audit.http.page", "projections.http"),
            {
                "shown": words.shown,
                "field_name": field_name,
                "field_names": field_names,
                "reason": reason,
                "sentence": words.sentence,
                "day": words.day,
                "shown_in": words.shown_in,
                "counts_to_show": words.counts_to_show,
                "fields_to_show": words.fields_to_show,
                "total": words.total,
                "counted": counted,
            },
        )

    async def home(self, call: Call) -> Response:
        """The events with their last syncs, or the first step in an empty system."""
        async with self._answers.snapshot() as connection:
            events = await reading.read_rows(
                connection,
                reading.EVENTS,
                EventSummary,
                before=2**63 - 1,
                limit=_EVENTS + 1,
                organizations=call.access.listed,
            )
        return self._page(
            call, "home.html", events=events[:_EVENTS], has_more=len(events) > _EVENTS
        )

    async def event(self, call: Call) -> Response:
        """One event: the schedule to verify, the missing sessions, and the last sync."""
        event_id = call.path_uuid("event_id")
        async with self._answers.fresh(call, event_id) as (connection, event):
            schedule = await read_schedule(connection, event_id, event)
            zone = await reading.read_zone(connection, event_id)
            skipped = await read_skipped(connection, event_id)
            runs = await self._runs(connection, call, event_id, 1)
        return self._page(
            call,
            "event.html",
            event_id=event_id,
            schedule=schedule,
            grids=[grid_of(day) for day in schedule.days],
            zone=zone,
            skipped=skipped,
            run=runs[0] if runs else None,
        )

    async def sync(self, call: Call) -> Response:
        """One sync: progress, or the report. A reload or a second viewer sees the same."""
        event_id, sync_id = call.path_uuid("event_id"), call.path_uuid("sync_id")
        async with self._answers.snapshot() as connection:
            event = await read_shown(connection, event_id)
            is_ours = event.is_known and call.access.includes(event.organization_id)
            try:
                if not is_ours:
                    raise ProblemError(ProblemType.NOT_FOUND, "There is no such sync here")
                report = await read_report(connection, event_id, sync_id, event, call.access)
            except ProblemError:
                if self._sandbox is not None and event_id == self._sandbox.event_id:
                    return self._page(
                        call, "waiting.html", event_id=event_id, sync_id=sync_id, refresh=1
                    )
                raise
            zone = await reading.read_zone(connection, event_id)
        report = await with_changes(self._changes, report, event)
        is_running = report.sync.status == "running"
        return self._page(
            call,
            "sync.html",
            event_id=event_id,
            report=report,
            run=report.sync,
            zone=zone,
            refresh=1 if is_running else None,
        )

    async def history(self, call: Call) -> Response:
        """The syncs of an event as a chart and a table."""
        event_id = call.path_uuid("event_id")
        async with self._answers.fresh(call, event_id) as (connection, _):
            zone = await reading.read_zone(connection, event_id)
            found = await self._runs(connection, call, event_id, _RUNS + 1)
        runs = found[:_RUNS]
        oldest_first = runs[::-1]
        counts: list[Any] = [run.counts for run in oldest_first]
        bars = chart_of(counts, [_when(run, zone) for run in oldest_first])
        return self._page(
            call,
            "history.html",
            event_id=event_id,
            runs=runs,
            has_more=len(found) > _RUNS,
            columns=COLUMNS,
            zone=zone,
            bars=bars,
            width=max(len(bars) * BAR_WIDTH, 1),
            height=CHART_HEIGHT,
        )

    async def why(self, call: Call) -> Response:
        """Why a session, room or speaker is there, or is missing."""
        event_id = call.path_uuid("event_id")
        await self._answers.shown(call, event_id)
        kind = next(iter(call.query_choices("kind", ("session", "room", "speaker"))), "session")
        text = (call.query("text") or "").strip()
        explanation, unknown = None, ""
        if text:
            try:
                explanation = await explain(self._log, event_id, kind, text)
            except NotInThePastError as error:
                unknown = str(error)
        async with self._answers.snapshot() as connection:
            zone = await reading.read_zone(connection, event_id)
        return self._page(
            call,
            "why.html",
            event_id=event_id,
            kind=kind,
            text=text,
            explanation=explanation,
            unknown=unknown,
            zone=zone,
        )

    async def feed(self, call: Call) -> Response:
        """The live feed; a script follows it."""
        return self._page(call, "feed.html", event_id=call.query_uuid("event_id"))

    async def login_form(self, request: Request) -> Response:
        """The form that exchanges a token for a cookie."""
        return self.renderer.page("login.html", {"wrong": False, "refresh": None})

    async def login(self, request: Request) -> Response:
        """Exchange a token, once, for an HttpOnly cookie."""
        self._refuse_other_sites(request)
        token = (await _form(request)).get("token", "")
        tokens = self._security.tokens
        expires_at = datetime.now(UTC) + timedelta(hours=SESSION_HOURS)
        cookie = tokens.cookie(token, expires_at) if tokens is not None else None
        if cookie is None:
            return self.renderer.page("login.html", {"wrong": True, "refresh": None}, status=403)
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(
            COOKIE,
            cookie,
            max_age=SESSION_HOURS * 3600,
            httponly=True,
            samesite="strict",
            secure=request.scope["scheme"] == "https",
        )
        return answer

    async def logout(self, request: Request) -> Response:
        """Forget the cookie."""
        self._refuse_other_sites(request)
        answer = RedirectResponse("/login", status_code=303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    async def sync_now(self, call: Call) -> Response:
        """In the sandbox: request a sync of its conference."""
        sandbox = self._require_sandbox(call.request)
        text = (await _form(call.request)).get("allow_removals", "").strip()
        if text and not (
            text.isascii() and text.isdecimal() and int(text[:9]) <= _SYNC_MAX_REMOVALS
        ):
            raise bad_request(
                "allow_removals",
                f"allow_removals must be a whole number from 0 to {_SYNC_MAX_REMOVALS}",
            )
        message = message_of(
            sandbox.event_id,
            SyncRequest(
                organization_id=sandbox.organization_id,
                sessionize_api_id=sandbox.api_id,
                window=SyncWindow(**msgspec.structs.asdict(sandbox.window)),
                requested_by="the page",
                allow_removals=int(text) if text else None,
            ),
        )
        await self._requests.request(message)
        place = f"/events/{sandbox.event_id}/syncs/{message.request_id}"
        return RedirectResponse(place, status_code=303)

    async def edit(self, call: Call) -> Response:
        """In the sandbox: change the schedule at the stand-in for Sessionize."""
        sandbox = self._require_sandbox(call.request)
        name = (await _form(call.request)).get("edit", "")
        if name not in sandbox.edits:
            raise bad_request("edit", f"edit must be of: {', '.join(sandbox.edits)}")
        sandbox.edit(name)
        return RedirectResponse(f"/?edited={quote(name)}", status_code=303)

    def problem(self, answer: Response) -> Response:
        """A problem as a page, with the same status and headers that are not about its body."""
        problem = msgspec.json.decode(bytes(answer.body), type=Problem)
        kept = {n: v for n, v in answer.headers.items() if not n.startswith("content-")}
        values = {"problem": problem, "refresh": None}
        return self.renderer.page("problem.html", values, status=answer.status_code, headers=kept)

    def _require_sandbox(self, request: Request) -> Sandbox:
        self._refuse_other_sites(request)
        if self._sandbox is None:
            raise ProblemError(ProblemType.NOT_FOUND, "There is no such path; see /docs")
        return self._sandbox

    def _refuse_other_sites(self, request: Request) -> None:
        """Accept a form only from this site: a cookie alone proves nothing."""
        origin = request.headers.get("origin")
        here = f"{request.scope['scheme']}://{request.headers.get('host', '')}"
        site = request.headers.get("sec-fetch-site", "same-origin")
        if site not in ("same-origin", "none") or (origin not in (None, here)):
            raise ProblemError(ProblemType.FORBIDDEN, "The form is from another site")

    async def _runs(self, connection: Any, call: Call, event_id: UUID, limit: int) -> list[SyncRun]:
        return await reading.read_rows(
            connection,
            reading.RUNS,
            SyncRun,
            event_id=event_id,
            before=2**63 - 1,
            limit=limit,
            organizations=call.access.listed,
        )

    def _page(self, call: Call, template: str, **values: Any) -> Response:
        given: Mapping[str, Any] = {
            "sandbox": self._sandbox,
            "refresh": None,
            "access": call.access,
            "is_open": self._security.tokens is None,
            "edited": call.query("edited"),
        }
        return self.renderer.page(template, values={**given, **values})


def page_routes(pages: PageRoutes) -> tuple[Route, ...]:
    """The routes, each behind the scope that it needs."""
    security = pages._security  # noqa: SLF001

    def behind(
        scope: Scope, handle: Callable[[Call], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                access: Access = security.require(request, scope)
            except ProblemError as error:
                if error.problem.status == 401 and request.method == "GET":
                    return RedirectResponse("/login", status_code=303)
                raise
            return await handle(Call(request, access))

        answer = answering(guarded)

        async def shown(request: Request) -> Response:
            response = await answer(request)
            if response.media_type == MEDIA_TYPE and "text/html" in request.headers.get(
                "accept", ""
            ):
                return pages.problem(response)
            return response

        return shown

    return (
        Route("/", behind(Scope.READ, pages.home)),
        Route("/events/{event_id}", behind(Scope.READ, pages.event)),
        Route("/events/{event_id}/syncs/{sync_id}", behind(Scope.READ, pages.sync)),
        Route("/events/{event_id}/history", behind(Scope.READ, pages.history)),
        Route("/events/{event_id}/why", behind(Scope.AUDIT, pages.why)),
        Route("/feed", behind(Scope.READ, pages.feed)),
        Route("/login", answering(pages.login_form), methods=["GET"]),
        Route("/login", answering(pages.login), methods=["POST"]),
        Route("/logout", answering(pages.logout), methods=["POST"]),
        Route("/sandbox/sync", behind(Scope.SYNC, pages.sync_now), methods=["POST"]),
        Route("/sandbox/edit", behind(Scope.SYNC, pages.edit), methods=["POST"]),
        static_route("projections.http"),
    )


async def _form(request: Request) -> dict[str, str]:
    """The fields of a small form; the last one counts if a field is repeated."""
    body = (await limited_body(request)).decode("utf-8", "replace")
    return {name: values[-1] for name, values in parse_qs(body, keep_blank_values=True).items()}


def _when(run: SyncRun, zone: ZoneInfo) -> str:
    moment = run.finished_at or run.started_at or run.requested_at
    return f"{in_zone(moment, zone):%Y-%m-%d %H:%M}" if moment else "–"
