"""The past for a person to read: timelines, explanations, differences."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape

from audit.as_of.diff import Diff
from audit.as_of.document_shape import Shape
from audit.explain.explain import Explanation
from audit.past.timeline import TimelineEntry
from audit.verify.reimport import ReimportedRun
from audit.words import field_name, field_names, reason
from cli.render.times import shown_time
from contracts.events import Topic
from contracts.instants import INSTANT_COLUMNS
from contracts.wording import counted

_LONGEST = 120
_CHANGES = {
    "withheld": "removal withheld",
    "released": "no longer withheld",
    "warned": "warning",
}


class Words(NamedTuple):
    """How the values of an event are put in words."""

    names: Mapping[str, str] = {}
    """Names of rooms and speakers by the ids that fields refer to."""
    time_zone: str | None = None
    """The zone of the event; None is UTC."""


def show_timeline_entry(console: Console, entry: TimelineEntry) -> None:
    """One thing that happened, and the fields that it changed."""
    step, names, time_zone = entry
    console.print(
        f"[dim]{shown_time(step.recorded_at, time_zone)} @{step.position}[/]  "
        f"[bold]{_CHANGES.get(step.change, step.change)}[/]  {step.kind} "
        f"{escape(step.sessionize_id)} {escape(step.name)}  [dim]sync {step.sync_id}[/]",
        soft_wrap=True,
    )
    if step.reason:
        console.print(f"    {escape(reason(step.reason))}", soft_wrap=True)
    for line in field_lines(step.fields, Words(names, time_zone)):
        console.print(f"    {line}", soft_wrap=True)


def field_lines(fields: Mapping[str, tuple[object, object]], words: Words) -> Iterable[str]:
    """`title: old → new`, one line per field."""
    for name, (old, new) in fields.items():
        values = f"{escape(_value(old, words, name))} → {escape(_value(new, words, name))}"
        yield f"{field_name(name)}: {values}"


def _value(thing: object, words: Words, field: str = "") -> str:
    """A value in one short line."""
    if thing is None or thing == "":
        return "nothing"
    if isinstance(thing, datetime) or (isinstance(thing, str) and field in INSTANT_COLUMNS):
        return shown_time(thing, words.time_zone)
    if field == "reason":
        return reason(str(thing))
    if field == "missing" and isinstance(thing, (list, tuple)):
        return field_names(thing) or "nothing"
    if isinstance(thing, (list, tuple)):
        return ", ".join(_value(item, words) for item in thing) or "nothing"
    if hasattr(thing, "url"):
        thing = thing.url
    elif isinstance(thing, Topic):
        thing = f"{thing.category}: {thing.topic}"
    elif isinstance(thing, dict) and thing.keys() == {"category", "topic"}:
        thing = f"{thing['category']}: {thing['topic']}"
    text = words.names.get(str(thing)) or str(thing)
    text = text.replace("\n", " ")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


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
        shown = _value(thing, Words(time_zone=explanation.time_zone), name)
        console.print(f"    {field_name(name)}: {escape(shown)}", soft_wrap=True)
    for note in explanation.notes:
        console.print(f"[yellow]Note[/] {escape(note)}", soft_wrap=True)
    if explanation.decided_by is not None:
        by = explanation.decided_by
        digest = f", from the document {by.source_digest}" if by.source_digest else ""
        console.print(
            f"Decided by sync {by.sync_id} at "
            f"{shown_time(by.recorded_at, explanation.time_zone)}, position {by.position}{digest}.",
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


def show_differences(console: Console, diff: Diff, words: Words) -> None:
    """The changes, line by line, and their totals."""
    for change in diff.changes:
        console.print(
            f"[bold]{change.change}[/] {change.kind} {escape(change.sessionize_id)} "
            f"{escape(change.name)}",
            soft_wrap=True,
        )
        known = words.names if change.kind in ("session", "skip") else {}
        for line in field_lines(change.fields, words._replace(names=known)):
            console.print(f"    {line}", soft_wrap=True)
    totals = [
        f"{kind}s: {', '.join(f'{number} {change}' for change, number in by_change.items())}"
        for kind, by_change in diff.totals().items()
    ]
    console.print(f"Total: {'; '.join(totals)}." if totals else "Nothing changed.", soft_wrap=True)


def show_reimported_run(console: Console, run: ReimportedRun) -> None:
    """One run, decided again."""
    verdict = run.not_decided or (
        f"{counted(len(run.deviations), 'event')} different" if run.deviations else "the same"
    )
    console.print(
        f"{shown_time(run.recorded_at, run.time_zone)}  sync {run.sync_id}  {verdict}",
        soft_wrap=True,
    )
    for told in run.deviations:
        what = told.what.replace("_", " ")
        console.print(f"    {what}: {told.type} {escape(told.entity)}", soft_wrap=True)
        for line in field_lines(told.fields, Words()):
            console.print(f"        {line}", soft_wrap=True)
