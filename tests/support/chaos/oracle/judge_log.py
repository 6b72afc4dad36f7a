"""Checks the log for itself and against the published requests."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tests.support.chaos.oracle.chain import broken_links
from tests.support.chaos.oracle.log import Event, Log
from tests.support.chaos.oracle.names import TERMINAL
from tests.support.chaos.oracle.report import Findings


class Asked(NamedTuple):
    """A request with readable ids, as recorded by the harness."""

    request_id: UUID
    event_id: UUID
    places: Sequence[tuple[int, int]]
    """Partition and offset of each publication."""


def judge_requests(
    asked: Sequence[Asked], log: Log, done: Mapping[int, int], findings: Findings
) -> None:
    """Check that every request has at most one start and one end, in its stream, in this order.

    Args:
        asked: what was published.
        log: the log at the end.
        done: by partition, the offset that the workers have committed.
        findings: gets what is wrong.
    """
    starts = Counter(e.sync_id for e in log.events if e.type == "SyncStarted")
    ends = Counter(e.sync_id for e in log.events if e.type in TERMINAL)
    homes: dict[UUID, set[UUID]] = {}
    for event in log.events:
        homes.setdefault(event.sync_id, set()).add(event.stream_id)
    for request in asked:
        name = f"request {request.request_id}"
        if not ends[request.request_id]:
            behind = [offset < done.get(part, 0) for part, offset in request.places]
            if behind and all(behind):
                findings.add("lost", f"{name} has no outcome, and its offset is committed")
            else:
                findings.add("unended", f"{name} has no outcome")
        if ends[request.request_id] > 1:
            findings.add("repeated", f"{name} ended {ends[request.request_id]} times")
        if starts[request.request_id] > 1:
            findings.add("repeated", f"{name} began {starts[request.request_id]} times")
        if homes.get(request.request_id, set()) - {request.event_id}:
            findings.add("differing", f"{name} stands in the stream of another event")
    for event in log.events:
        if event.type == "SyncFailed" and event.data["code"] == "internal_error":
            findings.add("crashed", f"request {event.sync_id} met a fault of the worker")
    strangers = homes.keys() - {request.request_id for request in asked}
    findings.add("differing", *(f"run {run} was never asked for" for run in strangers))


def judge_streams(log: Log, findings: Findings) -> None:
    """Check the versions in position order, the hash chain, and that runs do not overlap."""
    streams = log.streams()
    for stream_id, stream in streams.items():
        name = f"stream {stream_id}"
        versions = [event.version for event in stream]
        if versions != list(range(1, len(versions) + 1)):
            findings.add("inverted", f"{name}: versions by position are {_odd(versions)}")
        for version in broken_links(stream):
            findings.add("inverted", f"{name}: the hash of version {version} is wrong")
        if log.heads.get(stream_id) != len(stream):
            head = log.heads.get(stream_id)
            findings.add("inverted", f"{name}: its head says {head}, it has {len(stream)} events")
        _judge_runs(name, stream, findings)
        _judge_codes(name, stream, findings)
    findings.add(
        "lost", *(f"stream {s} has a head and no event" for s in log.heads.keys() - streams.keys())
    )
    for message_id, times in Counter(e.message_id for e in log.events).items():
        if times > 1:
            findings.add("repeated", f"message {message_id} stands in the log {times} times")


def _judge_runs(name: str, stream: Sequence[Event], findings: Findings) -> None:
    """Check that an outcome is contiguous with its terminal event last, in the order of events."""
    ended: set[UUID] = set()
    open_: UUID | None = None
    latest: datetime | None = None
    for event in stream:
        if event.sync_id in ended:
            findings.add("repeated", f"{name}: run {event.sync_id} goes on after its end")
        if open_ is not None and event.sync_id != open_:
            findings.add("inverted", f"{name}: the outcome of {open_} is torn at {event.version}")
        open_ = None if event.type in (*TERMINAL, "SyncStarted") else event.sync_id
        if event.type in TERMINAL:
            ended.add(event.sync_id)
        if event.type == "SyncCompleted":
            ordered_at = datetime.fromisoformat(event.data["ordered_at"])
            if latest is not None and ordered_at < latest:
                findings.add("inverted", f"{name}: {event.sync_id} is older than the one before")
            latest = ordered_at
    if open_ is not None:
        findings.add("half-applied", f"{name}: the outcome of {open_} has no end in the log")


def _judge_codes(name: str, stream: Sequence[Event], findings: Findings) -> None:
    """Check that a session keeps its id and its code through all changes."""
    codes: dict[str, tuple[str, str]] = {}
    for event in stream:
        if event.type == "SessionImported":
            key, now = (
                event.data["sessionize_id"],
                (
                    event.data["session_id"],
                    event.data["session_code"],
                ),
            )
            if codes.setdefault(key, now) != now:
                findings.add("differing", f"{name}: session {key} has got another code")


def _odd(versions: Collection[int]) -> str:
    """Describe the first versions that differ from the expected ones."""
    wrong = [(at, v) for at, v in enumerate(versions, start=1) if at != v]
    return ", ".join(f"{v} for {at}" for at, v in wrong[:3])
