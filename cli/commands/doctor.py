"""`doctor`: examine everything that can be wrong, and name the cause and the remedy."""

import logging
import time
from functools import partial

from cli.command import REFUSED, new_app, run
from cli.connections import database
from cli.doctor.checks import CHECKS
from cli.doctor.examine import examine
from cli.doctor.installation import LIMITS, Installation, Limits
from cli.options import Json
from cli.render.answer import Answer
from cli.render.doctor import show_examination
from cli.runfile import resolve
from cli.settings import Settings
from cli.start import BEGAN

_CONNECTIONS = 4

app = new_app()


@app.command()
def doctor(as_json: Json = False) -> None:
    """Examine settings, servers, rights, topics, clocks and work; change nothing.

    One check for each entry of docs/operations.md, within 10 seconds in all. Exit code 1 if
    somebody has to act, or if something could not be checked although the role may see it.
    """
    limits = LIMITS.after(time.monotonic() - BEGAN)
    run(partial(report_examination, limits=limits), as_json=as_json, leaves_at_once=True)


async def report_examination(settings: Settings, limits: Limits = LIMITS) -> Answer:
    """Examine everything; exit code 1 if somebody has to act."""
    addresses = resolve(settings)
    # A check that is given up leaves its connections to be closed at the end.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    async with database(addresses.database_url, _CONNECTIONS) as engine:
        installation = Installation(settings, addresses, engine, limits)
        found = await examine(installation, CHECKS)
    exit_code = 0 if found.is_well else REFUSED
    return Answer(found.to_json(), partial(show_examination, examination=found), exit_code)
