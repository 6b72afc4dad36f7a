"""A sync for a person to read: its outcome, its plan, the schedule, the skipped sessions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from audit.words import field_name, reason
from cli.render.runs import warning_line
from cli.render.times import shown_day, shown_hour, shown_time
from contracts.events import AllCounts, Counts, SyncCompleted, SyncFailed, Topic
from projections.queries import JsonRow
from worker.sync.plan import Plan, PlannedChange, planned_changes

_EVENT_WORDS = {
    "sync-started": "run started",
    "room-imported": "room",
    "speaker-imported": "speaker",
    "session-imported": "session",
    "session-skipped-out-of-window": "session outside the event's dates",
    "session-skipped-unscheduled": "session without time or room",
    "session-withdrawn": "session withdrawn",
    "speaker-withdrawn": "speaker withdrawn",
    "room-withdrawn": "room withdrawn",
    "removals-withheld": "removals withheld",
    "sync-completed": "run completed",
    "sync-failed": "run failed",
}
_SHORT = 60
_INDENT = 7
"""Indentation of the lines below an hour."""
_HOUR_WIDTH = 9
"""Width of the column of the hours, with its borders."""
_NARROWEST_ROOM = 12
"""Characters of a column of the grid: in fewer, most words are broken."""
_BORDER_WIDTH = 3


def event_line(position: int, ce_type: str, data: Mapping[str, object]) -> str:
    """One import event as a line."""
    kind = ce_type.removeprefix("com.spreaview.import.").rsplit(".", 1)[0]
    name = data.get("title") or data.get("full_name") or data.get("name") or ""
    change = data.get("change") or data.get("reason") or data.get("code") or ""
    words = _EVENT_WORDS.get(kind, kind)
    return f"[dim]{position:>5}[/]  {words:<34} {escape(str(change)):<14} {escape(str(name))}"


def show_outcome(console: Console, run: JsonRow, skipped: Sequence[JsonRow]) -> None:
    """The changes that a run made, or why it failed and the remedy."""
    if run["status"] == "completed":
        console.print("[bold green]The sync completed.[/]")
        _counts(console, run)
    else:
        console.print(f"[bold red]The sync {run['status']}[/] ({run['failure_code']}).")
        console.print(escape(str(run["failure_message"])))
        console.print(f"[bold]What to do:[/] {escape(str(run['failure_remedy']))}")
    for warning in _list(run.get("warnings")):
        console.print(f"[yellow]Warning[/] ({warning['code']}): {escape(str(warning['message']))}")
    if skipped and run["status"] == "completed":
        show_skipped(console, skipped, str(run["time_zone"] or "UTC"))


def show_plan(console: Console, plan: Plan, time_zone: str) -> None:
    """The changes that a sync would make now, or why it would fail."""
    outcome = plan.outcome[-1]
    if isinstance(outcome, SyncFailed):
        console.print(f"[bold red]The sync would fail[/] ({outcome.code}).")
        console.print(escape(outcome.message))
        console.print(f"[bold]What to do:[/] {escape(outcome.remedy)}")
        return
    changes = list(planned_changes(plan))
    if not changes:
        console.print("[bold]Nothing would change.[/]")
    else:
        table = Table(
            "change", "kind", "name", "what", title="A sync would now", title_justify="left"
        )
        for change in changes:
            details = [
                f"{field_name(field)}: {_short(old, time_zone)} → {_short(new, time_zone)}"
                for field, (old, new) in change.fields.items()
            ]
            why = reason(change.reason)
            what = "\n".join([*([why] if why else []), *details])
            table.add_row(change.change, change.kind, escape(change.name), escape(what))
        console.print(table)
        _explain_topics(console, changes)
    if isinstance(outcome, SyncCompleted):
        _counts(console, {"counts": msgspec.to_builtins(outcome.counts)})
        for warning in outcome.warnings:
            console.print(warning_line(warning))


def _explain_topics(console: Console, changes: Sequence[PlannedChange]) -> None:
    """Explain updates of sessions whose topics an earlier version of this program left out."""
    new = [c for c in changes if "topics" in c.fields and c.fields["topics"][0] is None]
    if new:
        sessions = "1 session gets its" if len(new) == 1 else f"{len(new)} sessions get their"
        console.print(f"{sessions} topics, which were unknown before. This happens once.")


def _short(value: object, time_zone: str) -> str:
    if isinstance(value, datetime):
        return shown_time(value, time_zone)
    if isinstance(value, tuple) and value and all(isinstance(item, Topic) for item in value):
        value = ", ".join(f"{topic.category}: {topic.topic}" for topic in value)
    if isinstance(value, tuple):
        return f"{len(value)} of them"
    text = str(value if value is not None else "nothing").replace("\n", " ")
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"


def _counts(console: Console, run: JsonRow) -> None:
    counts = run["counts"]
    if not isinstance(counts, dict):
        return
    columns = [c for c in Counts.__struct_fields__ if any(k[c] for k in counts.values())]
    if not columns:
        columns = ["unchanged"]
    table = Table("", *columns, box=None)
    for kind in AllCounts.__struct_fields__:
        table.add_row(kind, *(str(counts[kind][column]) for column in columns))
    console.print(table)


def show_skipped(console: Console, skipped: Sequence[JsonRow], time_zone: str) -> None:
    """The sessions that are not in the schedule, and why."""
    table = Table(title="Skipped", title_justify="left")
    table.add_column("starts", no_wrap=True)
    table.add_column("session")
    table.add_column("why it is left out")
    for row in skipped:
        table.add_row(
            shown_time(_text(row["starts_at"]), time_zone),
            escape(str(row["title"])),
            escape(reason(str(row["reason"]), _values(row.get("missing")))),
        )
    console.print(table)


Timetable: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]]
"""Sessions by day, hour and room."""


def show_timetable(console: Console, sessions: Sequence[JsonRow], time_zone: str) -> None:
    """Rooms × sessions, a table per day; a list if the columns would be too narrow."""
    rooms = list(dict.fromkeys(str(session["room"]) for session in sessions))
    is_wide = console.width >= _HOUR_WIDTH + len(rooms) * (_NARROWEST_ROOM + _BORDER_WIDTH)
    days: dict[str, dict[str, dict[str, list[str]]]] = {}
    for session in sessions:
        starts_at = str(session["starts_at"])
        speakers = ", ".join(str(name) for name in _values(session["speakers"]))
        cell = escape(str(session["title"])) + (f"\n[dim]{escape(speakers)}[/]" if speakers else "")
        by_hour = days.setdefault(shown_day(starts_at, time_zone), {})
        by_room = by_hour.setdefault(shown_hour(starts_at, time_zone), {})
        by_room.setdefault(str(session["room"]), []).append(cell)
    if is_wide:
        _show_grid(console, rooms, days)
    else:
        _show_list(console, days)


def _show_grid(console: Console, rooms: Sequence[str], days: Timetable) -> None:
    for day, hours in days.items():
        table = Table("", *(escape(room) for room in rooms), title=day, title_justify="left")
        for hour, by_room in hours.items():
            table.add_row(hour, *("\n".join(by_room.get(room, ())) for room in rooms))
        console.print(table)


def _show_list(console: Console, days: Timetable) -> None:
    for day, hours in days.items():
        console.print(f"[italic]{day}[/]")
        for hour, by_room in hours.items():
            for room, cells in by_room.items():
                for cell in cells:
                    console.print(f"{hour}  {escape(room)}")
                    console.print(Padding(cell, (0, 0, 0, _INDENT), expand=False))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _values(value: object) -> list[object]:
    return [item for item in value if item is not None] if isinstance(value, list) else []


def _list(value: object) -> list[dict[str, object]]:
    return [item for item in _values(value) if isinstance(item, dict)]
