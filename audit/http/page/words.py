"""Words and forms of values for the page."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

from audit.http.models import ChangedField, EntityChange
from contracts.instants import in_zone

_COUNTS = (
    *("added", "updated", "repeated", "unchanged"),
    *("restored", "skipped", "withdrawn", "withheld"),
)
_OF_THE_REASON = ("window_starts_at", "window_ends_at", "missing")
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def sentence(text: str) -> str:
    """A clause as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def day(value: date | str) -> str:
    """A date for people, such as Thursday 28 May 2026."""
    value = date.fromisoformat(value) if isinstance(value, str) else value
    return f"{_WEEKDAYS[value.weekday()]} {value.day} {_MONTHS[value.month - 1]} {value.year}"


def shown_in(value: datetime | None, time_zone: str | None) -> str:
    """A time for people with the zone that it is in; UTC if the zone is not known."""
    zone = ZoneInfo(time_zone or "UTC")
    return "–" if value is None else f"{shown(value, zone)} ({zone.key})"


def total(counts: Mapping[str, int], names: Iterable[str]) -> int:
    """The sum of some counts."""
    return sum(counts.get(name, 0) for name in names)


def counts_to_show(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The columns of the counts in which anything is not zero."""
    return [name for name in _COUNTS if any(kind.get(name) for kind in counts.values())]


def fields_to_show(change: EntityChange) -> list[tuple[str, ChangedField]]:
    """The changed fields. The reason of a skipped session has its dates and gaps already."""
    if change.change != "skipped":
        return list(change.fields.items())
    return [
        (name, field)
        for name, field in change.fields.items()
        if name not in _OF_THE_REASON and field.old is not None
    ]


def shown(value: object, zone: ZoneInfo) -> str:
    """A value for people: times in the event's zone, lists in a line, nothing as a dash."""
    match value:
        case None | "" | [] | ():
            return "–"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{in_zone(value, zone):%Y-%m-%d %H:%M}"
        case list() | tuple():
            return ", ".join(shown(item, zone) for item in value)
        case dict():
            return ": ".join(str(item) for item in value.values())
        case str() if _is_instant(value):
            return shown(datetime.fromisoformat(value), zone)
    return str(value)


def _is_instant(text: str) -> bool:
    if len(text) < len("2026-05-28T10:00Z") or text[4:5] != "-" or text[10:11] != "T":
        return False
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
