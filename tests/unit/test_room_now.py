"""A room at one moment: every boundary, overlaps and sessions without a duration included."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.http.models import RoomRef, SessionView
from projections.http.schedule import Moment, room_at
from tests.support.corpus import CORPUS, load, needs_corpus
from tests.support.sessions import a_session

NINE = datetime(2026, 5, 28, 9, tzinfo=UTC)
TICK = timedelta(microseconds=1)
ROOM = RoomRef(room_id=UUID(int=1), sessionize_id="1", name="Main Hall", sort=0)


def session(title: str, start: int, end: int) -> SessionView:
    """A session whose start and end are minutes after nine."""
    return a_session(
        title, NINE + timedelta(minutes=start), NINE + timedelta(minutes=end), room=ROOM
    )


def at(minutes: int, *sessions: SessionView) -> Moment:
    return room_at(sessions, NINE + timedelta(minutes=minutes))


def titles(moment: Moment) -> tuple[str | None, list[str], str | None]:
    return (
        moment.previous.title if moment.previous else None,
        [each.title for each in moment.current],
        moment.next.title if moment.next else None,
    )


TALKS = (session("a", 0, 45), session("b", 60, 105), session("c", 105, 120))


@pytest.mark.parametrize(
    ("minutes", "expected", "changes"),
    [
        (-1, (None, [], "a"), 0),
        (0, (None, ["a"], "b"), 45),
        (44, (None, ["a"], "b"), 45),
        (45, ("a", [], "b"), 60),
        (60, ("a", ["b"], "c"), 105),
        (105, ("b", ["c"], None), 120),
        (120, ("c", [], None), None),
    ],
)
def test_a_session_is_current_from_its_start_to_before_its_end(
    minutes: int, expected: tuple[str | None, list[str], str | None], changes: int | None
) -> None:
    moment = at(minutes, *TALKS)
    assert titles(moment) == expected
    assert moment.changes_at == (None if changes is None else NINE + timedelta(minutes=changes))


def test_a_double_booked_room_has_several_current_sessions() -> None:
    moment = at(30, session("long", 0, 60), session("short", 20, 40), session("after", 60, 70))
    assert titles(moment) == (None, ["long", "short"], "after")
    assert moment.changes_at == NINE + timedelta(minutes=40)


def test_a_session_without_a_duration_is_never_current() -> None:
    empty = session("empty", 10, 10)
    assert titles(at(9, empty)) == (None, [], "empty")
    assert titles(at(10, empty)) == ("empty", [], None)


def test_a_session_that_ends_before_it_starts_is_over_when_it_starts() -> None:
    backwards = session("backwards", 10, 5)
    assert at(7, backwards).changes_at == NINE + timedelta(minutes=10)
    assert titles(at(10, backwards)) == ("backwards", [], None)


times = st.lists(st.tuples(st.integers(0, 20), st.integers(-2, 6)), max_size=8)


@given(times, st.integers(-1, 30))
def test_the_answer_holds_until_changes_at_and_changes_there(
    spans: list[tuple[int, int]], minutes: int
) -> None:
    sessions = [session(str(n), start, start + length) for n, (start, length) in enumerate(spans)]
    assert_right(sessions, NINE + timedelta(minutes=minutes))


def assert_right(sessions: Sequence[SessionView], now: datetime) -> None:
    moment = room_at(sessions, now)
    current = {s.title for s in sessions if s.starts_at <= now < s.ends_at}
    assert {s.title for s in moment.current} == current
    later = [s.starts_at for s in sessions if s.starts_at > now]
    assert (moment.next.starts_at if moment.next else None) == min(later, default=None)
    if moment.changes_at is None:
        assert (later, current) == ([], set())
        return
    assert moment.changes_at > now
    just_before = room_at(sessions, moment.changes_at - TICK)
    assert just_before._replace(changes_at=None) == moment._replace(changes_at=None)
    assert room_at(sessions, moment.changes_at) != just_before


@needs_corpus
def test_every_boundary_of_every_real_schedule_is_right() -> None:
    checked = 0
    for path in sorted(CORPUS.rglob("*.json")):
        for sessions in rooms_of(load(path)):
            for boundary in {t for s in sessions for t in (s.starts_at, s.ends_at)}:
                for now in (boundary - TICK, boundary, boundary + TICK):
                    assert_right(sessions, now)
                    checked += 1
    assert checked > 1000


def rooms_of(document: object) -> Iterable[list[SessionView]]:
    """The scheduled sessions of a document, by room."""
    rooms: defaultdict[object, list[SessionView]] = defaultdict(list)
    listed = document.get("sessions", []) if isinstance(document, dict) else []
    for row in listed:
        if row.get("startsAt") and row.get("endsAt") and row.get("roomId") is not None:
            rooms[row["roomId"]].append(
                a_session(str(row["id"]), instant(row["startsAt"]), instant(row["endsAt"]))
            )
    return rooms.values()


def instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
