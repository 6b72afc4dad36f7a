"""`status`: everything in one answer, and whether somebody has to act."""

from functools import partial

from cli.command import REFUSED, new_app, run
from cli.options import Json
from cli.render.answer import Answer
from cli.render.status import show_status
from cli.settings import Settings
from cli.status.gather import gather_status

app = new_app()


@app.command()
def status(as_json: Json = False) -> None:
    """Show whether all is well, and what to do if it is not.

    Reports on the intake, erasures, the relay, the read models, dead letters, open runs,
    generations and seals. Exit code 1 if somebody has to act, or if something cannot be read
    within 10 seconds.
    """
    run(report_status, as_json=as_json, leaves_at_once=True)


async def report_status(settings: Settings) -> Answer:
    """The status of the whole system; exit code 1 if somebody has to act."""
    found = await gather_status(settings)
    exit_code = 0 if found.is_well else REFUSED
    return Answer(found.to_json(), partial(show_status, status=found), exit_code)
