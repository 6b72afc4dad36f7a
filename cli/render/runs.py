"""SpreaView events and their runs for a person to read."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from audit.past.events import EventSummary
from audit.past.runs import RunSummary
from cli.render.times import shown_time
from contracts.events import Counts, SyncWarning
from contracts.messages import Window


def show_events(console: Console, events: Sequence[EventSummary]) -> None:
    """The SpreaView events of the log: each an id that can be copied, and some lines below it."""
    for event in events:
        zone = event.window.time_zone if event.window else None
        code = f" ({event.last_failure_code})" if event.last_failure_code else ""
        console.print(f"event {event.spreaview_event_id}")
        lines = [
            f"organization  {event.organization_id}",
            f"dates         {_dates(event.window)}",
            f"last sync     {shown_time(event.last_sync_at, zone)} {event.last_status}{code}",
            f"schedule      {_schedule(event, zone)}",
            f"syncs         {event.syncs}",
        ]
        _indented(console, lines)
    if events:
        console.print("Next: spreaview-sync history EVENT lists the syncs of one of them.")
    else:
        console.print("The log has no SpreaView event yet.")


def _schedule(event: EventSummary, zone: str | None) -> str:
    if event.counts is None:
        return "nothing was imported yet"
    counted = ", ".join(
        f"{number} {kind[:-1] if number == 1 else kind}"
        for kind, number in event.counts._asdict().items()
    )
    is_last = event.completed_at == event.last_sync_at
    return counted if is_last else f"{counted}, since {shown_time(event.completed_at, zone)}"


def show_runs(console: Console, runs: Iterable[RunSummary]) -> None:
    """The runs of a SpreaView event: each an id that can be copied, and some lines below it."""
    zone = None
    for run in runs:
        zone = run.window.time_zone if run.window else zone
        failure = f" ({run.failure_code})" if run.failure_code else ""
        until = run.last_position or "…"
        console.print(
            f"sync {run.sync_id}  [bold]{run.status}[/]{failure}  @{run.first_position}–@{until}"
        )
        by = escape(run.requested_by) if run.requested_by else "–"
        lines = [
            f"ordered   {shown_time(run.ordered_at, zone)}, asked by {by}",
            f"started   {shown_time(run.started_at, zone)}",
            f"finished  {shown_time(run.finished_at, zone)}",
            *([f"dates     {_dates(run.window)}"] if run.window else []),
            *_counted(run),
            *(warning_line(warning) for warning in run.warnings),
        ]
        if run.failure_message:
            lines += [
                escape(run.failure_message),
                f"What to do: {escape(run.failure_remedy or '–')}",
            ]
        _indented(console, lines)


def warning_line(warning: SyncWarning) -> str:
    """A warning in words, as console markup."""
    return f"[yellow]Warning[/] ({warning.code}): {escape(warning.message)}"


def _dates(window: Window | None) -> str:
    if window is None:
        return "–"
    return f"{window.starts_on} to {window.ends_on} {window.time_zone}"


def _counted(run: RunSummary) -> list[str]:
    """The counts of a run, one line per kind; counts of 0 are left out."""
    if run.counts is None:
        return []
    kinds = {"sessions": run.counts.sessions, "speakers": run.counts.speakers}
    return [
        f"{kind + ':':<10}{made}"
        for kind, counts in (kinds | {"rooms": run.counts.rooms}).items()
        if (made := _made(counts))
    ]


def _made(counts: Counts) -> str:
    numbers = {name: getattr(counts, name) for name in Counts.__struct_fields__}
    return ", ".join(f"{number} {name}" for name, number in numbers.items() if number)


def _indented(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(Padding(line, (0, 0, 0, 4), expand=False))
