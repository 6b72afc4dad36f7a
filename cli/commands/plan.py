"""`plan`: what a sync would do now, changing nothing."""

import json
from datetime import UTC, datetime

import msgspec
from rich.console import Console

from cli.connections import http_client
from cli.render import sync as show
from cli.runfile import resolve_database, resolve_sessionize
from cli.servers import answering_database
from cli.services import VERSION, sessionize_client
from cli.settings import Settings
from contracts.events import SyncFailed
from contracts.messages import SyncRequested
from eventstore.log import EventLog
from worker.sync.plan import Plan, plan, planned_changes


async def plan_sync(settings: Settings, request: SyncRequested, *, as_json: bool) -> int:
    """Show the plan; 0 if the sync would complete, 1 if it would fail."""
    async with (
        answering_database(resolve_database(settings), pool_size=2) as engine,
        http_client(VERSION) as client,
    ):
        sessionize = sessionize_client(client, resolve_sessionize(settings), settings)
        planned = await plan(EventLog(engine), sessionize, request, datetime.now(UTC))
    if as_json:
        print(json.dumps(_told(planned), ensure_ascii=False))
    else:
        show.planned(Console(emoji=False), planned, request.window.time_zone)
    return int(isinstance(planned.outcome[-1], SyncFailed))


def _told(planned: Plan) -> dict[str, object]:
    changes = [
        change._asdict()
        | {"fields": {name: {"old": o, "new": n} for name, (o, n) in change.fields.items()}}
        for change in planned_changes(planned)
    ]
    told: dict[str, object] = msgspec.to_builtins(
        {"outcome": planned.outcome[-1], "changes": changes}
    )
    return told
