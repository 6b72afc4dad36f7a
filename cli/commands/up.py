"""`up`: everything in one place, until Ctrl-C."""

import asyncio
import json
import sys
from collections.abc import MutableMapping
from contextlib import AsyncExitStack
from functools import partial

from cli.api import security_of
from cli.command import new_app, serve
from cli.commands.demo import DEMO_API_ID, EVENT, ORGANIZATION
from cli.data_folder import claimed
from cli.health.server import health_app
from cli.listening import refuse_one_port
from cli.options import Json
from cli.runfile import announced
from cli.sandbox.answers import SavedAnswer, synthetic_answers
from cli.sandbox.editing import EditableConference
from cli.sandbox.stack import for_own_servers, sandbox
from cli.services import VERSION, Role, all_of, monitor_of, running
from cli.serving_api import serving_http_side
from cli.settings import Settings, SettingsError
from cli.telemetry.telemetry import telemetry_of
from cli.waiting import until_stopped
from eventstore.libpq_url import without_password
from projections.http.application import Security

app = new_app()


@app.command()
def up(as_json: Json = False) -> None:
    """Run everything until Ctrl-C, with local servers where none are set."""
    serve(partial(run_everything, as_json=as_json), as_json=as_json)


async def run_everything(settings: Settings, *, as_json: bool) -> int:
    """Start what is missing, run worker and projector, and print one line when all is ready."""
    refuse_one_port(settings)
    settings = for_own_servers(settings)
    with claimed(settings.data_dir):
        await until_stopped(_serve(settings, as_json=as_json))
    return 0


async def _serve(settings: Settings, *, as_json: bool) -> None:
    answers = synthetic_answers()
    async with AsyncExitStack() as stack:
        addresses = await stack.enter_async_context(sandbox(settings, answers))
        telemetry = await stack.enter_async_context(
            telemetry_of("up", VERSION, settings, addresses)
        )
        monitor = monitor_of(settings)
        background = await stack.enter_async_context(
            running(Role.WORKER | Role.PROJECTOR, settings, addresses, telemetry, monitor)
        )
        shown = without_password(addresses.database_url)
        ready = {"database": shown, "kafka": str(addresses.kafka)}
        ends = [_end_of(background)]
        if (security := _security(settings)) is not None:
            served = await stack.enter_async_context(
                serving_http_side(
                    settings,
                    addresses,
                    security,
                    health=tuple(health_app(monitor).routes),
                    monitor=monitor,
                    sandbox=_conference(settings, answers),
                    telemetry=telemetry,
                )
            )
            ready["http"] = served.url
            ends.append(_end_of(served.background))
        stack.enter_context(announced(settings.data_dir, addresses))
        line = " ".join(f"{name}={address}" for name, address in ready.items())
        print(json.dumps({"ready": True, **ready}) if as_json else f"ready {line}", flush=True)
        print(f"Sessionize is taken from {addresses.sessionize_base_url}", file=sys.stderr)
        await all_of(ends)


def _security(settings: Settings) -> Security | None:
    """The access to the HTTP side; None: it is not served, and a sentence gives the reason."""
    try:
        return security_of(settings, open_here=settings.database_url is None)
    except SettingsError as error:
        if settings.api_tokens_file is not None:
            raise
        print(f"The HTTP side is not served. {error}", file=sys.stderr)
        return None


def _conference(
    settings: Settings, answers: MutableMapping[str, SavedAnswer]
) -> EditableConference | None:
    """The conference that the page may sync and edit: only at the stand-in, in the sandbox."""
    if settings.database_url is not None or settings.sessionize_base_url is not None:
        return None
    return EditableConference(
        answers, organization_id=ORGANIZATION, event_id=EVENT, api_id=DEMO_API_ID
    )


async def _end_of(task: asyncio.Task[None]) -> None:
    await asyncio.shield(task)
