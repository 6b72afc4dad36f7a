"""Options and arguments that several commands share."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from uuid import UUID, uuid4

import typer

from audit.past.entities import EntityQuery
from audit.past.moments import parse_time
from cli.secret_files import expanded
from contracts.events import EVENT_TYPES
from contracts.messages import SyncRequested, Window
from worker.rules.text import clean, clean_title


def date_argument(text: str) -> date:
    """Parse a date such as 2026-05-28."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("not a date such as 2026-05-28") from error


def uuid_argument(text: str) -> UUID:
    """Parse a UUID."""
    try:
        return UUID(text)
    except ValueError as error:
        raise typer.BadParameter("not a UUID") from error


def seconds_argument(text: str) -> float:
    """Parse a number of seconds above 0."""
    try:
        seconds = float(text)
    except ValueError as error:
        raise typer.BadParameter("not a number of seconds") from error
    if not seconds > 0:  # false for nan, too
        raise typer.BadParameter("not a number of seconds above 0")
    return seconds


def name_argument(text: str) -> str:
    """Parse a name that is not blank."""
    if not text.strip():
        raise typer.BadParameter("it is empty")
    return text


def path_argument(text: str) -> Path:
    """Parse a path; a leading `~` is the home folder also where the shell leaves it."""
    try:
        return expanded(Path(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def time_argument(text: str) -> datetime:
    """Parse an ISO 8601 time; without an offset it is UTC."""
    try:
        return parse_time(text)
    except ValueError as error:
        raise typer.BadParameter("not a time such as 2026-05-28T09:00Z") from error


def event_type_argument(text: str) -> str:
    """Parse the name of an import event."""
    if text not in EVENT_TYPES:
        raise typer.BadParameter(f"none of {', '.join(EVENT_TYPES)}")
    return text


def output_option(help_text: str) -> Any:
    """The option `--output` of a command that writes with `cli.output.output_file`."""
    return typer.Option(
        "--output",
        metavar="FILE",
        dir_okay=False,
        readable=False,  # it is only written
        allow_dash=True,
        help=f"{help_text} - is standard output.",
    )


LAST_POSITION = 2**63 - 1
"""The largest position that PostgreSQL can hold."""

OrganizationId = Annotated[
    UUID, typer.Option(parser=uuid_argument, metavar="UUID", help="The organization of the event.")
]
EventId = Annotated[
    UUID,
    typer.Option(parser=uuid_argument, metavar="UUID", help="The SpreaView event to import into."),
]
ApiId = Annotated[str, typer.Option(metavar="ID", help="Sessionize API ID, or an address with it.")]
From = Annotated[
    date, typer.Option("--from", parser=date_argument, metavar="DATE", help="First day, inclusive.")
]
To = Annotated[
    date, typer.Option("--to", parser=date_argument, metavar="DATE", help="Last day, inclusive.")
]
TimeZone = Annotated[str, typer.Option(metavar="ZONE", help="IANA zone, such as Europe/Vienna.")]
OptionalFrom = Annotated[
    date | None,
    typer.Option("--from", parser=date_argument, metavar="DATE", help="First day, inclusive."),
]
OptionalTo = Annotated[
    date | None,
    typer.Option("--to", parser=date_argument, metavar="DATE", help="Last day, inclusive."),
]
OptionalTimeZone = Annotated[
    str | None, typer.Option("--time-zone", metavar="ZONE", help="IANA zone.")
]
RequestId = Annotated[
    UUID | None,
    typer.Option(parser=uuid_argument, metavar="UUID", help="Id of the run; new if not given."),
]
RequestedBy = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who asked, as SpreaView shows it.")
]
Force = Annotated[bool, typer.Option("--force", help="Emit every entity again.")]
AllowRemovals = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="Confirm up to N removals that were withheld."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Event = Annotated[
    UUID,
    typer.Argument(
        parser=uuid_argument, metavar="EVENT", help="A SpreaView event.", show_default=False
    ),
]
OptionalEvent = Annotated[
    UUID | None,
    typer.Argument(
        parser=uuid_argument,
        metavar="[EVENT]",
        help="A SpreaView event. Default: list them.",
        show_default=False,
    ),
]
OneEvent = Annotated[
    UUID | None,
    typer.Option(
        "--event-id", parser=uuid_argument, metavar="UUID", help="One SpreaView event only."
    ),
]
RoomOption = Annotated[
    str | None, typer.Option("--room", metavar="ID", help="A room: its Sessionize id or ours.")
]
SpeakerOption = Annotated[
    str | None, typer.Option("--speaker", metavar="ID", help="A speaker: Sessionize id or ours.")
]


def query_of(session: str | None, room: str | None, speaker: str | None) -> EntityQuery:
    """The one entity that was named, or all of them. Raises typer.BadParameter."""
    named = {"session": session, "room": room, "speaker": speaker}
    chosen = [EntityQuery(kind, text.strip()) for kind, text in named.items() if text is not None]
    if len(chosen) > 1:
        raise typer.BadParameter("name one session, one room or one speaker")
    return chosen[0] if chosen else EntityQuery()


def new_request(
    organization_id: UUID, event_id: UUID, api_id: str, window: Window
) -> SyncRequested:
    """A `SyncRequested` with a new id, made now."""
    return SyncRequested(
        request_id=uuid4(),
        organization_id=organization_id,
        spreaview_event_id=event_id,
        sessionize_api_id=api_id,
        window=window,
        requested_at=datetime.now().astimezone(),
    )


class Person(NamedTuple):
    """A person who asked to be forgotten, as named on the command line."""

    organization_id: UUID
    speaker: str | None
    """Our id of the speaker, or Sessionize's; None for a requester of syncs."""
    requested_by: str | None
    """The name with which the person requested syncs; None for a speaker."""

    def __str__(self) -> str:
        """The person as shown in messages."""
        return f"speaker {self.speaker}" if self.requested_by is None else f"{self.requested_by!r}"


def person_argument(organization_id: UUID, speaker: str | None, requested_by: str | None) -> Person:
    """The person named by either option. Raises typer.BadParameter."""
    if (speaker is None) == (requested_by is None):
        raise typer.BadParameter("name either --speaker or --requested-by")
    option = "--requested-by" if speaker is None else "--speaker"
    try:
        name = clean_title(requested_by or "") if speaker is None else clean(speaker)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from error
    if not name:
        raise typer.BadParameter(f"{option} is empty")
    if speaker is None:
        return Person(organization_id, None, requested_by=name)
    return Person(organization_id, speaker=name, requested_by=None)
