"""Handling a request: started once, resumed, decided again, ended exactly once."""

import json
import time
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from contracts import identity, samples
from contracts.codec import JsonObject
from contracts.events import (
    ImportEvent,
    SessionImported,
    SyncCompleted,
    SyncFailed,
    SyncStarted,
)
from contracts.failures import FailureCode
from contracts.messages import RequestIds, decode_request, encode_request, mask_api_id
from eventstore.log import LogIdentity
from eventstore.model import (
    AlreadyRecordedError,
    Appended,
    Commit,
    NewEvent,
    StreamMovedError,
)
from tests.support.documents import WINDOW, document, talk
from tests.support.fake_log import NOW, FakeLog, FakeSessionize
from worker.rules import sync_failures
from worker.rules.command import check_request
from worker.sync.end_run import RequestIdTakenError
from worker.sync.handle import Handler, RequestContext
from worker.sync.state_snapshots import load_state

pytestmark = pytest.mark.asyncio

REQUEST = msgspec.structs.replace(samples.REQUEST, window=WINDOW, allow_removals=None)
EVENT, SYNC, ORGANIZATION = (
    REQUEST.spreaview_event_id,
    REQUEST.request_id,
    REQUEST.organization_id,
)
OTHER_EVENT, OTHER_SYNC = UUID(int=7), UUID(int=8)
KEY = b"k" * 32
CONTEXT = RequestContext(NOW - timedelta(minutes=1), 5.0, "00-trace")
FIRST, SECOND = document(talk("1")), document(talk("1"), talk("2"))


@dataclass
class Bench:
    """A handler over a fake log and a fake Sessionize."""

    log: FakeLog = field(default_factory=FakeLog)
    sessionize: FakeSessionize = field(default_factory=FakeSessionize)
    snapshot_events: int = 1000

    @property
    def handler(self) -> Handler:
        return Handler(
            self.log,
            self.sessionize,
            LogIdentity(UUID(int=1), KEY),
            "test",
            snapshot_events=self.snapshot_events,
        )

    @property
    def types(self) -> list[str]:
        return [recorded.type for recorded in self.log.streams[EVENT]]

    @property
    def outcome(self) -> ImportEvent:
        return self.log.events(EVENT)[-1]

    async def sync(self, source: JsonObject = FIRST, sync_id: UUID = SYNC) -> None:
        self.sessionize.body = json.dumps(source).encode()
        await self.handler.handle(msgspec.structs.replace(REQUEST, request_id=sync_id), CONTEXT)

    def add(self, *events: tuple[UUID, ImportEvent], stream_id: UUID = EVENT) -> None:
        """Append as another writer, at the head."""
        new = [NewEvent(message_id, event) for message_id, event in events]
        self.log.add(Commit(stream_id, len(self.log.streams[stream_id]), new))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def started(sync_id: UUID = SYNC, *, minutes: int = -9) -> tuple[UUID, SyncStarted]:
    """The `SyncStarted` of a run, with a time in the order of runs relative to now."""
    event = msgspec.structs.replace(
        samples.EVENTS[0],
        sync_id=sync_id,
        organization_id=ORGANIZATION,
        spreaview_event_id=EVENT,
        ordered_at=NOW + timedelta(minutes=minutes),
        window=REQUEST.window,
        force=bool(REQUEST.force),
        allow_removals=REQUEST.allow_removals,
        api_id_masked=mask_api_id(REQUEST.sessionize_api_id),
        api_id_fingerprint=check_request(REQUEST, KEY).api_id_fingerprint,
    )
    assert isinstance(event, SyncStarted)
    return identity.message_id(sync_id, 0), event


def completed(
    sync_id: UUID = OTHER_SYNC, *, minutes: int = -9, organization_id: UUID = ORGANIZATION
) -> tuple[UUID, SyncCompleted]:
    """The `SyncCompleted` of a run, with a time in the order of runs relative to now."""
    (sample,) = [event for event in samples.EVENTS if isinstance(event, SyncCompleted)]
    event = msgspec.structs.replace(
        sample,
        sync_id=sync_id,
        organization_id=organization_id,
        spreaview_event_id=EVENT,
        ordered_at=NOW + timedelta(minutes=minutes),
        withheld=(),
    )
    return identity.message_id(sync_id, identity.OUTCOME), event


def failure_of(event: ImportEvent) -> str:
    assert isinstance(event, SyncFailed)
    return event.code


