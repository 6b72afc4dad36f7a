"""Times and schedules as people read them."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console

from audit.past.moments import parse_time
from cli.render.sync import show_outcome, show_skipped, show_timetable
from cli.render.times import shown_time
from contracts.events import Counts
from projections.queries import JsonRow

TIME = datetime(2026, 5, 28, 7, 30, 5, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Europe/Vienna", "2026-05-28 09:30:05+02:00"),
        ("America/St_Johns", "2026-05-28 05:00:05-02:30"),
        ("UTC", "2026-05-28 07:30:05+00:00"),
        (None, "2026-05-28 07:30:05+00:00"),
        ("Mars/Olympus", "2026-05-28 07:30:05+00:00"),
        ("../etc/passwd", "2026-05-28 07:30:05+00:00"),
    ],
)
def test_a_time_is_shown_in_a_zone_with_its_offset(zone: str | None, shown: str) -> None:
    assert shown_time(TIME, zone) == shown_time(TIME.isoformat(), zone) == shown
    assert parse_time(shown) == TIME.replace(microsecond=0)


def test_no_time_is_a_dash() -> None:
    assert shown_time(None) == "–"


ROOMS = ("Main Hall", "Danube", "Arlberg", "Wienerwald")


def printed(width: int) -> list[str]:
    """Three sessions in each room, printed on a console of this width."""
    sessions: list[JsonRow] = [
        {
            "starts_at": (TIME + timedelta(hours=hour)).isoformat(),
            "room": room,
            "title": f"Observability {hour} {room}",
            "speakers": ["Ada Example"],
        }
        for hour in range(3)
        for room in ROOMS
    ]
    output = StringIO()
    show_timetable(Console(file=output, width=width), sessions, "Europe/Vienna")
    return output.getvalue().splitlines()


def test_a_grid_is_a_list_where_a_room_has_less_than_12_characters() -> None:
    narrowest = next(width for width in range(20, 200) if "━" in "".join(printed(width)))
    header = next(line for line in printed(narrowest) if "Danube" in line)
    cells = [len(cell) - 2 for cell in header.strip("┃").split("┃")][1:]
    assert min(cells) >= 12
    assert narrowest == 9 + len(ROOMS) * (12 + 3)

    shown = printed(narrowest - 1)
    assert shown[:4] == [
        "Thursday 28 May 2026",
        "09:30  Main Hall",
        "       Observability 0 Main Hall".ljust(len(shown[2])),
        "       Ada Example".ljust(len(shown[3])),
    ]
    assert sum("Observability" in line for line in shown) == 3 * len(ROOMS)


def test_counts_have_one_order_however_they_are_stored() -> None:
    stored = {"withheld": 0, "skipped": 2, "unchanged": 112, "added": 1}
    zeros = dict.fromkeys(stored, 0)
    run: JsonRow = {
        "status": "completed",
        "counts": {
            kind: dict.fromkeys(Counts.__struct_fields__, 0) | counts
            for kind, counts in (("rooms", zeros), ("sessions", stored), ("speakers", zeros))
        },
    }
    output = StringIO()
    show_outcome(Console(file=output, width=80), run, [])
    heading, *rows = [line.split() for line in output.getvalue().splitlines()[1:]]
    assert heading == ["added", "unchanged", "skipped"]
    assert [row[0] for row in rows] == ["sessions", "speakers", "rooms"]
    assert rows[0] == ["sessions", "1", "112", "2"]


def test_a_skipped_session_is_explained_in_the_words_of_the_page() -> None:
    output = StringIO()
    row: JsonRow = {
        "title": "A talk",
        "starts_at": None,
        "reason": "unscheduled",
        "missing": ["starts_at", "ends_at", "room"],
    }
    show_skipped(Console(file=output, width=120), [row], "Europe/Vienna")
    assert "it has no time or no room yet: missing start, end, room" in output.getvalue()
    assert "starts_at" not in output.getvalue()
