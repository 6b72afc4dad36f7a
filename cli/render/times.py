"""Times for a person to read: in the zone of the event, always with the offset."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from contracts.instants import in_zone

_NONE = "–"


def shown_time(time: datetime | str | None, zone: str | None = None) -> str:
    """A time to the second, such as `2026-05-28 09:00:00+02:00`; it may be given back as it is.

    `time` is an instant, or its ISO 8601 text; None is shown as a dash. `zone` is the IANA zone of
    the SpreaView event; None, or a zone that this system does not know, is UTC.
    """
    if time is None:
        return _NONE
    return _in(time, zone).isoformat(" ", "seconds")


def shown_day(time: datetime | str, zone: str | None = None) -> str:
    """The day of an instant, as the heading of a schedule."""
    return f"{_in(time, zone):%A %d %B %Y}"


def shown_hour(time: datetime | str, zone: str | None = None) -> str:
    """Hour and minute of an instant, below the heading of its day."""
    return f"{_in(time, zone):%H:%M}"


def _in(time: datetime | str, zone: str | None) -> datetime:
    instant = datetime.fromisoformat(time) if isinstance(time, str) else time
    return in_zone(instant, _zone(zone))


def _zone(name: str | None) -> tzinfo:
    try:
        return UTC if name is None else ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return UTC
