"""`history`, `explain`, `diff`, `as-of`, `source` and `reimport`: their arguments."""

from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from audit.past.entities import EntityQuery
from audit.past.moments import Span, parse_time
from cli.command import finish, quiet_settings
from cli.commands import history as command
from cli.commands import source as source_command
from cli.options import Json, a_uuid
from contracts.events import EVENT_TYPES

past_app = typer.Typer()


def _time(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError as error:
        raise typer.BadParameter("not a time such as 2026-05-28T09:00Z") from error


def _event_type(text: str) -> str:
    if text not in EVENT_TYPES:
        raise typer.BadParameter(f"none of {', '.join(EVENT_TYPES)}")
    return text


Event = Annotated[
    UUID,
    typer.Argument(parser=a_uuid, metavar="EVENT", help="A SpreaView event.", show_default=False),
]
RoomOption = Annotated[
    str | None, typer.Option("--room", metavar="ID", help="A room: its Sessionize id or ours.")
]
SpeakerOption = Annotated[
    str | None, typer.Option("--speaker", metavar="ID", help="A speaker: Sessionize id or ours.")
]
_NO_OFFSET = "ISO 8601; without an offset it is UTC."


def _wanted(session: str | None, room: str | None, speaker: str | None) -> EntityQuery:
    named = {"session": session, "room": room, "speaker": speaker}
    chosen = [EntityQuery(kind, text.strip()) for kind, text in named.items() if text is not None]
    if len(chosen) > 1:
        raise typer.BadParameter("name one session, one room or one speaker")
    return chosen[0] if chosen else EntityQuery()


@past_app.command()
def history(
    event: Event,
    session: Annotated[
        str | None,
        typer.Option(metavar="ID", help="A session: its Sessionize id, its code, or our id."),
    ] = None,
    speaker: SpeakerOption = None,
    room: RoomOption = None,
    since: Annotated[
        datetime | None, typer.Option(parser=_time, metavar="TIME", help=f"From then. {_NO_OFFSET}")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=_time, metavar="TIME", help="Up to then.")
    ] = None,
    event_type: Annotated[
        str | None,
        typer.Option(
            "--type",
            parser=_event_type,
            metavar="TYPE",
            help="Only events such as SessionImported.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell the runs of an event, or the life of one session, speaker or room, field by field."""
    wanted = _wanted(session, room, speaker)
    if since is not None and until is not None and since > until:
        raise typer.BadParameter("--since is later than --until")
    span = Span(since, until)
    if wanted.kind is None and event_type in command.OF_RUNS:
        finish(command.runs(quiet_settings(), event, span, event_type, as_json=as_json))
    asked = command.Asked(event, wanted, span, event_type)
    finish(command.life(quiet_settings(), asked, as_json=as_json))


@past_app.command("as-of")
def as_of(
    event: Event,
    sync: Annotated[
        UUID | None, typer.Option(parser=a_uuid, metavar="UUID", help="Right after this sync.")
    ] = None,
    time: Annotated[
        datetime | None, typer.Option(parser=_time, metavar="TIME", help=f"Then. {_NO_OFFSET}")
    ] = None,
    position: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Up to this position of the log.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the read models of an event as they were, without touching the live ones."""
    if sum(choice is not None for choice in (sync, time, position)) != 1:
        raise typer.BadParameter("say one of --sync, --time and --position")
    finish(command.as_of(quiet_settings(), event, sync, time, position, as_json=as_json))


@past_app.command()
def explain(
    event: Event,
    session: Annotated[
        str | None,
        typer.Argument(
            metavar="[SESSION]",
            help="A session: its Sessionize id, code, our id, or a unique part of its title.",
            show_default=False,
        ),
    ] = None,
    room: RoomOption = None,
    speaker: SpeakerOption = None,
    as_json: Json = False,
) -> None:
    """Explain why a session, room or speaker is or is not there. Ends with 1 if it is unknown."""
    wanted = _wanted(session, room, speaker)
    if wanted.kind is None or not wanted.text:
        raise typer.BadParameter("name a session, or say --room or --speaker")
    finish(command.explain(quiet_settings(), event, wanted, as_json=as_json))


_MOMENT = "A sync's id, a time (ISO 8601, UTC without an offset), or a position such as @1234."


@past_app.command()
def diff(
    event: Event,
    before: Annotated[str, typer.Argument(metavar="A", help=_MOMENT, show_default=False)],
    after: Annotated[str, typer.Argument(metavar="B", help=_MOMENT, show_default=False)],
    as_json: Json = False,
) -> None:
    """Show what changed between two moments; with --json also as JSON Patch (RFC 6902)."""
    finish(command.diff(quiet_settings(), event, before, after, as_json=as_json))


source_app = typer.Typer(
    help="The documents behind the runs.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
past_app.add_typer(source_app, name="source")


@source_app.command("show")
def show_source(
    sync: Annotated[
        UUID,
        typer.Argument(parser=a_uuid, metavar="SYNC", help="A sync's id.", show_default=False),
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it there.", dir_okay=False)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Not the document, but what is known of it, as JSON.")
    ] = False,
) -> None:
    """Print the exact document that a sync decided on, byte for byte."""
    finish(source_command.show(quiet_settings(), sync, output, as_json=as_json))


@past_app.command()
def reimport(
    event: Event,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Required: nothing is ever imported by this.")
    ] = False,
    sync: Annotated[
        UUID | None, typer.Option(parser=a_uuid, metavar="UUID", help="Only this sync.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Decide old documents by today's rules. Ends with 1 if the outcome would be different."""
    if not dry_run:
        raise typer.BadParameter("say --dry-run: this only shows what would be different")
    finish(source_command.reimport(quiet_settings(), event, sync, as_json=as_json))
