"""`erase-speaker`: forget a person who asked for it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.erase import ErasureReport, erase, erase_requester, lift
from audit.erasure.find import FoundPerson, find_requester, find_speaker
from audit.erasure.replay import replay_lines
from cli.command import REFUSED, new_app, run
from cli.errors import CommandError
from cli.options import Json, Person, person_argument, uuid_argument
from cli.render.answer import Answer, sentence
from cli.servers import open_database
from cli.settings import Settings
from contracts.wording import counted
from eventstore.erasure import ForeignPersonError

app = new_app()

_ONLY_TIME = """
Only time deletes the rest; this program cannot:
  - records that were published on Kafka before: after {days} days, if the topic is configured as
    SPREAVIEW_EVENTS_RETENTION_DAYS says
  - dead rows in the files of PostgreSQL: until VACUUM has removed them and their pages are used
    again
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
    organization_id: Annotated[
        UUID | None,
        typer.Option(parser=uuid_argument, metavar="UUID", help="The organization of the person."),
    ] = None,
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
    in_advance: Annotated[
        bool,
        typer.Option("--in-advance", help="Also forget a person whom nobody knows yet."),
    ] = False,
    lift: Annotated[bool, typer.Option("--lift", help="End an erasure.")] = False,
    from_file: Annotated[
        Path | None,
        typer.Option(
            "--from",
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help="Instead of one person: everybody in a file that `erasures export` wrote, or in "
            "one with an erasure request per line.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: Json = False,
) -> None:
    """Erase the personal data of a person.

    It is deleted from the log, from the documents and from all read models. Exit code 1 if the
    organization does not know the person, unless --in-advance is given.
    """
    if from_file is not None:
        if (organization_id, speaker, requested_by) != (None, None, None) or in_advance or lift:
            raise typer.BadParameter("--from names the persons: it goes with --yes and --json only")
        if not yes:
            typer.confirm(f"Erase everybody in {from_file} for good?", abort=True, err=True)
        run(partial(erase_from_file, from_file), as_json=as_json)
    if organization_id is None:
        raise typer.BadParameter("--organization-id is missing")
    person = person_argument(organization_id, speaker, requested_by)
    if lift:
        run(partial(lift_erasure, person), as_json=as_json)
    if not yes:
        typer.confirm(f"Erase {person} for good?", abort=True, err=True)
    run(partial(erase_person, person, in_advance=in_advance), as_json=as_json)


async def erase_person(person: Person, settings: Settings, *, in_advance: bool) -> Answer:
    """Erase, and report what was deleted and what only time will delete."""
    async with open_database(settings, pool_size=2) as engine:
        found = await _find(engine, person)
        if not found.is_known and (found.is_our_id or not in_advance):
            raise CommandError(_unknown(person, found))
        try:
            reports = await _erase(engine, person, found.subjects)
        except ForeignPersonError as error:
            raise CommandError(str(error)) from error
    value = reports[0].to_json()
    if len(reports) > 1:
        value["other_spellings"] = [report.to_json() for report in reports[1:]]
    days = settings.events_retention_days
    show = partial(_show, person=person, found=found, reports=reports, days=days)
    return Answer(value, show)


async def _erase(
    engine: AsyncEngine, person: Person, subjects: Sequence[UUID]
) -> list[ErasureReport]:
    if person.requested_by is not None:
        return [await erase_requester(engine, person.organization_id, person.requested_by)]
    return [await erase(engine, person.organization_id, subject) for subject in subjects]


async def erase_from_file(path: Path, settings: Settings) -> Answer:
    """Erase everybody in a file who is not erased yet."""
    async with open_database(settings, pool_size=2) as engine:
        try:
            with path.open("rb") as file:
                done = await replay_lines(engine, file)
        except ValueError as error:
            raise CommandError(f"{path}: {error}; the lines before it are carried out") from error
    erased = counted(done.erased, "person")
    return sentence(
        done.to_json(), f"{erased} of {path} erased now; the others were erased before."
    )


async def lift_erasure(person: Person, settings: Settings) -> Answer:
    """End an erasure; exit code 1 if there was none."""
    async with open_database(settings, pool_size=2) as engine:
        found = await _find(engine, person)
        lifted = [
            subject
            for subject in found.subjects
            if await lift(engine, person.organization_id, subject)
        ]
    text = (
        f"The erasure of {person} is lifted: the next sync imports the person again."
        if lifted
        else f"No erasure of {person} is known."
    )
    value = {"speaker_id": str((lifted or found.subjects)[0]), "lifted": bool(lifted)}
    return sentence(value, text, 0 if lifted else REFUSED)


async def _find(engine: AsyncEngine, person: Person) -> FoundPerson:
    if person.speaker is not None:
        return await find_speaker(engine, person.organization_id, person.speaker)
    return await find_requester(engine, person.organization_id, person.requested_by or "")


def _unknown(person: Person, found: FoundPerson) -> str:
    reason = f"organization {person.organization_id} does not know {person}: nothing was erased.\n"
    if found.is_our_id:
        return reason + (
            "Remedy: check both ids. To forget somebody whom no sync has imported yet, give the "
            "speaker's id in Sessionize, with --in-advance."
        )
    return reason + (
        "Remedy: check the organization and the id or name. To forget the person in advance, "
        "before any sync imports them, add --in-advance."
    )


def _show(
    _: Console, person: Person, found: FoundPerson, reports: Sequence[ErasureReport], days: int
) -> None:
    for report in reports:
        _show_report(person, report)
    if not found.is_known:
        print(
            "  NOTE: nobody knows this person yet: nothing was deleted. The id is remembered, so "
            "that a later sync imports no personal data under it."
        )
    print("  no sync imports the person again, until: spreaview-sync erase-speaker --lift")
    rest = _OF_A_SPEAKER if person.requested_by is None else _OF_A_REQUESTER
    print(_ONLY_TIME.format(days=days) + rest)


def _show_report(person: Person, report: ErasureReport) -> None:
    erased = report.erased
    events = [str(stream_id) for stream_id in erased.stream_ids]
    print(f"Erased: {person}, whose id is {report.subject}.")
    print(
        f"  {counted(erased.personal_data, 'event')} without personal fields now; still verifiable"
    )
    print(f"  {counted(erased.sources, 'document')} deleted; the digests stay")
    print(f"  {counted(report.rows, 'row')} of read models cleared")
    streams = counted(len(events), "SpreaView event")
    named = f": {', '.join(events)}" if events else ""
    print(f"  SpeakerErased was appended to {streams}{named}")
