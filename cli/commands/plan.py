"""`plan`: what a sync would do now."""

from functools import partial

from msgspec.structs import replace

from cli.command import REFUSED, new_app, run
from cli.connections import http_client
from cli.options import (
    AllowRemovals,
    ApiId,
    EventId,
    Force,
    From,
    Json,
    OrganizationId,
    TimeZone,
    To,
    new_request,
)
from cli.render import sync as render
from cli.render.answer import Answer
from cli.runfile import resolve_sessionize
from cli.servers import open_log
from cli.services import VERSION, sessionize_client
from cli.settings import Settings
from contracts.events import SyncFailed
from contracts.messages import SyncRequested, Window
from worker.sync.plan import plan as plan_sync

app = new_app()


@app.command()
def plan(
    organization_id: OrganizationId,
    event_id: EventId,
    api_id: ApiId,
    from_: From,
    to: To,
    time_zone: TimeZone,
    force: Force = False,
    allow_removals: AllowRemovals = None,
    as_json: Json = False,
) -> None:
    """Show what a sync would do now, and change nothing.

    Exit code 1 if the sync would fail.
    """
    window = Window(starts_on=from_, ends_on=to, time_zone=time_zone)
    message = replace(
        new_request(organization_id, event_id, api_id, window),
        force=force,
        allow_removals=allow_removals,
    )
    run(partial(report_plan, message), as_json=as_json)


async def report_plan(request: SyncRequested, settings: Settings) -> Answer:
    """The plan; exit code 1 if the sync would fail."""
    async with open_log(settings) as log, http_client(VERSION) as client:
        sessionize = sessionize_client(client, resolve_sessionize(settings), settings)
        planned = await plan_sync(log, sessionize, request, await log.clock())
    fails = isinstance(planned.outcome[-1], SyncFailed)
    show = partial(render.show_plan, plan=planned, time_zone=request.window.time_zone)
    return Answer(planned.to_json(), show, REFUSED if fails else 0)
