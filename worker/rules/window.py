"""Time: wall times become instants, days become the bounds of a window."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from contracts.messages import Window

EARLIEST_DAY = date(1990, 1, 1)
LATEST_DAY = date(2199, 12, 31)


class InvalidWindowError(ValueError):
    """The window of a request cannot be meant; the text names the field and the remedy."""


class Bounds(NamedTuple):
    """A window as two instants: `starts_at` ≤ start < `ends_at`."""

    starts_at: datetime
    ends_at: datetime

    def place(self, start: datetime) -> Literal["before_window", "in_window", "after_window"]:
        """Where a session that starts then belongs."""
        if start < self.starts_at:
            return "before_window"
        return "in_window" if start < self.ends_at else "after_window"


def zone_of(window: Window) -> ZoneInfo:
    """The window's time zone. Raises `InvalidWindowError` for an unknown one."""
    if window.time_zone not in _iana_zones():
        raise InvalidWindowError(
            f"window.time_zone {window.time_zone[:80]!r} is not an IANA time zone; "
            "use a name such as Europe/Vienna"
        )
    return ZoneInfo(window.time_zone)


@cache
def _iana_zones() -> frozenset[str]:
    """The names that IANA knows, whatever other files this machine has beside them."""
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split())


def bounds_of(window: Window) -> Bounds:
    """First day 00:00 local to the day after the last day 00:00 local. Raises as `zone_of`.

    Windows that tile the days tile time: the end of one is the start of the next.
    """
    for name, day in (("starts_on", window.starts_on), ("ends_on", window.ends_on)):
        if not EARLIEST_DAY <= day <= LATEST_DAY:
            raise InvalidWindowError(
                f"window.{name} {day} is not between {EARLIEST_DAY} and {LATEST_DAY}"
            )
    if window.ends_on < window.starts_on:
        raise InvalidWindowError(
            f"window.ends_on {window.ends_on} is before window.starts_on {window.starts_on}; "
            "both days are inclusive, so a one-day event has the same date twice"
        )
    zone = zone_of(window)
    return Bounds(
        _midnight(window.starts_on, zone), _midnight(window.ends_on + timedelta(days=1), zone)
    )


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return _instant_of(datetime.combine(day, time()), zone)


def parse_instant(text: str, zone: ZoneInfo) -> datetime:
    """An ISO 8601 time as an instant in UTC: `Z` or an offset as it says, else wall time in `zone`.

    Raises:
        ValueError: not a date with a time, or an instant that does not exist in the calendar.
    """
    if "T" not in text:
        raise ValueError(f"{text[:40]!r} is not a date and a time")
    moment = datetime.fromisoformat(text)
    try:
        return moment.astimezone(UTC) if moment.tzinfo else _instant_of(moment, zone)
    except OverflowError as error:
        raise ValueError(f"{text[:40]!r} is outside the calendar") from error


def _instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """A wall time as an instant.

    Fold 0 means what the import rules say: a time in a DST gap takes the offset before the gap,
    so it moves forward by the gap; of a time that happens twice, the first is meant.
    """
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
