"""Checks what clients of the HTTP side and of the read models were shown during the run."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tests.support.chaos.oracle.judge_views import states_of
from tests.support.chaos.oracle.log import Log
from tests.support.chaos.oracle.names import TERMINAL
from tests.support.chaos.oracle.report import Findings
from tests.support.chaos.oracle.views import Snapshot


class Session(NamedTuple):
    """The fields of a scheduled session that the oracle compares."""

    session_id: str
    title: str
    starts_at: datetime
    ends_at: datetime
    room_id: str


class Answer(NamedTuple):
    """A schedule as a client got it."""

    reader: str
    event_id: UUID
    waited_for: UUID | None
    """The sync in `wait_for_sync`."""
    min_version: int
    """0: not asked for."""
    of: tuple[str, int]
    """The log and the generation that it names."""
    version: int
    """The version that it names."""
    sessions: frozenset[Session]


def judge_answers(answers: Sequence[Answer], log: Log, findings: Findings) -> None:
    """Check each answer by itself, and the order of the answers of each reader.

    Args:
        answers: in the order of each reader.
        log: the whole log at the end.
        findings: takes the findings.
    """
    ended = {e.sync_id: e.version for e in log.events if e.type in TERMINAL}
    last: dict[tuple[str, UUID, tuple[str, int]], int] = {}
    schedules = {
        (event_id, version): _scheduled(state)
        for event_id, states in states_of(log).items()
        for version, state in states.items()
    }
    for answer in answers:
        what = f"{answer.reader}: event {answer.event_id} at version {answer.version}"
        if answer.version < answer.min_version:
            findings.add("stale", f"{what}, asked for {answer.min_version}")
        if answer.waited_for is not None:
            version = ended.get(answer.waited_for)
            if version is None or answer.version < version:
                findings.add("stale", f"{what}, asked for run {answer.waited_for} ({version})")
        key = answer.reader, answer.event_id, answer.of
        if answer.version < last.get(key, 0):
            findings.add("backwards", f"{what}, after {last[key]}")
        last[key] = answer.version
        expected = schedules.get((answer.event_id, answer.version))
        if expected is None:
            findings.add("half-applied", f"{what}, which ends no outcome")
        elif answer.sessions != expected:
            findings.add("half-applied", f"{what}, with another schedule than it has")


def judge_order(seen: Sequence[Snapshot], findings: Findings) -> None:
    """Check that no reader of the read models saw an event at an earlier version than before.

    Args:
        seen: in the order of one reader, of one generation of the read models.
        findings: takes the findings.
    """
    last: dict[UUID, int] = {}
    for snapshot in seen:
        if snapshot.version < (before := last.get(snapshot.event_id, 0)):
            findings.add(
                "backwards", f"event {snapshot.event_id} at {snapshot.version}, after {before}"
            )
        last[snapshot.event_id] = snapshot.version


def _scheduled(state: Snapshot) -> frozenset[Session]:
    return frozenset(
        Session(row["session_id"], row["title"], row["starts_at"], row["ends_at"], row["room_id"])
        for row in state.views["sessions"].values()
        if row["status"] == "scheduled"
    )
