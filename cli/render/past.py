"""The past for a person to read: runs, timelines, explanations, differences."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from audit.as_of.diff import EntityDifference
from audit.as_of.document_shape import Shape
from audit.as_of.read_models import ReadModels
from audit.explain.explain import Explanation
from audit.past.runs import RunSummary
from audit.past.timeline import TimelineEntry
from audit.verify.reimport import ReimportedRun

_LONGEST = 120
_CHANGES = {
    "withheld": "removal withheld",
    "released": "no longer withheld",
    "warned": "warning",
}
_REASONS = {
    "before_window": "starts before the event's first day",
    "after_window": "starts after the event's last day",
    "missing_from_source": "gone from Sessionize",
    "unreferenced": "no imported session refers to it any more",
}


def moment(time: datetime | None) -> str:
    """A time, to the second, in UTC."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z" if time else "–"


def show_runs(console: Console, runs: Iterable[RunSummary]) -> None:
    """The runs of a SpreaView event: each an id that can be copied, and some lines below it."""
    for run in runs:
        failure = f" ({run.failure_code})" if run.failure_code else ""
        until = run.last_position or "…"
        console.print(
            f"sync {run.sync_id}  [bold]{run.status}[/]{failure}  @{run.first_position}–@{until}"
        )
        by = escape(run.requested_by) if run.requested_by else "–"
        console.print(f"    ordered  {moment(run.ordered_at)}, asked by {by}")
        console.print(f"    started  {moment(run.started_at)}, finished {moment(run.finished_at)}")
        if run.window:
            window = run.window
            console.print(f"    window   {window.starts_on} to {window.ends_on} {window.time_zone}")
        lines = counted(run)
        if run.failure_message:
            lines = [
                escape(run.failure_message),
                f"What to do: {escape(run.failure_remedy or '–')}",
            ]
        for line in lines:
            console.print(Padding(line, (0, 0, 0, 4), expand=False))


def counted(run: RunSummary) -> list[str]:
    """The counts of a run, one line per kind; counts of 0 are left out."""
    if run.counts is None:
        return []
    lines = []
    for kind in ("sessions", "speakers", "rooms"):
        counts = getattr(run.counts, kind)
        made = [
            f"{number} {name}"
            for name in counts.__struct_fields__
            if (number := counts_of(counts, name))
        ]
        lines += [f"{kind}: {', '.join(made)}"] if made else []
    lines += [f"{run.warnings} warnings"] if run.warnings else []
    return lines


def counts_of(counts: object, name: str) -> int:
    """One of the counts."""
    return int(getattr(counts, name))


def show_timeline_entry(console: Console, entry: TimelineEntry) -> None:
    """One thing that happened, and the fields that it changed."""
    step, names = entry
    console.print(
        f"[dim]{moment(step.recorded_at)} @{step.position}[/]  "
        f"[bold]{_CHANGES.get(step.change, step.change)}[/]  {step.kind} "
        f"{escape(step.sessionize_id)} {escape(step.name)}  [dim]sync {step.sync_id}[/]"
    )
    if step.reason:
        console.print(f"    {escape(_REASONS.get(step.reason, step.reason))}")
    for line in field_lines(step.fields, names):
        console.print(f"    {line}")


def field_lines(
    fields: Mapping[str, tuple[object, object]], names: Mapping[str, str]
) -> Iterable[str]:
    """`title: old → new`, one line per field."""
    for name, (old, new) in fields.items():
        yield f"{name}: {escape(value(old, names))} → {escape(value(new, names))}"