async def test_a_request_is_started_and_completed(bench: Bench) -> None:
    await bench.sync()

    start, outcome = bench.log.commits
    assert bench.types == [
        "SyncStarted",
        "RoomImported",
        "SpeakerImported",
        "SessionImported",
        "SyncCompleted",
    ]
    assert [len(commit.events) for commit in (start, outcome)] == [1, 4]
    assert (start.inbox, outcome.inbox) == (None, SYNC)
    assert outcome.source is not None
    assert outcome.source.body == bench.sessionize.body
    assert bench.log.loads == 1


async def test_a_request_with_half_an_emoji_is_completed_without_the_half(bench: Bench) -> None:
    body = encode_request(msgspec.structs.replace(REQUEST, requested_by="Ada @"))
    request = decode_request(body.replace(b"@", rb"\ud83d"))
    bench.sessionize.body = json.dumps(FIRST).encode()

    await bench.handler.handle(request, CONTEXT)

    start = bench.log.events(EVENT)[0]
    assert isinstance(start, SyncStarted)
    assert start.requested_by == "Ada"
    assert isinstance(bench.outcome, SyncCompleted)


async def test_every_event_of_a_run_has_its_own_message_id_and_the_trace(bench: Bench) -> None:
    await bench.sync()

    ordinals: list[int | str] = [0, 1, 2, 3, identity.OUTCOME]
    recorded = bench.log.streams[EVENT]
    assert [r.message_id for r in recorded] == [identity.message_id(SYNC, o) for o in ordinals]
    assert {str(r.metadata["traceparent"]) for r in recorded} == {"00-trace"}


@pytest.mark.parametrize("minutes", [-1, 1])
async def test_the_earlier_of_record_time_and_database_clock_orders_the_run(
    bench: Bench, minutes: int
) -> None:
    bench.sessionize.body = json.dumps(FIRST).encode()
    await bench.handler.handle(
        REQUEST, CONTEXT._replace(ordered_at=NOW + timedelta(minutes=minutes))
    )

    start, *_, end = bench.log.events(EVENT)
    assert isinstance(start, SyncStarted)
    assert isinstance(end, SyncCompleted)
    assert start.ordered_at == end.ordered_at == NOW + timedelta(minutes=min(minutes, 0))


async def test_a_request_that_has_an_outcome_is_left_alone(bench: Bench) -> None:
    await bench.sync()
    before = len(bench.log.commits)

    await bench.sync(SECOND)
    await bench.handler.refuse(REQUEST, sync_failures.internal_error(), CONTEXT)

    assert len(bench.log.commits) == before
    assert len(bench.sessionize.received) == 1


async def test_a_started_run_is_resumed_with_its_place_in_the_order(bench: Bench) -> None:
    bench.add(started(minutes=-9))

    await bench.sync()

    assert bench.types.count("SyncStarted") == 1
    assert isinstance(bench.outcome, SyncCompleted)
    assert bench.outcome.ordered_at == NOW - timedelta(minutes=9)


async def test_a_start_is_appended_again_if_another_run_was_first(bench: Bench) -> None:
    bench.log.others = [lambda: bench.add(started(OTHER_SYNC, minutes=0))]

    await bench.sync()

    assert bench.types.count("SyncStarted") == 2
    assert isinstance(bench.outcome, SyncCompleted)


async def test_a_run_that_another_worker_started_is_resumed(bench: Bench) -> None:
    bench.log.others = [lambda: bench.add(started(minutes=-5))]

    await bench.sync()

    assert bench.types.count("SyncStarted") == 1
    assert isinstance(bench.outcome, SyncCompleted)
    assert bench.outcome.ordered_at == NOW - timedelta(minutes=5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sessionize_api_id", "zzzz9999"),
        ("organization_id", UUID(int=9)),
        ("window", msgspec.structs.replace(WINDOW, time_zone="Europe/London")),
        ("force", True),
        ("allow_removals", 3),
    ],
)
async def test_a_started_run_is_not_ended_by_another_request_with_its_id(
    bench: Bench, field: str, value: object
) -> None:
    bench.add(started())
    other = msgspec.structs.replace(REQUEST, **{field: value})

    with pytest.raises(RequestIdTakenError, match=f"differs in: {field}"):
        await bench.handler.handle(other, CONTEXT)

    assert bench.types == ["SyncStarted"]
    await bench.sync()
    assert isinstance(bench.outcome, SyncCompleted)


