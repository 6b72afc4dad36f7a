"""The public names. A change here is a change of the contract."""

from contracts import topics
from contracts.events import CUT_TYPES, EVENT_TYPES, TERMINAL_TYPES
from contracts.failures import FailureCode
from contracts.messages import SpeakerErasureRequested, SyncRequested


def test_the_names_of_the_events() -> None:
    assert set(EVENT_TYPES) == {
        "SyncStarted",
        "RoomImported",
        "SpeakerImported",
        "SessionImported",
        "SessionSkippedOutOfWindow",
        "SessionSkippedUnscheduled",
        "SessionWithdrawn",
        "SpeakerWithdrawn",
        "RoomWithdrawn",
        "RemovalsWithheld",
        "SyncCompleted",
        "SyncFailed",
        "SpeakerErased",
    }
    assert {"SyncCompleted", "SyncFailed"} == TERMINAL_TYPES
    assert {"SyncStarted", "SyncCompleted", "SyncFailed", "SpeakerErased"} == CUT_TYPES


def test_every_event_names_its_run_and_its_owner() -> None:
    for event in EVENT_TYPES.values():
        fields = event.__struct_fields__
        assert {"sync_id", "organization_id", "spreaview_event_id"} <= set(fields)


def test_the_fields_of_the_request() -> None:
    assert SyncRequested.__struct_fields__ == (
        "request_id",
        "organization_id",
        "spreaview_event_id",
        "sessionize_api_id",
        "window",
        "requested_at",
        "requested_by",
        "force",
        "allow_removals",
    )


def test_the_fields_of_an_erasure_request() -> None:
    assert SpeakerErasureRequested.__struct_fields__ == (
        "request_id",
        "organization_id",
        "speaker_id",
        "sessionize_id",
        "requested_at",
    )


def test_the_names_of_the_topics() -> None:
    assert topics.SYNC_REQUESTS == "spreaview.sync-requests.v1"
    assert topics.IMPORT_EVENTS == "spreaview.import-events.v1"
    assert topics.DEAD_LETTERS == "spreaview.sync-requests.dlq.v1"
    assert topics.LOG_SEALS == "spreaview.log-seals.v1"
    assert topics.ERASURE_REQUESTS == "spreaview.erasure-requests.v1"
    assert topics.DEFAULT_PARTITIONS == 12


def test_the_failure_codes() -> None:
    assert {code.value for code in FailureCode} == {
        "invalid_request",
        "invalid_api_id",
        "api_id_not_found",
        "endpoint_not_json",
        "endpoint_rejected",
        "unexpected_document",
        "schedule_empty",
        "schedule_not_announced",
        "schedule_replaced",
        "nothing_in_window",
        "response_too_large",
        "upstream_unavailable",
        "superseded",
        "internal_error",
    }
