"""Options that several commands share."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import typer

from contracts.identity import speaker_id


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


def now_utc() -> datetime:
    """The time of the request, as a person presses the button."""
    return datetime.now().astimezone()
