"""Words and forms of values for the page."""

from datetime import datetime
from zoneinfo import ZoneInfo

STATUS = {
    "running": "is running",
    "completed": "completed",
    "failed": "failed",
    "superseded": "was superseded by a later sync",
}

REASONS = {
    "before_window": "starts before the event's first day",
    "after_window": "starts after the event's last day",
    "unscheduled": "has no time or no room yet",
    "missing_from_source": "is gone from Sessionize",
    "unreferenced": "no imported session refers to it any more",
}

_FIELDS = {
    "starts_at": "start",
    "ends_at": "end",
    "is_service_session": "service session",
    "is_plenum_session": "plenum session",
    "is_top_speaker": "top speaker",
    "full_name": "name",
    "tag_line": "tag line",
    "profile_picture": "picture",
    "live_url": "live link",
    "recording_url": "recording",
    "window_starts_at": "first day begins",
    "window_ends_at": "last day ends",
}


def field_name(name: str) -> str:
    """The name of a field for people."""
    return _FIELDS.get(name, name.replace("_", " "))


def reason(text: str | None) -> str:
    """A reason in words."""
    return "" if text is None else REASONS.get(text, text)


def shown(value: object, zone: ZoneInfo) -> str:
    """A value for people: times in the event's zone, lists in a line, nothing as a dash."""
    match value:
        case None | "" | [] | ():
            return "–"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value.astimezone(zone):%Y-%m-%d %H:%M}"
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
