"""The JSON forms of the results: which keys, in which order, with which values."""

import json
from datetime import UTC, datetime
from uuid import UUID

from projections.generations import Generation
from projections.projector import ResumedStream
from projections.rebuild.fill import FillProgress
from projections.rebuild.parity import Parity, RowDifference, TableParity
from projections.rebuild.rebuild import GenerationSummary, RebuildResult
from projections.rebuild.switch import StoppedInNew
from projections.repair import Repaired, RepairError
from projections.status import AheadStream, Lag, ProjectionsStatus, StoppedStream

STREAM = UUID("0198c0de-0000-7000-8000-000000000001")
TIME = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
GENERATION = Generation(2, "spreaview_g2", False, "abc", TIME, 40, TIME, None)


def test_the_status() -> None:
    status = ProjectionsStatus(
        generation="spreaview_g1",
        filled_by="abc",
        code_version="def",
        streams=3,
        head=40,
        lag=Lag(2, STREAM, 1, 12.34567),
        events_behind=9,
        stopped=[StoppedStream(STREAM, 3, "an error", TIME, "abc", 7, "RoomImported", 5)],
        ahead=[AheadStream(STREAM, 4, 2, True)],
        without_rights=["spreaview_projector"],
        stuck_seconds=10.0,
        unfilled_rows=2,
    )
    assert json.dumps(status.to_json()) == (
        '{"well": false, "generation": "spreaview_g1", "filled_by": "abc", "code_version": "def", '
        '"head": 40, "streams": 3, "lagging_streams": 2, "behind_events": 9, '
        '"behind_seconds": 12.346, "stands_still": true, "stopped": [{"stream_id": '
        f'"{STREAM}", "version": 3, "error": "an error", "stopped_at": '
        '"2026-05-01T12:30:00Z", "code_version": "abc", "position": 7, '
        '"type": "RoomImported", "behind": 5}], "ahead": [{"stream_id": '
        f'"{STREAM}", "version": 4, "log_version": 2, "stopped": true}}], '
        '"without_rights": ["spreaview_projector"], "unfilled_rows": 2}'
    )


def test_a_resumed_stream() -> None:
    assert json.dumps(ResumedStream(STREAM, None).to_json()) == (
        f'{{"spreaview_event_id": "{STREAM}", "error": null}}'
    )


def test_a_repair() -> None:
    repaired = Repaired(STREAM, {"rooms": 1}, {"rooms": 2}, 6)
    assert json.dumps(repaired.to_json()) == (
        f'{{"spreaview_event_id": "{STREAM}", "version": 6, '
        '"rows": {"before": {"rooms": 1}, "after": {"rooms": 2}}}'
    )
    assert json.dumps(RepairError(STREAM, ValueError("no name")).to_json()) == (
        f'{{"spreaview_event_id": "{STREAM}", "error": "ValueError: no name"}}'
    )


def test_the_summary_of_a_generation() -> None:
    assert json.dumps(GenerationSummary(GENERATION, 12, 4096).to_json()) == (
        '{"number": 2, "schema": "spreaview_g2", "live": false, "code_version": "abc", '
        '"created_at": "2026-05-01T12:30:00Z", "position": 40, '
        '"filled_at": "2026-05-01T12:30:00Z", "switched_at": null, "state": "filled", '
        '"rows": 12, "size_bytes": 4096}'
    )


def test_the_progress_of_a_rebuild() -> None:
    assert json.dumps(FillProgress(25, 200, 5, 30, 2.0, 14.0).to_json()) == (
        '{"position": 25, "head": 200, "page": 5, "events": 30, "seconds": 2.0, '
        '"remaining": 14.0, "percent": 12.5, "events_per_second": 15}'
    )


def test_the_result_of_a_rebuild() -> None:
    difference = RowDifference({"room_id": "r"}, "changed", {"name": ("old", None)})
    parity = Parity(1, 2, [TableParity("rooms", (3, 4), False, 1, 0, 1, [difference])], ["extra"])
    stopped = StoppedInNew(STREAM, 3, 4, True, "an error")
    live, before = GENERATION, GENERATION._replace(number=1)
    result = RebuildResult(live, before, 200, 1.23456, parity, [stopped], [0])
    assert json.dumps(result.to_json()) == (
        '{"done": "switched", "live": 2, "before": 1, "events": 200, "seconds": 1.235, '
        '"parity": {"equal": false, "streams": 1, "streams_not_compared": 2, '
        '"tables_not_compared": ["extra"], "tables": [{"table": "rooms", '
        '"rows": {"old": 3, "new": 4}, "equal": false, "added": 1, "removed": 0, "changed": 1, '
        '"first": [{"key": {"room_id": "r"}, "kind": "changed", '
        '"fields": {"name": ["old", null]}}]}]}, '
        f'"stopped": [{{"stream_id": "{STREAM}", "version": 3, "live_version": 4, '
        '"live_stopped": true, "error": "an error"}], "dropped": [0], "problem": null}'
    )


def test_the_result_of_a_rollback_has_no_parity() -> None:
    result = RebuildResult(GENERATION, GENERATION, 0, 1.0, None, [], [])
    assert result.to_json()["parity"] is None
