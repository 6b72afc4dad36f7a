"""The read models of a moment for a person to read."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit.as_of.read_models import ReadModels
from audit.words import reason
from cli.render.times import shown_time
from projections.changes import Row

_NARROWEST = 70
"""Columns that the table of sessions needs; a narrower console gets a list."""


def show_read_models(console: Console, models: ReadModels) -> None:
    """The schedule, the withdrawn and the skipped sessions, and the number of other rows."""
    views = models.views()
    sessions = sorted(views["sessions"], key=lambda r: (str(r["starts_at"]), str(r["title"])))
    for status in ("scheduled", "withdrawn"):
        chosen = [row for row in sessions if row["status"] == status]
        console.print(f"[bold]{len(chosen)} {_sessions(chosen)} {status}[/]")
        if chosen:
            _show_sessions(console, models, chosen)
            console.print()
    skipped = views["skipped_sessions"]
    console.print(f"[bold]{len(skipped)} {_sessions(skipped)} skipped[/]")
    for row in skipped:
        title, why = escape(str(row["title"])), reason(str(row["reason"]), _list(row["missing"]))
        console.print(
            f"{shown_time(_time(row), models.time_zone)}  {title} ({escape(why)})", soft_wrap=True
        )
    others = {
        "room": views["rooms"],
        "speaker": views["event_speakers"],
        "run": views["sync_runs"],
    }
    numbers = ", ".join(
        f"{len(rows)} {kind}{'' if len(rows) == 1 else 's'}" for kind, rows in others.items()
    )
    progress = models.progress or {"version": 0, "position": 0}
    console.print(
        f"{numbers}; version {progress['version']}, position {progress['position']}. "
        "--json shows every row."
    )


def _show_sessions(console: Console, models: ReadModels, sessions: Sequence[Row]) -> None:
    """Sessions with their whole codes, however narrow the console is."""
    table = Table(box=None, pad_edge=False)
    for name in ("starts", "code"):
        table.add_column(name, no_wrap=True)
    table.add_column("room", overflow="fold")
    table.add_column("session", overflow="fold")
    for row in sessions:
        starts = shown_time(_time(row), models.time_zone)
        room = models.rooms.get(str(row["room_id"]), {}).get("name")
        title, speakers = escape(str(row["title"])), escape(", ".join(_speakers(models, row)))
        if console.width < _NARROWEST:
            console.print(f"{starts}  {row['session_code']}", soft_wrap=True)
            for line in filter(None, (escape(str(room or "–")), title, speakers)):
                console.print(f"    {line}", soft_wrap=True)
        else:
            cell = f"{title}\n[dim]{speakers}[/]" if speakers else title
            table.add_row(starts, str(row["session_code"]), escape(str(room or "–")), cell)
    if table.row_count:
        console.print(table)


def _speakers(models: ReadModels, session: Row) -> Iterable[str]:
    for link in models.lineup.get(str(session["session_id"]), ()):
        speaker = models.speakers.get(str(link["speaker_id"]), {})
        yield str(speaker.get("full_name") or "–")


def _sessions(rows: Sequence[Row]) -> str:
    return "session" if len(rows) == 1 else "sessions"


def _time(row: Row) -> str | None:
    return str(row["starts_at"]) if row["starts_at"] is not None else None


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, (list, tuple)) else ()
