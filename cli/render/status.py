"""The status of the whole system for a person to read."""

from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape

from cli.status.report import Status
from cli.status.sections import (
    Erasures,
    Generations,
    Intake,
    OpenLetters,
    OpenRuns,
    ReadModels,
    Relay,
    Seals,
    Unknown,
)
from contracts.wording import counted

_NAME = 14
"""Width of the names of sections."""


def show_status(console: Console, status: Status) -> None:
    """One line per section, then the problems with the next command, then the verdict."""
    for name, section in status.sections().items():
        line = f"{name.replace('_', ' '):<{_NAME}}{describe_section(section)}"
        console.print(escape(line), soft_wrap=True)
    for affected, problem, command, _ in status.problems:
        console.print()
        about = f"{affected.replace('_', ' ')}: {problem}"
        console.print(f"[red]problem[/]       {escape(about)}", soft_wrap=True)
        if command is not None:
            console.print(f"next          {command}", soft_wrap=True)
    console.print()
    found = len(status.problems)
    verdict = "All is well." if not found else f"{counted(found, 'problem')} to act on."
    console.print(verdict)


def describe_section(section: object) -> str:
    """The state of a section in a line."""
    match section:
        case Unknown():
            return "not known"
        case Intake(waiting, oldest, workers):
            since = f", the oldest for {_duration(oldest)}" if waiting else ""
            known = "" if workers is None else f"; {counted(workers, 'worker')}"
            return f"{counted(waiting, 'request')} waiting{since}{known}"
        case Erasures(waiting, oldest):
            since = f", the oldest for {_duration(oldest)}" if waiting else ""
            return f"{counted(waiting, 'request')} to forget a person waiting{since}"
        case Relay():
            return _relay(section)
        case ReadModels(models, projectors):
            known = f"; {counted(projectors, 'projector')}" if isinstance(projectors, int) else ""
            return (
                f"{counted(models.events_behind, 'event')} behind in "
                f"{counted(models.lag.streams, 'stream')}; {len(models.stopped)} stopped{known}"
            )
        case OpenLetters(number, oldest):
            since = "" if oldest is None else f", the first received {oldest:%Y-%m-%d %H:%M:%S} UTC"
            return f"{number:,} open{since}"
        case OpenRuns(runs, oldest):
            since = f", the oldest for {_duration(oldest)}" if runs else ""
            return f"{len(runs):,} open{since}"
        case Generations(generations):
            live = section.live
            shown = "none is live" if live is None else f"{live.number} is live"
            return f"{shown}; {len(generations)} in all"
        case Seals(streams, newest):
            if newest is None:
                return "none published yet"
            age = _duration(section.age_seconds(datetime.now(UTC)))
            return f"{counted(streams, 'stream')} sealed, the newest {age} ago"
    raise TypeError(type(section).__name__)


def _relay(section: Relay) -> str:
    relay, unread = section
    leader = f"{relay.leader} leads" if relay.leader else "nobody leads"
    behind = f"{counted(relay.behind.events, 'event')} behind"
    since = f" for {_duration(relay.behind.seconds)}" if relay.behind.events else ""
    known = "" if unread is None else ", by the database; Kafka's copy of the checkpoint not known"
    return f"{leader}; {behind}{since}, published up to position {relay.published}{known}"


def _duration(seconds: float) -> str:
    """Seconds as `42 s`, `3 min`, `2 h` or `5 d`, in the largest unit that is reached."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
