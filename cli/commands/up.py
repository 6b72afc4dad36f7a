"""`up`: everything in one place, until Ctrl-C."""

import asyncio
import json
import sys
from functools import partial

from cli.command import new_app, serve
from cli.data_folder import claimed
from cli.options import Json
from cli.runfile import announced
from cli.sandbox.stack import sandbox
from cli.services import Role, running
from cli.settings import Settings
from cli.waiting import until_stopped
from eventstore.libpq_url import without_password

app = new_app()


@app.command()
def up(as_json: Json = False) -> None:
    """Run everything until Ctrl-C, with local servers where none are set."""
    serve(partial(run_everything, as_json=as_json), as_json=as_json)


async def run_everything(settings: Settings, *, as_json: bool) -> int:
    """Start what is missing, run worker and projector, and print one line when all is ready."""
    with claimed(settings.data_dir):
        await until_stopped(_serve(settings, as_json=as_json))
    return 0


async def _serve(settings: Settings, *, as_json: bool) -> None:
    async with (
        sandbox(settings) as addresses,
        running(Role.WORKER | Role.PROJECTOR, settings, addresses) as background,
    ):
        with announced(settings.data_dir, addresses):
            shown = without_password(addresses.database_url)
            ready = {"database": shown, "kafka": str(addresses.kafka)}
            line = " ".join(f"{name}={address}" for name, address in ready.items())
            print(json.dumps({"ready": True, **ready}) if as_json else f"ready {line}", flush=True)
            print(f"Sessionize is taken from {addresses.sessionize_base_url}", file=sys.stderr)
            await asyncio.shield(background)