def value(thing: object, names: Mapping[str, str]) -> str:
    """A value in one short line; ids of rooms and speakers by their names."""
    if thing is None or thing == "":
        return "nothing"
    if isinstance(thing, datetime):
        return moment(thing)
    if isinstance(thing, (list, tuple)):
        return ", ".join(value(item, names) for item in thing) or "nothing"
    if hasattr(thing, "url"):
        thing = thing.url
    text = names.get(str(thing)) or str(thing)
    text = text.replace("\n", " ")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def show_read_models(console: Console, models: ReadModels) -> None:
    """Read models of a moment: the schedule, the skipped sessions, and the number of other rows."""
    views = models.views()
    rooms = {str(row["room_id"]): str(row["name"]) for row in views["rooms"]}
    speakers = {str(row["speaker_id"]): str(row["full_name"]) for row in views["event_speakers"]}
    lineup: dict[str, list[str]] = {}
    for link in views["session_speakers"]:
        name = speakers.get(str(link["speaker_id"]), "–")
        lineup.setdefault(str(link["session_id"]), []).append(name)
    table = Table("starts", "room", "session", "speakers", "status", "code")
    for row in sorted(views["sessions"], key=lambda r: (str(r["starts_at"]), str(r["title"]))):
        table.add_row(
            moment(datetime.fromisoformat(str(row["starts_at"]))),
            escape(rooms.get(str(row["room_id"]), "–")),
            escape(str(row["title"])),
            escape(", ".join(lineup.get(str(row["session_id"]), ()))),
            str(row["status"]),
            str(row["session_code"]),
        )
    console.print(table)
    for row in views["skipped_sessions"]:
        console.print(
            f"skipped: {escape(str(row['title']))} ({row['reason']}"
            f"{', missing ' + value(row['missing'], {}) if row['missing'] else ''})"
        )
    progress = models.progress or {"version": 0, "position": 0}
    console.print(
        f"{len(rooms)} rooms, {len(speakers)} speakers, {len(views['sync_runs'])} runs; version "
        f"{progress['version']}, position {progress['position']}. --json shows every row."
    )


def show_explanation(console: Console, explanation: Explanation) -> None:
    """Why something is or is not there, in sentences."""
    code = f", code {explanation.session_code}" if explanation.session_code else ""
    named = (
        f"{escape(explanation.name)} ({escape(explanation.sessionize_id)}{code})"
        if explanation.sessionize_id
        else (escape(explanation.name))
    )
    there = "[bold green]is there[/]" if explanation.there else "[bold red]is not there[/]"
    console.print(f"The {explanation.kind} {named} {there}: {explanation.rule}.", soft_wrap=True)
    console.print(explanation.words, soft_wrap=True)
    for name, thing in explanation.values.items():
        console.print(f"    {name}: {escape(value(thing, {}))}", soft_wrap=True)
    for note in explanation.notes:
        console.print(f"[yellow]Note[/] {escape(note)}", soft_wrap=True)
    if explanation.decided_by is not None:
        by = explanation.decided_by
        digest = f", from the document {by.source_digest}" if by.source_digest else ""
        console.print(
            f"Decided by sync {by.sync_id} at {moment(by.recorded_at)}, position "
            f"{by.position}{digest}.",
            soft_wrap=True,
        )
    console.print(f"[bold]What to do:[/] {escape(explanation.remedy)}", soft_wrap=True)


def names_of(*shapes: Shape) -> dict[str, str]:
    """Names of rooms and speakers by Sessionize id; later shapes win."""
    return {
        key: str(row.get("name") or row.get("full_name") or key)
        for shape in shapes
        for kind in ("rooms", "speakers")
        for key, row in shape[kind].items()
    }


def show_differences(
    console: Console, changes: Sequence[EntityDifference], names: Mapping[str, str]
) -> None:
    """The changes, line by line."""
    for change in changes:
        console.print(
            f"[bold]{change.change}[/] {change.kind} {escape(change.sessionize_id)} "
            f"{escape(change.name)}",
            soft_wrap=True,
        )
        known = names if change.kind in ("session", "skip") else {}
        for line in field_lines(change.fields, known):
            console.print(f"    {line}", soft_wrap=True)
    if not changes:
        console.print("Nothing changed.")


def show_reimported_run(console: Console, run: ReimportedRun) -> None:
    """One run, decided again."""
    verdict = run.not_decided or (
        f"{len(run.deviations)} events would be different" if run.deviations else "the same"
    )
    console.print(f"{moment(run.recorded_at)}  sync {run.sync_id}  {verdict}", soft_wrap=True)
    for told in run.deviations:
        what = told.what.replace("_", " ")
        console.print(f"    {what}: {told.type} {escape(told.entity)}", soft_wrap=True)
        for line in field_lines(told.fields, {}):
            console.print(f"        {line}", soft_wrap=True)