async def test_a_started_run_is_not_ended_by_a_faulty_request_with_its_id(bench: Bench) -> None:
    bench.add(started())
    faulty = msgspec.structs.replace(REQUEST, sessionize_api_id="?")

    with pytest.raises(RequestIdTakenError, match="invalid_api_id"):
        await bench.handler.handle(faulty, CONTEXT)

    assert bench.types == ["SyncStarted"]


async def test_an_append_that_is_refused_without_a_reason_ends_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, refused = bench.log.add, []

    def refuse_outcomes(commit: Commit) -> Appended:
        if any(isinstance(new.event, SessionImported) for new in commit.events):
            refused.append(commit)
            raise StreamMovedError(commit.stream_id, commit.expected_version)
        return add(commit)

    monkeypatch.setattr(bench.log, "add", refuse_outcomes)
    await bench.sync()

    assert isinstance(bench.outcome, SyncFailed)
    assert (bench.outcome.code, len(refused)) == ("internal_error", 4)


async def test_an_event_in_between_makes_the_run_decide_again_with_its_document(
    bench: Bench,
) -> None:
    bench.log.others = [lambda: None, lambda: bench.add(started(OTHER_SYNC, minutes=0))]

    await bench.sync()

    assert isinstance(bench.outcome, SyncCompleted)
    assert len(bench.sessionize.received) == 1


async def test_a_completed_run_in_between_makes_the_run_fetch_again(bench: Bench) -> None:
    bench.log.others = [lambda: None, lambda: bench.add(completed(minutes=-9))]

    await bench.sync()

    assert isinstance(bench.outcome, SyncCompleted)
    first, second = bench.sessionize.received
    assert first == CONTEXT.received
    assert second > first


async def test_the_fetch_begins_while_the_start_is_appended(bench: Bench) -> None:
    prompt = CONTEXT._replace(received=time.monotonic())
    begun_before_the_start: list[float] = []
    bench.log.others = [lambda: begun_before_the_start.extend(bench.sessionize.begun)]

    await bench.handler.handle(REQUEST, prompt)

    assert begun_before_the_start == bench.sessionize.received == [prompt.received]


async def test_a_request_that_has_waited_is_fetched_for_after_its_start(bench: Bench) -> None:
    """Each try would cost a fetch while the database can be read and not written."""
    await bench.sync()

    assert bench.sessionize.begun == []
    assert bench.sessionize.received == [CONTEXT.received]


async def test_a_completed_run_before_the_start_makes_the_run_fetch_again(bench: Bench) -> None:
    bench.log.others = [lambda: bench.add(completed(minutes=-9))]

    await bench.sync()

    assert isinstance(bench.outcome, SyncCompleted)
    (received,) = bench.sessionize.received
    assert received > CONTEXT.received


async def test_a_later_run_that_completes_in_between_supersedes_the_run(bench: Bench) -> None:
    bench.log.others = [lambda: None, lambda: bench.add(completed(minutes=0))]

    await bench.sync()

    assert failure_of(bench.outcome) == FailureCode.SUPERSEDED
    assert bench.log.commits[-1].inbox == SYNC
    assert len(bench.sessionize.received) == 1


async def test_a_superseded_request_is_neither_started_nor_fetched(bench: Bench) -> None:
    bench.add(completed(minutes=0))

    await bench.sync()

    assert bench.types == ["SyncCompleted", "SyncFailed"]
    assert failure_of(bench.outcome) == FailureCode.SUPERSEDED
    assert bench.sessionize.begun == bench.sessionize.received == []


async def test_an_event_of_another_organization_is_refused(bench: Bench) -> None:
    bench.add(completed(organization_id=UUID(int=3)))

    await bench.sync()

    assert bench.types == ["SyncCompleted", "SyncFailed"]
    assert failure_of(bench.outcome) == FailureCode.INVALID_REQUEST


async def test_a_run_that_another_worker_ended_is_left_alone(bench: Bench) -> None:
    bench.log.others = [lambda: None, lambda: bench.add(completed(SYNC))]

    await bench.sync()

    assert bench.types == ["SyncStarted", "SyncCompleted"]


async def test_a_run_that_another_worker_started_and_ended_is_left_alone(bench: Bench) -> None:
    bench.log.others = [lambda: bench.add(started(), completed(SYNC))]

    await bench.sync()

    assert bench.types == ["SyncStarted", "SyncCompleted"]


