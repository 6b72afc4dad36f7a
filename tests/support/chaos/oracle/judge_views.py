"""Checks the read models, during the run and at its end, and their source documents."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple
from uuid import UUID

from tests.support.chaos.oracle.fold import Fold, snapshots
from tests.support.chaos.oracle.log import Event, Log
from tests.support.chaos.oracle.report import Findings
from tests.support.chaos.oracle.schedule import scheduled, shown
from tests.support.chaos.oracle.views import KEYS, Snapshot


class Source(NamedTuple):
    """The documents that Sessionize served for a request."""

    starts_on: date
    ends_on: date
    time_zone: str
    bodies: Mapping[str, bytes]
    """Bodies served for its API ID after the request was published, by digest."""


def judge_seen(seen: Sequence[Snapshot], log: Log, findings: Findings) -> None:
    """Check that every observed state equals the fold of the log up to its version."""
    expected = states_of(log)
    for snapshot in seen:
        if wrong := _differs(snapshot, expected.get(snapshot.event_id, {})):
            findings.add("half-applied", f"event {snapshot.event_id} was seen {wrong}")


def judge_final(final: Sequence[Snapshot], log: Log, findings: Findings) -> None:
    """Check that at the end the read models equal the fold of the whole log."""
    expected = states_of(log)
    for snapshot in final:
        known = expected.get(snapshot.event_id, {})
        head = max(known, default=0)
        if snapshot.version != head:
            wrong: str | None = f"stands at version {snapshot.version} of {head}"
        else:
            wrong = _differs(snapshot, known)
        if wrong:
            findings.add("differing", f"event {snapshot.event_id} {wrong}")


def judge_sources(sources: Mapping[UUID, Source], log: Log, findings: Findings) -> None:
    """Check that each completed run has the schedule of its document, plus held sessions."""
    for stream in log.streams().values():
        fold = Fold()
        for event in stream:
            fold.apply(event)
            if event.type != "SyncCompleted" or event.sync_id not in sources:
                continue
            if wrong := _against_document(event, fold, sources[event.sync_id]):
                findings.add("differing", f"run {event.sync_id}: {wrong}")


def _against_document(completed: Event, fold: Fold, source: Source) -> str | None:
    body = source.bodies.get(completed.data["source"]["digest"])
    if body is None:
        return "no document with its digest was served after it was asked for"
    held = fold.held
    if len(held) != completed.data["counts"]["sessions"]["withheld"]:
        return "it holds back another number than its events name"
    there = shown(fold.rows("sessions"), fold.rows("rooms"))
    wanted = scheduled(body, source.starts_on, source.ends_on, source.time_zone)
    if held & wanted.keys():
        return "it holds back what its document has"
    if held - there.keys():
        return "what it holds back is not shown"
    without = {key: slot for key, slot in there.items() if key not in held}
    if without != wanted:
        odd = [key for key in {*without, *wanted} if without.get(key) != wanted.get(key)]
        return f"sessions {sorted(odd)[:3]} are not as in its document"
    return None


def states_of(log: Log) -> dict[UUID, dict[int, Snapshot]]:
    """Return the allowed states by event and version."""
    return {
        event_id: {snapshot.version: snapshot for snapshot in snapshots(stream)}
        for event_id, stream in log.streams().items()
    }


def _differs(snapshot: Snapshot, known: Mapping[int, Snapshot]) -> str | None:
    """Describe the difference from the expected state; None if there is none."""
    expected = known.get(snapshot.version)
    if expected is None:
        if snapshot.version == 0 and not any(snapshot.views.values()):
            return None
        return f"at version {snapshot.version}, which ends no outcome"
    for view in KEYS:
        if snapshot.views[view] != expected.views[view]:
            return f"with other rows of {view} than version {snapshot.version} has"
    if snapshot.position != expected.position:
        return f"at position {snapshot.position}, version {snapshot.version} has another"
    return None
