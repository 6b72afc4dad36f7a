"""Time: convert wall times to instants, and days to the bounds of a window."""

from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from contracts.messages import Window

EARLIEST_DAY = date(1990, 1, 1)
LATEST_DAY = date(2199, 12, 31)


class InvalidWindowError(ValueError):
    """The window of a request is invalid; the text names the field and the remedy."""

    def __init__(self, name: str, problem: str) -> None:
        self.field = f"window.{name}"
        super().__init__(f"{self.field} {problem}")


class Bounds(NamedTuple):
    """A window as two instants; a session is in it if `starts_at` ≤ start < `ends_at`."""

    starts_at: datetime
    ends_at: datetime

    def place(self, start: datetime) -> Literal["before_window", "in_window", "after_window"]:
        """Compare the start of a session with the window."""
        if start < self.starts_at:
            return "before_window"
        return "in_window" if start < self.ends_at else "after_window"


def zone_of(window: Window) -> ZoneInfo:
    """Return the time zone of a window. Raises `InvalidWindowError` for an unknown one."""
    if window.time_zone not in _iana_zones():
        raise InvalidWindowError(
            "time_zone",
            f"{window.time_zone[:80]!r} is not an IANA time zone; use a name such as Europe/Vienna",
        )
    return ZoneInfo(window.time_zone)


@cache
def _iana_zones() -> frozenset[str]:
    """The names of IANA. Other files of this machine's zone database do not count."""
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split())


def bounds_of(window: Window) -> Bounds:
    """Return the bounds: 00:00 local on the first day, 00:00 local on the day after the last.

    Consecutive windows leave no gap: the end of one is the start of the next. Raises as `zone_of`.
    """
    for name, day in (("starts_on", window.starts_on), ("ends_on", window.ends_on)):
        if not EARLIEST_DAY <= day <= LATEST_DAY:
            raise InvalidWindowError(name, f"{day} is not between {EARLIEST_DAY} and {LATEST_DAY}")
    if window.ends_on < window.starts_on:
        raise InvalidWindowError(
            "ends_on",
            f"{window.ends_on} is before window.starts_on {window.starts_on}; both days are "
            "inclusive, so a one-day event has the same date twice",
        )
    zone = zone_of(window)
    return Bounds(
        _midnight(window.starts_on, zone), _midnight(window.ends_on + timedelta(days=1), zone)
    )


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return _instant_of(datetime.combine(day, time()), zone)


@lru_cache(maxsize=1024)  # the sessions of a schedule share their times
def parse_instant(text: str, zone: ZoneInfo, fold: Literal[0, 1] = 0) -> datetime:
    """Parse an ISO 8601 time into UTC; without `Z` or an offset it is wall time in `zone`.

    `fold` chooses the first or the second of a wall time that occurs twice.

    Raises:
        ValueError: not a date with a time, or not an instant of the years 2 to 9998.
    """
    if "T" not in text:
        raise ValueError(f"{text[:40]!r} is not a date and a time")
    moment = datetime.fromisoformat(text)
    outside = f"{text[:40]!r} is outside the calendar"
    try:
        instant = moment.astimezone(UTC) if moment.tzinfo else _instant_of(moment, zone, fold)
    except OverflowError as error:
        raise ValueError(outside) from error
    if instant.year in (MINYEAR, MAXYEAR):  # it may not exist in a zone in which it is shown
        raise ValueError(outside)
    return instant


def parse_end(text: str, starts_at: datetime | None, zone: ZoneInfo) -> datetime:
    """Parse the end of a session as `parse_instant` does, and with the same errors.

    A wall time that occurs twice is the first one, unless only the second lies after the start.
    """
    first = parse_instant(text, zone)
    if starts_at is None or first >= starts_at:
        return first
    second = parse_instant(text, zone, fold=1)
    return second if second > starts_at else first


def _instant_of(wall: datetime, zone: ZoneInfo, fold: Literal[0, 1] = 0) -> datetime:
    """Convert a wall time to an instant.

    Fold 0 follows the import rules: a time in a DST gap takes the offset before the gap, so it
    moves forward by the gap, and a time that occurs twice is the first of the two.
    """
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