@pytest.mark.parametrize("event", [started(), completed(SYNC)], ids=["started", "ended"])
async def test_an_id_taken_by_another_event_is_reported_and_nothing_appended(
    bench: Bench, event: tuple[UUID, ImportEvent]
) -> None:
    bench.add(event, stream_id=OTHER_EVENT)

    with pytest.raises(RequestIdTakenError):
        await bench.sync()
    with pytest.raises(RequestIdTakenError):
        await bench.handler.refuse(REQUEST, sync_failures.internal_error(), CONTEXT)

    assert bench.types == []


@pytest.mark.parametrize("appends", [0, 1], ids=["while starting", "while ending"])
async def test_an_id_that_another_event_takes_meanwhile_is_reported(
    bench: Bench, appends: int
) -> None:
    def take() -> None:
        bench.add(*([started()] if not appends else []), completed(SYNC), stream_id=OTHER_EVENT)

    bench.log.others = [*([lambda: None] * appends), take]

    with pytest.raises(RequestIdTakenError):
        await bench.sync()

    assert bench.types == ["SyncStarted"] * appends


async def test_a_recorded_message_without_a_start_is_a_fault_and_not_repeated(
    bench: Bench,
) -> None:
    bench.log.others = [fail]

    with pytest.raises(AlreadyRecordedError, match="of nothing that is known"):
        await bench.sync()

    assert bench.log.commits == []


def fail() -> None:
    raise AlreadyRecordedError("of nothing that is known")


async def test_a_part_of_an_outcome_ends_the_run_as_an_internal_error(bench: Bench) -> None:
    bench.log.others = [lambda: None, fail]

    await bench.sync()

    assert bench.types == ["SyncStarted", "SyncFailed"]
    assert isinstance(bench.outcome, SyncFailed)
    assert bench.outcome.code == FailureCode.INTERNAL_ERROR
    assert "a part of its outcome is in the log" in bench.outcome.message


@pytest.mark.parametrize("api_id", [REQUEST.sessionize_api_id, "not an id!"])
async def test_an_inbox_entry_without_an_outcome_ends_the_run_as_an_internal_error(
    bench: Bench, api_id: str
) -> None:
    bench.log.commits.append(Commit(EVENT, 0, [], inbox=SYNC))
    bench.sessionize.body = json.dumps(FIRST).encode()
    request = msgspec.structs.replace(REQUEST, sessionize_api_id=api_id)

    for _ in range(2):  # the second time as after a redelivery
        await bench.handler.handle(request, CONTEXT)

    assert bench.types.count("SyncFailed") == 1
    assert isinstance(bench.outcome, SyncFailed)
    assert bench.outcome.code == FailureCode.INTERNAL_ERROR
    assert "the inbox lists this request as handled" in bench.outcome.message
    assert bench.log.streams[EVENT][-1].message_id == identity.message_id(SYNC, identity.OUTCOME)


async def test_a_completed_run_supersedes_the_earlier_open_runs_of_its_event(bench: Bench) -> None:
    equal, later = UUID(int=9), UUID(int=10)
    bench.add(started(OTHER_SYNC, minutes=-2), started(equal, minutes=-1))
    bench.add(started(later, minutes=0))

    await bench.sync()

    assert bench.types[-2:] == ["SyncCompleted", "SyncFailed"]
    superseded = bench.outcome
    assert isinstance(superseded, SyncFailed)
    assert (superseded.sync_id, superseded.code) == (OTHER_SYNC, FailureCode.SUPERSEDED)
    assert superseded.ordered_at == NOW - timedelta(minutes=2)
    assert len(bench.log.commits[-1].events) == 1
    assert bench.log.commits[-1].inbox == OTHER_SYNC


async def test_a_failed_run_supersedes_no_other(bench: Bench) -> None:
    bench.add(started(OTHER_SYNC, minutes=-2))
    bench.sessionize.failure = sync_failures.upstream_unavailable("it is slow")

    await bench.sync()

    state = await load_state(bench.log, EVENT)
    assert set(state.open_runs) == {OTHER_SYNC}


async def test_an_open_run_that_ends_elsewhere_is_not_ended_again(bench: Bench) -> None:
    bench.add(started(OTHER_SYNC, minutes=-2))
    ended = completed(OTHER_SYNC, minutes=-2)
    bench.log.others = [lambda: None, lambda: None, lambda: bench.add(ended)]

    await bench.sync()

    assert bench.types[-2:] == ["SyncCompleted", "SyncCompleted"]


