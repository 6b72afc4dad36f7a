"""Codes and names of fields in words, for the page and the command line. JSON keeps the codes."""

from collections.abc import Iterable

_REASONS = {
    "before_window": "it starts before the event's first day",
    "after_window": "it starts after the event's last day",
    "unscheduled": "it has no time or no room yet",
    "missing_from_source": "it is gone from Sessionize",
    "unreferenced": "no imported session refers to it any more",
    "erased": "the person asked to be forgotten",
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
    """The name of a field in words."""
    return _FIELDS.get(name, name.replace("_", " "))


def field_names(names: Iterable[object] | None) -> str:
    """The names of several fields in words, separated by commas."""
    return ", ".join(field_name(str(name)) for name in names or ())


def reason(text: str | None, missing: Iterable[object] | None = None) -> str:
    """A reason as a clause, with the fields that are missing.

    A step of a timeline has both in one text, such as `unscheduled, missing: starts_at, room`.
    """
    code, _, listed = (text or "").partition(", missing: ")
    clause = _REASONS.get(code, code)
    names = field_names(missing or filter(None, listed.split(", ")))
    return f"{clause}: missing {names}" if names else clause
