"""`erase-speaker`: forget a person who asked for it."""

from functools import partial
from typing import Annotated

import typer
from rich.console import Console

from audit.erasure.erase import ErasureReport, erase, erase_requester, lift
from cli.command import REFUSED, new_app, run
from cli.options import Json, OrganizationId, Person, person_argument
from cli.render.answer import Answer, sentence
from cli.servers import open_database
from cli.settings import Settings

app = new_app()

_ONLY_TIME = """
Only time deletes the rest; this program cannot:
  - records that were published on Kafka before: after {days} days, if the topic is configured as
    SPREAVIEW_EVENTS_RETENTION_DAYS says
  - backups, write-ahead logs and exports that were made before
  - copies that subscribers keep: SpeakerErased, with the id above, asks them to delete theirs
"""

_OF_A_SPEAKER = """\
Sessionize still has the data that the organiser keeps there. Session titles and abstracts are not
personal fields, and stay."""

_OF_A_REQUESTER = """\
  - the requests themselves, and those among the dead letters, on their topics
SpreaView still knows who pressed the button."""


@app.command()
def erase_speaker(
    organization_id: OrganizationId,
    speaker: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The speaker's id in Sessionize, or in SpreaView."),
    ] = None,
    requested_by: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Instead of a speaker: the name given as --requested-by."
        ),
    ] = None,
    lift: Annotated[bool, typer.Option("--lift", help="End an erasure.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: Json = False,
) -> None:
    """Erase the personal data of a person.

    It is deleted from the log, from the documents and from all read models.
    """
    person = person_argument(organization_id, speaker, requested_by)
    if lift:
        run(partial(lift_erasure, person), as_json=as_json)
    if not yes:
        typer.confirm(f"Erase {person} for good?", abort=True, err=True)
    run(partial(erase_person, person), as_json=as_json)


async def erase_person(person: Person, settings: Settings) -> Answer:
    """Erase, and report what was deleted and what only time will delete."""
    async with open_database(settings, pool_size=2) as engine:
        if person.requested_by is None:
            report = await erase(engine, person.organization_id, person.subject)
        else:
            report = await erase_requester(engine, person.organization_id, person.requested_by)
    days = settings.events_retention_days
    return Answer(report.to_json(), partial(_show, person=person, report=report, days=days))


async def lift_erasure(person: Person, settings: Settings) -> Answer:
    """End an erasure; exit code 1 if there was none."""
    async with open_database(settings, pool_size=2) as engine:
        lifted = await lift(engine, person.subject)
    text = (
        f"The erasure of {person} is lifted: the next sync imports the person again."
        if lifted
        else f"No erasure of {person} is known."
    )
    value = {"speaker_id": str(person.subject), "lifted": lifted}
    return sentence(value, text, 0 if lifted else REFUSED)


def _show(_: Console, person: Person, report: ErasureReport, days: int) -> None:
    erased = report.erased
    events = [str(stream_id) for stream_id in erased.stream_ids]
    print(f"Erased: {person}, whose id is {person.subject}.")
    if not events and not erased.sources:
        print(
            "  NOTE: nothing in the log or in a read model belonged to this person. If the person "
            "was imported before, an id or the name is wrong: check both."
        )
    print(f"  {erased.personal_data} events lost their personal fields; they stay verifiable")
    print(f"  {erased.sources} documents were deleted; their digests stay")
    print(f"  {report.rows} rows of read models were cleared")
    print(
        f"  SpeakerErased was appended to {len(events)} SpreaView events{': ' if events else ''}"
        + ", ".join(events)
    )
    print("  no sync imports the person again, until: spreaview-sync erase-speaker --lift")
    rest = _OF_A_SPEAKER if person.requested_by is None else _OF_A_REQUESTER
    print(_ONLY_TIME.format(days=days) + rest)
