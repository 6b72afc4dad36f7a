"""The bounds of a window: two instants."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, reset_tzpath

import pytest
from hypothesis import strategies as st

from contracts.messages import Window
from tests.support.properties import for_all
from worker.rules.window import EARLIEST_DAY, LATEST_DAY, InvalidWindowError, bounds_of, zone_of

ZONES = (files("tzdata") / "zones").read_text("utf-8").split()


def window(first: str, last: str, zone: str = "Europe/Vienna") -> Window:
    return Window(
        starts_on=date.fromisoformat(first), ends_on=date.fromisoformat(last), time_zone=zone
    )


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "starts_at", "ends_at"),
    [
        pytest.param(
            window("2026-05-28", "2026-05-29"),
            "2026-05-27T22:00",
            "2026-05-29T22:00",
            id="summer in Vienna",
        ),
        pytest.param(
            window("2026-03-29", "2026-03-29"),
            "2026-03-28T23:00",
            "2026-03-29T22:00",
            id="a day of 23 hours",
        ),
        pytest.param(
            window("2026-10-25", "2026-10-25"),
            "2026-10-24T22:00",
            "2026-10-25T23:00",
            id="a day of 25 hours",
        ),
        pytest.param(
            window("2026-05-28", "2026-05-28", "UTC"),
            "2026-05-28T00:00",
            "2026-05-29T00:00",
            id="UTC",
        ),
        pytest.param(
            window("2026-05-28", "2026-05-28", "Asia/Kathmandu"),
            "2026-05-27T18:15",
            "2026-05-28T18:15",
            id="an odd offset",
        ),
        # Midnight does not exist: the day begins at 01:00, the first instant that does.
        pytest.param(
            window("2018-11-04", "2018-11-04", "America/Sao_Paulo"),
            "2018-11-04T03:00",
            "2018-11-05T02:00",
            id="gap at midnight, São Paulo",
        ),
        pytest.param(
            window("2022-03-27", "2022-03-27", "Asia/Beirut"),
            "2022-03-26T22:00",
            "2022-03-27T21:00",
            id="gap at midnight, Beirut",
        ),
        # Midnight comes twice: the day begins with the first.
        pytest.param(
            window("2022-11-06", "2022-11-06", "America/Havana"),
            "2022-11-06T04:00",
            "2022-11-07T05:00",
            id="fold at midnight, Havana",
        ),
        pytest.param(
            window("2011-12-30", "2011-12-30", "Pacific/Apia"),
            "2011-12-30T10:00",
            "2011-12-30T10:00",
            id="a day that Samoa left out",
        ),
    ],
)
def test_the_bounds(days: Window, starts_at: str, ends_at: str) -> None:
    assert bounds_of(days) == (utc(starts_at), utc(ends_at))


@for_all(
    st.sampled_from(ZONES),
    st.dates(date(1990, 1, 2), date(2199, 12, 1)),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.data(),
)
def test_consecutive_windows_contain_every_start_exactly_once(
    zone: str, first: date, lengths: list[int], data: st.DataObject
) -> None:
    tiles = []
    for length in lengths:
        last = first + timedelta(days=length - 1)
        tiles.append(bounds_of(Window(starts_on=first, ends_on=last, time_zone=zone)))
        first = last + timedelta(days=1)
    start = data.draw(
        st.sampled_from([tile.starts_at for tile in tiles])
        | st.datetimes(*(t.replace(tzinfo=None) for t in (tiles[0].starts_at, tiles[-1].ends_at)))
    ).replace(tzinfo=UTC)

    placed = [tile.place(start) for tile in tiles]
    assert placed.count("in_window") == (start < tiles[-1].ends_at)
    assert placed == sorted(placed, key=["after_window", "in_window", "before_window"].index)


@for_all(st.sampled_from(ZONES), st.dates(EARLIEST_DAY, LATEST_DAY))
def test_the_first_and_the_last_instant_of_a_window_are_on_its_days(zone: str, day: date) -> None:
    bounds = bounds_of(Window(starts_on=day, ends_on=day, time_zone=zone))
    if bounds.starts_at == bounds.ends_at:  # a day that the zone left out
        return
    local = [
        moment.astimezone(ZoneInfo(zone)).date()
        for moment in (bounds.starts_at, bounds.ends_at - timedelta(microseconds=1))
    ]

    assert local == [day, day]


@pytest.mark.parametrize(
    ("start", "place"),
    [
        ("2026-05-27T21:59:59.999999", "before_window"),
        ("2026-05-27T22:00", "in_window"),
        ("2026-05-29T21:59:59.999999", "in_window"),
        ("2026-05-29T22:00", "after_window"),
    ],
)
def test_the_start_is_inclusive_and_the_end_exclusive(start: str, place: str) -> None:
    assert bounds_of(window("2026-05-28", "2026-05-29")).place(utc(start)) == place


@pytest.mark.parametrize(
    ("days", "reason"),
    [
        (
            window("2026-05-29", "2026-05-28"),
            "ends_on 2026-05-28 is before window.starts_on 2026-05-29; both days are inclusive, "
            "so a one-day event has the same date twice",
        ),
        (
            window("1989-12-31", "2026-05-28"),
            "starts_on 1989-12-31 is not between 1990-01-01 and 2199-12-31",
        ),
        (
            window("2026-05-28", "2200-01-01"),
            "ends_on 2200-01-01 is not between 1990-01-01 and 2199-12-31",
        ),
        (
            window("0001-01-01", "0001-01-01"),
            "starts_on 0001-01-01 is not between 1990-01-01 and 2199-12-31",
        ),
        (
            window("9999-12-31", "9999-12-31"),
            "starts_on 9999-12-31 is not between 1990-01-01 and 2199-12-31",
        ),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_an_invalid_window_is_refused_naming_the_field(days: Window, reason: str) -> None:
    with pytest.raises(InvalidWindowError) as invalid:
        bounds_of(days)
    assert str(invalid.value) == f"window.{reason}"


@pytest.mark.parametrize("day", [EARLIEST_DAY, LATEST_DAY])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue"])
def test_the_earliest_and_the_latest_day_are_valid(day: date, zone: str) -> None:
    bounds = bounds_of(Window(starts_on=day, ends_on=day, time_zone=zone))

    assert bounds.ends_at - bounds.starts_at == timedelta(days=1)


@pytest.mark.parametrize(
    "zone",
    [
        "",
        "Vienna",
        "Europe",
        "Europe/Nowhere",
        "Europe/Vienna ",
        "Europe/Vienna\x00",
        "+02:00",
        "CEST",
        "../Europe/Vienna",
        "/etc/localtime",
        "zone.tab",
        "x" * 5000,
    ],
    ids=lambda zone: zone[:16] or "empty",
)
def test_an_unknown_zone_is_refused_with_an_example(zone: str) -> None:
    with pytest.raises(InvalidWindowError) as invalid:
        zone_of(window("2026-05-28", "2026-05-29", zone))
    assert str(invalid.value) == (
        f"window.time_zone {zone[:80]!r} is not an IANA time zone; use a name such as Europe/Vienna"
    )


@pytest.fixture
def a_machine_with_more_files(tmp_path: Path) -> Iterator[None]:
    """Zone databases of systems contain other files, too: the local zone, leap-second copies."""
    zone = (files("tzdata.zoneinfo.Europe") / "Vienna").read_bytes()
    for name in ("localtime", "right/Europe/Vienna"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(zone)
    before = TZPATH
    reset_tzpath([str(tmp_path)])
    ZoneInfo.clear_cache()
    yield
    reset_tzpath(before)
    ZoneInfo.clear_cache()


@pytest.mark.parametrize("zone", ["localtime", "right/Europe/Vienna"])
@pytest.mark.usefixtures("a_machine_with_more_files")
def test_valid_zones_do_not_depend_on_the_machine(zone: str) -> None:
    with pytest.raises(InvalidWindowError):
        zone_of(window("2026-05-28", "2026-05-29", zone))
