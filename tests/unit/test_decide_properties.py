"""Properties of every sequence of documents."""

from hypothesis import settings
from hypothesis import strategies as st

from contracts.codec import JsonObject
from contracts.events import SessionImported
from contracts.messages import Window
from tests.support.documents import days, document, room, speaker, talk, unscheduled
from tests.support.given import History, RequestOptions
from tests.support.properties import examples, for_all
from worker.rules.state import State

moderately = settings(max_examples=examples(20))

WINDOWS = st.sampled_from([days(28, 29), days(28, 28), days(29, 30)])


@st.composite
def sessions(draw: st.DrawFn, sessionize_id: str) -> JsonObject:
    """In the window, outside, or not scheduled; in one of two rooms, by up to three people."""
    title = draw(st.sampled_from(["One", "Other"]))
    if draw(st.integers(0, 4)) == 0:
        return unscheduled(sessionize_id, title=title)
    return talk(
        sessionize_id,
        f"2026-05-{draw(st.integers(27, 31))}T09:00:00",
        room=draw(st.sampled_from([7, 8, None])),
        speakers=draw(st.lists(st.sampled_from(["ada", "eve", "kim"]), unique=True)),
        title=title,
    )


@st.composite
def documents(draw: st.DrawFn) -> JsonObject:
    """Up to four sessions in any order, and one that makes every document a schedule."""
    ids = draw(st.lists(st.sampled_from("abcd"), unique=True))
    return document(
        talk("always"),
        *(draw(sessions(key)) for key in ids),
        rooms=[room(7, sort=draw(st.integers(0, 1))), room(8)],
        speakers=[
            speaker("ada", bio=draw(st.sampled_from(["a", "b"]))),
            speaker("eve"),
            *draw(st.sampled_from([[], [speaker("kim")]])),
        ],
    )


RUNS = st.lists(st.tuples(documents(), WINDOWS), min_size=1, max_size=5)


CONFIRMED = RequestOptions(allow_removals=99)
"""Disables the removal guard: it would keep sessions missing from the last document."""


def after(runs: list[tuple[JsonObject, Window]]) -> History:
    history = History()
    for source, window in runs:
        history = history.after(source, window, CONFIRMED)
    return history


def shown(state: State) -> tuple[object, ...]:
    """The visible part of a state. The order of speakers is left out, because it is no change."""
    return (
        state.rooms,
        state.speakers,
        {
            key: (s.title, s.room_id, s.starts_at, s.ends_at, frozenset(s.speaker_ids))
            for key, s in state.sessions.items()
        },
        {key: (type(skip), skip.title, skip.starts_at) for key, skip in state.skipped.items()},
    )


@for_all(RUNS)
@moderately
def test_repeating_a_sync_changes_nothing(runs: list[tuple[JsonObject, Window]]) -> None:
    source, window = runs[-1]
    backwards = source | {k: v[::-1] for k, v in source.items() if isinstance(v, list)}

    assert after(runs).when(source, window).changes == []
    assert after(runs).when(backwards, window).changes == []


@for_all(RUNS)
@moderately
def test_any_history_ends_like_a_first_import_of_its_last_document(
    runs: list[tuple[JsonObject, Window]],
) -> None:
    assert shown(after(runs).state) == shown(after(runs[-1:]).state)


@for_all(RUNS, WINDOWS)
@moderately
def test_a_session_keeps_its_id_and_code_through_every_change(
    runs: list[tuple[JsonObject, Window]], window: Window
) -> None:
    history = after([*runs, (runs[0][0], window)])
    codes = {
        (event.sessionize_id, event.session_id, event.session_code)
        for event in history.events
        if isinstance(event, SessionImported)
    }

    assert len(codes) == len({key for key, _, _ in codes}) == len({code for *_, code in codes})


@for_all(RUNS)
@moderately
def test_an_entity_is_added_only_once(
    runs: list[tuple[JsonObject, Window]],
) -> None:
    changes: dict[str, list[str]] = {}
    for event in after(runs).events:
        if isinstance(event, SessionImported):
            changes.setdefault(event.sessionize_id, []).append(event.change)

    for said in changes.values():
        assert said[0] == "added"
        assert "added" not in said[1:]


@for_all(RUNS)
@moderately
def test_each_session_of_a_document_is_counted_once(
    runs: list[tuple[JsonObject, Window]],
) -> None:
    source, window = runs[-1]
    counts = after(runs[:-1]).when(source, window, CONFIRMED).completed.counts.sessions
    listed = source["sessions"]

    assert isinstance(listed, list)
    assert len(listed) == (
        counts.added + counts.updated + counts.unchanged + counts.restored + counts.skipped
    )
