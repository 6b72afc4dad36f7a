"""The changes of rooms, speakers and sessions: the last event on a row wins."""

import pytest

from contracts import samples
from contracts.events import ImportEvent
from projections.changes import TableChanges
from tests.support.projected import OTHER, projected, recorded, sample, the, the_mark

TABLES = {"Room": "rooms", "Speaker": "speakers", "Session": "sessions"}
KEY = {"Room": "room_id", "Speaker": "speaker_id", "Session": "session_id"}
SHOWN = {"Room": "imported", "Speaker": "imported", "Session": "scheduled"}
IDS = {"room_id": samples._ROOM, "speaker_id": samples._SPEAKER, "session_id": samples._SESSION}
every_kind = pytest.mark.parametrize("kind", TABLES)


def imported(kind: str, **changes: object) -> ImportEvent:
    return sample(f"{kind}Imported", **changes)


def withdrawn(kind: str) -> ImportEvent:
    return sample(f"{kind}Withdrawn", **{KEY[kind]: IDS[KEY[kind]]})


@every_kind
def test_an_import_writes_a_whole_row(kind: str) -> None:
    event = imported(kind)
    row = the(getattr(projected(event), TABLES[kind]))

    data = recorded(event, 1).data
    assert {name: row[name] for name in data} == data
    assert (row["status"], row["position"]) == (SHOWN[kind], 101)


@every_kind
def test_the_last_import_of_a_batch_wins(kind: str) -> None:
    events = [imported(kind, sessionize_id=str(n)) for n in range(3)]
    row = the(getattr(projected(*events), TABLES[kind]))

    assert (row["sessionize_id"], row["position"]) == ("2", 103)


@every_kind
def test_a_withdrawal_changes_the_status_of_a_row_in_the_database(kind: str) -> None:
    mark = the_mark(getattr(projected(withdrawn(kind)), TABLES[kind]))

    assert mark == {
        "spreaview_event_id": str(samples.EVENT),
        KEY[kind]: str(IDS[KEY[kind]]),
        "status": "withdrawn",
        "position": 101,
    }


@every_kind
def test_a_withdrawal_after_an_import_changes_that_row(kind: str) -> None:
    row = the(getattr(projected(imported(kind), withdrawn(kind)), TABLES[kind]))

    assert (row["status"], row["position"]) == ("withdrawn", 102)
    assert row["sessionize_id"] == imported(kind).sessionize_id  # type: ignore[union-attr]  # all three have one


@every_kind
def test_an_import_after_a_withdrawal_replaces_the_mark(kind: str) -> None:
    row = the(getattr(projected(withdrawn(kind), imported(kind)), TABLES[kind]))

    assert (row["status"], row["position"]) == (SHOWN[kind], 102)


def test_marks_of_one_row_are_merged_and_the_last_wins() -> None:
    table: TableChanges[object] = TableChanges()
    table.mark(1, {"id": 1}, {"status": "a", "position": 1})
    table.mark(1, {"id": 1}, {"status": "b"})

    assert table.marks == {1: {"id": 1, "status": "b", "position": 1}}


def test_rows_with_different_keys_are_kept_apart() -> None:
    changes = projected(imported("Session"), imported("Session", session_id=OTHER))

    assert len(changes.sessions.rows) == 2
    assert len(changes.session_speakers) == 2


def test_a_speaker_has_a_row_in_each_event() -> None:
    changes = projected(imported("Speaker"), imported("Speaker", spreaview_event_id=OTHER))

    assert len(changes.speakers.rows) == 2
    assert set(changes.progress) == {samples.EVENT, OTHER}


def test_the_speakers_of_a_session_are_replaced_and_numbered_from_one() -> None:
    session_id = str(samples._SESSION)
    changes = projected(
        imported("Session", speaker_ids=(samples._SPEAKER,)),
        imported("Session", speaker_ids=(OTHER, samples._SPEAKER)),
    )

    assert [(r["speaker_id"], r["ordinal"]) for r in changes.session_speakers[session_id]] == [
        (str(OTHER), 1),
        (str(samples._SPEAKER), 2),
    ]
    assert projected(imported("Session", speaker_ids=())).session_speakers == {session_id: []}