async def test_an_invalid_request_fails_without_loading_the_state(bench: Bench) -> None:
    wrong = msgspec.structs.replace(REQUEST, sessionize_api_id="not an id!")

    await bench.handler.handle(wrong, CONTEXT)

    assert bench.types == ["SyncFailed"]
    assert failure_of(bench.outcome) == FailureCode.INVALID_API_ID
    assert bench.log.commits[-1].inbox == SYNC
    assert bench.log.loads == 0


async def test_a_refusal_ends_the_run_at_any_version_of_the_stream(bench: Bench) -> None:
    bench.add(started(OTHER_SYNC))
    bench.log.others = [lambda: bench.add(completed(OTHER_SYNC))]
    ids = RequestIds(request_id=SYNC, organization_id=ORGANIZATION, spreaview_event_id=EVENT)

    await bench.handler.refuse(ids, sync_failures.internal_error(), CONTEXT)

    assert bench.types == ["SyncStarted", "SyncCompleted", "SyncFailed"]
    assert failure_of(bench.outcome) == FailureCode.INTERNAL_ERROR
    assert bench.log.loads == 0


async def test_a_failed_fetch_is_the_outcome_of_a_started_run(bench: Bench) -> None:
    bench.sessionize.failure = sync_failures.api_id_not_found(404)

    await bench.sync()

    assert bench.types == ["SyncStarted", "SyncFailed"]
    assert failure_of(bench.outcome) == FailureCode.API_ID_NOT_FOUND
    assert bench.log.commits[-1].source is None


async def test_an_error_that_is_no_failure_passes_and_leaves_the_run_to_be_resumed(
    bench: Bench,
) -> None:
    def cut_off() -> None:
        raise ConnectionError

    bench.log.others = [lambda: None, cut_off]
    with pytest.raises(ConnectionError):
        await bench.sync()
    assert bench.types == ["SyncStarted"]

    await bench.sync()

    assert bench.types.count("SyncStarted") == 1
    assert isinstance(bench.outcome, SyncCompleted)


async def test_a_snapshot_of_the_state_after_the_outcome_is_kept_when_due(bench: Bench) -> None:
    bench.snapshot_events = 5

    await bench.sync()

    assert bench.log.snapshots[EVENT].version == len(bench.types) == 5
    bench.log.streams[EVENT][:] = []
    assert "1" in (await load_state(bench.log, EVENT)).sessions


async def test_no_snapshot_is_kept_before_it_is_due(bench: Bench) -> None:
    bench.snapshot_events = 6

    await bench.sync()

    assert bench.log.snapshots == {}


async def test_a_run_in_between_does_not_leave_its_changes_in_a_snapshot(bench: Bench) -> None:
    """Deciding folds the outcome into the state for the snapshot: it has to be loaded again."""
    bench.snapshot_events = 1
    bench.log.others = [lambda: None, lambda: bench.add(started(OTHER_SYNC, minutes=0))]

    await bench.sync()

    assert bench.log.loads == 2
    assert bench.types.count("SessionImported") == 1
    assert bench.log.snapshots[EVENT].version == len(bench.types)


async def test_an_erased_speaker_is_imported_without_personal_fields(bench: Bench) -> None:
    bench.log.erased = {identity.speaker_id(ORGANIZATION, "ada")}

    await bench.sync()

    state = await load_state(bench.log, EVENT)
    commit = bench.log.commits[-1]
    assert state.speakers["ada"].full_name is None
    assert commit.source is None
    assert commit.erasures is not None
    assert commit.erasures == bench.log.erased


async def test_an_erased_requester_is_not_named(bench: Bench) -> None:
    assert REQUEST.requested_by is not None
    bench.log.erased = {identity.requester_subject(ORGANIZATION, REQUEST.requested_by)}

    await bench.sync()

    start = bench.log.events(EVENT)[0]
    assert isinstance(start, SyncStarted)
    assert start.requested_by is None


async def test_a_second_sync_imports_only_the_difference(bench: Bench) -> None:
    await bench.sync(FIRST)
    await bench.sync(SECOND, OTHER_SYNC)

    imported = [e.sessionize_id for e in bench.log.events(EVENT) if isinstance(e, SessionImported)]
    assert imported == ["1", "2"]
