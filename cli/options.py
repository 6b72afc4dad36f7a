"""Options that several commands share."""

from datetime import date, datetime
from typing import Annotated, NamedTuple
from uuid import UUID

import typer

from contracts.identity import requester_subject, speaker_id
from worker.rules.text import clean


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("not a date such as 2026-05-28") from error


def a_uuid(text: str) -> UUID:
    """What typer reads a UUID with."""
    try:
        return UUID(text)
    except ValueError as error:
        raise typer.BadParameter("not a UUID") from error


def a_name(text: str) -> str:
    """A name that says something."""
    if not text.strip():
        raise typer.BadParameter("it is empty")
    return text


LAST_POSITION = 2**63 - 1
"""The greatest that PostgreSQL can count to."""

OrganizationId = Annotated[
    UUID, typer.Option(parser=a_uuid, metavar="UUID", help="The organization of the event.")
]
EventId = Annotated[
    UUID, typer.Option(parser=a_uuid, metavar="UUID", help="The SpreaView event to import into.")
]
ApiId = Annotated[str, typer.Option(metavar="ID", help="Sessionize API ID, or an address with it.")]
From = Annotated[
    date, typer.Option("--from", parser=_date, metavar="DATE", help="First day, inclusive.")
]
To = Annotated[
    date, typer.Option("--to", parser=_date, metavar="DATE", help="Last day, inclusive.")
]
TimeZone = Annotated[str, typer.Option(metavar="ZONE", help="IANA zone, such as Europe/Vienna.")]
OptionalFrom = Annotated[
    date | None, typer.Option("--from", parser=_date, metavar="DATE", help="First day, inclusive.")
]
OptionalTo = Annotated[
    date | None, typer.Option("--to", parser=_date, metavar="DATE", help="Last day, inclusive.")
]
OptionalTimeZone = Annotated[
    str | None, typer.Option("--time-zone", metavar="ZONE", help="IANA zone.")
]
RequestId = Annotated[
    UUID | None,
    typer.Option(parser=a_uuid, metavar="UUID", help="Id of the run; new if not given."),
]
RequestedBy = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who asked, as SpreaView shows it.")
]
Force = Annotated[bool, typer.Option("--force", help="Emit every entity again.")]
AllowRemovals = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="Confirm up to N removals that were withheld."),
]
Json = Annotated[bool, typer.Option("--json", help="For machines: JSON on standard output.")]


def a_speaker(organization_id: UUID, text: str) -> UUID:
    """A speaker's id from what people know: our UUID, or the id in Sessionize, a UUID as well."""
    try:
        given = UUID(text)
    except ValueError:
        return speaker_id(organization_id, text)
    return given if given.version == 5 else speaker_id(organization_id, text)


class Person(NamedTuple):
    """Somebody who asks to be forgotten."""

    organization_id: UUID
    subject: UUID
    """The speaker's id, or that of who asked for syncs."""
    requested_by: str | None
    """How they asked for them; None of a speaker."""

    def __str__(self) -> str:
        """As they are told to people."""
        return f"speaker {self.subject}" if self.requested_by is None else f"{self.requested_by!r}"


def a_person(organization_id: UUID, speaker: str | None, requested_by: str | None) -> Person:
    """The one that was named, in either way. Raises typer.BadParameter."""
    if (speaker is None) == (requested_by is None):
        raise typer.BadParameter("name either --speaker or --requested-by")
    if speaker is not None:
        return Person(organization_id, a_speaker(organization_id, speaker), None)
    try:
        name = clean(requested_by or "")
    except ValueError as error:
        raise typer.BadParameter(f"--requested-by: {error}") from error
    if not name:
        raise typer.BadParameter("--requested-by is empty")
    return Person(organization_id, requester_subject(organization_id, name), name)


def now_utc() -> datetime:
    """The time of the request, as a person presses the button."""
    return datetime.now().astimezone()
