"""The JSON forms of the audit's results: their keys are public, and every value is plain JSON."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from audit.as_of.diff import Diff, EntityDifference
from audit.as_of.read_models import ReadModels
from audit.erasure.erase import ErasureReport
from audit.explain.explain import DecidedBy, Explanation
from audit.past.events import EntityCounts, EventSummary
from audit.past.runs import RunSummary
from audit.past.sources import SourceOfRun
from audit.past.timeline_step import TimelineStep
from audit.transfer.import_log import ImportResult
from audit.transfer.replay import ReplayResult
from audit.verify.findings import FindingKind, Place
from audit.verify.reimport import Deviation, ReimportedRun
from audit.verify.report import VerificationReport
from contracts.events import AllCounts, Counts, Link, SyncWarning
from contracts.samples import REQUEST
from eventstore.erasure import Erased
from projections.tables import COLUMNS

ID = UUID(int=7)
TIME = datetime(2026, 5, 28, 9, tzinfo=UTC)
LINKS = (Link(title="Blog", url="https://ada.example", link_type="Blog"),)
LINKS_JSON = [{"title": "Blog", "url": "https://ada.example", "link_type": "Blog"}]

REPORT = VerificationReport()
REPORT.add(FindingKind.HEAD, "It is wrong.", Place(ID, 2))
REPORT.checked["events"] += 3
DECIDED_BY = DecidedBy(ID, 1, TIME, None)
EXPLANATION = Explanation(
    *("session", "1", ID, "CODE", "Talk", True, "scheduled", "Words.", "Remedy."),
    values={"starts_at": TIME},
    decided_by=DECIDED_BY,
    notes=("Note.",),
    time_zone="Europe/Vienna",
)
STEP = TimelineStep(
    *(1, 2, TIME, ID, "SpeakerImported", "speaker", ID, "ada", "Ada", "updated", None),
    fields={"links": (None, LINKS)},
)
COUNTS = AllCounts(sessions=Counts(added=1), speakers=Counts(), rooms=Counts())
RUN = RunSummary(
    *(ID, "completed", "Ada", TIME, TIME, TIME, TIME, REQUEST.window, "ab***", None, None, None),
    *(COUNTS, (SyncWarning(code="room_double_booked", message="Twice."),), None, 1, 9),
)

EVENT = EventSummary(
    *(ID, ID, REQUEST.window, 3, ID, "failed", "schedule_empty", TIME, TIME),
    counts=EntityCounts(1, 2, 3),
)

KEYS: list[tuple[Any, str]] = [
    (
        EVENT,
        "spreaview_event_id organization_id window syncs last_sync_id last_status "
        "last_failure_code last_sync_at completed_at counts",
    ),
    (
        RUN,
        "sync_id status requested_by requested_at ordered_at started_at finished_at window "
        "api_id_masked failure_code failure_message failure_remedy counts warnings source_digest "
        "first_position last_position",
    ),
    (
        STEP,
        "position version recorded_at sync_id type kind id sessionize_id name change reason fields",
    ),
    (
        SourceOfRun(ID, ID, "completed", "ab", 2, TIME, 3, TIME, True, False),
        "sync_id spreaview_event_id outcome digest size_bytes fetched_at fetch_ms recorded_at kept "
        "withheld",
    ),
    (
        EXPLANATION,
        "kind sessionize_id id session_code name there rule words remedy values decided_by notes "
        "time_zone",
    ),
    (ReadModels(), " ".join(COLUMNS)),
    (Diff([], []), "changes totals patch"),
    (EntityDifference("room", "added", "1", "Hall", {}), "kind change sessionize_id name fields"),
    (REPORT, "well verdict next_steps found findings unchecked checked"),
    (ReimportedRun(ID, TIME, None, ()), "sync_id recorded_at not_decided deviations"),
    (Deviation("differs", "RoomImported", "1", {}), "what type entity fields"),
    (ImportResult(ID, 1, 2), "log_id events documents"),
    (ReplayResult("again", 1, 2), "replay events position"),
    (
        ErasureReport(ID, Erased(ID, [ID], 1, 2), 3),
        "speaker_id erasure_id spreaview_event_ids personal_data sources rows",
    ),
]


def as_json(result: Any) -> dict[str, Any]:
    """The form as a reader of the JSON gets it."""
    form: dict[str, Any] = json.loads(json.dumps(result.to_json()))
    return form


@pytest.mark.parametrize(("result", "keys"), KEYS, ids=[type(r).__name__ for r, _ in KEYS])
def test_a_result_has_its_public_keys_in_order(result: Any, keys: str) -> None:
    assert list(as_json(result)) == keys.split()


def test_field_changes_have_the_old_and_the_new_value() -> None:
    assert as_json(STEP)["fields"] == {"links": {"old": None, "new": LINKS_JSON}}
    difference = EntityDifference("room", "updated", "1", "Hall", {"sort": (1, 2)})
    assert as_json(difference)["fields"] == {"sort": {"old": 1, "new": 2}}
    deviation = Deviation("differs", "RoomImported", "1", {"sort": (1, 2)})
    (form,) = as_json(ReimportedRun(ID, TIME, None, (deviation,)))["deviations"]
    assert form["fields"] == {"sort": {"recorded": 1, "decided": 2}}


def test_warnings_have_the_shape_that_they_have_everywhere() -> None:
    """As in the view `sync_runs` and in the event `SyncCompleted`."""
    assert as_json(RUN)["warnings"] == [
        {"code": "room_double_booked", "message": "Twice.", "sessionize_ids": []}
    ]


def test_ids_are_text_and_instants_are_utc() -> None:
    form = as_json(EXPLANATION)
    assert (form["id"], form["values"]) == (str(ID), {"starts_at": "2026-05-28T09:00:00Z"})
    assert form["decided_by"] == {
        "sync_id": str(ID),
        "position": 1,
        "recorded_at": "2026-05-28T09:00:00Z",
        "source_digest": None,
    }
    assert as_json(REPORT)["findings"] == [
        {
            "kind": "head",
            "stream_id": str(ID),
            "version": 2,
            "position": None,
            "event_type": None,
            "sync_id": None,
            "recorded_at": None,
            "what": "It is wrong.",
        }
    ]
