"""The changes of skips, runs, erased speakers and progress."""

import pytest

from contracts import samples
from contracts.events import ImportEvent
from projections.changes import project
from tests.support.projected import AT, SAMPLES, projected, recorded, sample, the, the_mark

SKIP = (str(samples.EVENT), "100001")
skips = pytest.mark.parametrize(
    ("name", "reason"),
    [("SessionSkippedOutOfWindow", "before_window"), ("SessionSkippedUnscheduled", "unscheduled")],
)


def skipped(name: str, *, was_imported: bool) -> ImportEvent:
    return sample(
        name, session_id=samples._SESSION, sessionize_id="100001", was_imported=was_imported
    )


@skips
def test_a_skip_is_a_row_with_its_reason(name: str, reason: str) -> None:
    changes = projected(skipped(name, was_imported=False))
    row = changes.skips[SKIP]

    assert row is not None
    assert (row["reason"], row["position"]) == (reason, 101)
    assert not changes.sessions.marks


@skips
def test_a_skip_of_an_imported_session_withdraws_it(name: str, reason: str) -> None:
    event = skipped(name, was_imported=True)

    assert the_mark(projected(event).sessions)["status"] == "withdrawn"
    assert the(projected(sample("SessionImported"), event).sessions)["status"] == "withdrawn"


@skips
def test_a_skip_ends_when_the_session_is_imported_or_withdrawn(name: str, reason: str) -> None:
    skip = skipped(name, was_imported=False)

    for end in (sample("SessionImported"), sample("SessionWithdrawn", sessionize_id="100001")):
        assert projected(skip, end).skips == {SKIP: None}
        assert projected(end).skips == {SKIP: None}
        assert projected(end, skip).skips[SKIP] is not None


def test_the_withdrawal_of_a_skipped_session_changes_no_session() -> None:
    changes = projected(sample("SessionWithdrawn", was_imported=False))

    assert not changes.sessions.marks


def test_a_started_run_has_the_status_running() -> None:
    (row,) = projected(SAMPLES["SyncStarted"]).started_runs.values()

    assert row["status"] == "running"
    assert row["started_at"] == AT
    assert (row["window_starts_on"], row["window_ends_on"]) == ("2026-05-28", "2026-05-29")
    assert row["time_zone"] == "Europe/Vienna"
    assert (row["requested_by"], row["api_id_masked"]) == ("Ada Example", "ab******")


def test_a_completed_run_has_the_status_completed() -> None:
    changes = projected(SAMPLES["SyncStarted"], SAMPLES["SyncCompleted"])
    (row,) = changes.ended_runs.values()

    assert (row["status"], row["finished_at"], row["position"]) == ("completed", AT, 102)
    assert {"counts", "warnings", "withheld"} <= row.keys()
    assert set(changes.started_runs) == set(changes.ended_runs) == {str(samples.SYNC)}


@pytest.mark.parametrize(
    ("code", "status"), [("schedule_empty", "failed"), ("superseded", "superseded")]
)
def test_a_failed_run_has_its_code_message_and_remedy(code: str, status: str) -> None:
    (row,) = projected(
        sample("SyncFailed", code=code, message="M.", remedy="R.")
    ).ended_runs.values()

    assert (row["status"], row["finished_at"]) == (status, AT)
    assert (row["failure_code"], row["failure_message"], row["failure_remedy"]) == (
        code,
        "M.",
        "R.",
    )
    assert row["retryable"] is False


PERSONAL = ("first_name", "last_name", "full_name", "tag_line", "bio", "profile_picture", "links")


def test_an_erased_speaker_loses_every_personal_field() -> None:
    row = the(projected(sample("SpeakerImported"), SAMPLES["SpeakerErased"]).speakers)

    assert row["status"] == "erased"
    assert [row[name] for name in PERSONAL] == [None] * len(PERSONAL)
    assert the_mark(projected(SAMPLES["SpeakerErased"]).speakers)["status"] == "erased"


def test_a_speaker_imported_without_personal_fields_is_erased() -> None:
    event = sample("SpeakerImported", **dict.fromkeys(PERSONAL))

    assert the(projected(event).speakers)["status"] == "erased"
    assert the(projected(SAMPLES["SpeakerErased"], event).speakers)["status"] == "erased"
    back = the(projected(SAMPLES["SpeakerErased"], sample("SpeakerImported")).speakers)
    assert back["status"] == "imported"


@pytest.mark.parametrize("name", PERSONAL)
def test_a_speaker_with_one_personal_field_is_not_erased(name: str) -> None:
    event = sample("SpeakerImported", **{other: None for other in PERSONAL if other != name})

    assert the(projected(event).speakers)["status"] == "imported"


def test_the_progress_of_a_stream_is_its_last_event() -> None:
    changes = projected(*samples.EVENTS)
    last = len(samples.EVENTS)

    assert changes.progress == {
        samples.EVENT: {
            "spreaview_event_id": samples.EVENT,
            "version": last,
            "position": 100 + last,
        }
    }


def test_a_missing_required_field_is_an_error() -> None:
    broken = recorded(sample("SessionImported"), 1)
    del broken.data["speaker_ids"]

    with pytest.raises(KeyError, match="speaker_ids"):
        project([broken])
