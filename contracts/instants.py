"""Instants as text in JSON: RFC 3339 in UTC, always with `Z`."""

from datetime import UTC, datetime, tzinfo

INSTANT_COLUMNS = frozenset(
    {
        *("requested_at", "started_at", "finished_at", "starts_at", "ends_at"),
        *("window_starts_at", "window_ends_at", "erased_at"),
    }
)
"""The columns of the public views that hold an instant."""


def utc_text(instant: datetime, timespec: str = "auto") -> str:
    """An instant as text, such as `2026-05-28T07:00:00Z`; `timespec` as for `isoformat`."""
    return instant.astimezone(UTC).isoformat(timespec=timespec).removesuffix("+00:00") + "Z"


def in_zone(instant: datetime, zone: tzinfo) -> datetime:
    """An instant in a time zone; in UTC if the calendar ends before it there."""
    try:
        return instant.astimezone(zone)
    except OverflowError:
        return instant.astimezone(UTC)


def column_in_utc(name: str, value: object) -> object:
    """The value of a column of a public view; an instant as `utc_text`.

    Raises:
        ValueError, OverflowError: the instant is not within the calendar.
    """
    if value is None or name not in INSTANT_COLUMNS:
        return value
    return utc_text(value if isinstance(value, datetime) else datetime.fromisoformat(str(value)))
