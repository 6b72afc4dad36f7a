"""Deciding: how a schedule changes what SpreaView shows. A pure function, without clock or I/O.

    decide(state, schedule, command, source, duration_ms) → the events of the outcome

Sessions that start in the window are imported, with the rooms and speakers they refer to. The
others are skipped, with the reason. Missing sessions are withdrawn, unless suspiciously many are
missing: then their removal is held back. An event is emitted only for an entity that
differs from the one SpreaView shows, so a repeated sync emits none.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

import msgspec

from contracts.events import (
    AllCounts,
    ImportEvent,
    Room,
    RoomImported,
    RoomWithdrawn,
    Session,
    SessionImported,
    SessionWithdrawn,
    Source,
    Speaker,
    SpeakerImported,
    SpeakerWithdrawn,
    SyncCompleted,
    SyncWarning,
)
from worker.rules import sync_failures
from worker.rules.bytes_of_json import cut
from worker.rules.compare import same_skip
from worker.rules.never_empty import require_a_session
from worker.rules.placement import ImportCommand, Placement, place_sessions
from worker.rules.reconcile import Reconciliation, reconcile
from worker.rules.removal_guard import (
    TITLES,
    decide_removals,
    guard_warnings,
    held_sessions,
    withholding_events,
)
from worker.rules.schedule import Schedule
from worker.rules.settle import settle
from worker.rules.state import Skip, State
from worker.rules.warnings import MOST_OF_A_CODE, capped

UNREFERENCED_BYTES = 64 * 1024
"""Largest list of unreferenced rooms or speakers in an event, as JSON."""

WITHHELD_BYTES = 64 * 1024
"""Largest list of held sessions in `SyncCompleted`, as JSON."""


def decide(
    state: State, schedule: Schedule, command: ImportCommand, source: Source, duration_ms: int
) -> list[ImportEvent]:
    """Return the events of a run. `SyncCompleted` is the last, and the only one without changes.

    Raises:
        SyncFailure: the schedule is empty, completely unreadable, not announced, or replaced by
            another one, or not one session would stay.
    """
    _require_schedule(schedule)
    schedule = settle(state, schedule, command)
    placed = place_sessions(state, schedule, command)
    require_a_session(state, schedule, placed, command)
    decision = decide_removals(state, schedule, placed, command)
    skips = {key: skip for key, skip in placed.skips.items() if key not in decision.held}
    shown = [*placed.sessions.values(), *(state.sessions[key] for key in decision.held)]
    used_rooms = {session.room_id for session in shown}
    used_speakers = {speaker for session in shown for speaker in session.speaker_ids}
    wanted_rooms = {
        key: room
        for key, room in (state.past_rooms | state.rooms | schedule.rooms).items()
        if room.room_id in used_rooms
    }
    wanted_speakers = {
        key: speaker
        for key, speaker in (state.past_speakers | state.speakers | schedule.speakers).items()
        if speaker.speaker_id in used_speakers
    }
    rooms = reconcile(state.rooms, state.past_rooms, wanted_rooms, force=command.force)
    speakers = reconcile(state.speakers, state.past_speakers, wanted_speakers, force=command.force)
    sessions = reconcile(
        state.sessions,
        state.past_sessions,
        placed.sessions,
        force=command.force,
        leaving=skips.keys() | decision.held,
    )
    left = _left(state, placed, command)
    other_rooms = [key for key in schedule.rooms if key not in wanted_rooms]
    other_speakers = [key for key in schedule.speakers if key not in wanted_speakers]
    warnings = [*guard_warnings(state, decision, command), *_window_changed(left), *placed.warnings]
    return [
        *_imported(rooms, speakers, sessions, command),
        *_changed_skips(skips, state),
        *_withdrawn_sessions(sessions, state, schedule, command),
        *_withdrawn_speakers(speakers, schedule, command),
        *_withdrawn_rooms(rooms, schedule, command),
        *withholding_events(state, decision, command),
        SyncCompleted(
            **command.facts(),
            ordered_at=command.ordered_at,
            counts=AllCounts(
                sessions=sessions.counts(
                    skipped=len(skips), withheld=len(decision.held), left=len(left)
                ),
                speakers=speakers.counts(),
                rooms=rooms.counts(),
            ),
            warnings=capped(warnings),
            withheld=cut(held_sessions(state, decision)[:TITLES], WITHHELD_BYTES),
            unreferenced_rooms=cut(other_rooms, UNREFERENCED_BYTES),
            unreferenced_speakers=cut(other_speakers, UNREFERENCED_BYTES),
            unreferenced_rooms_total=len(other_rooms),
            unreferenced_speakers_total=len(other_speakers),
            source=source,
            duration_ms=duration_ms,
        ),
    ]


def _left(state: State, placed: Placement, command: ImportCommand) -> list[str]:
    """Imported sessions that leave the schedule because the dates changed."""
    return [
        key
        for key, session in state.sessions.items()
        if key not in placed.sessions and command.bounds.place(session.starts_at) != "in_window"
    ]


def _window_changed(left: Sequence[str]) -> Iterator[SyncWarning]:
    if left:
        who = "1 imported session" if len(left) == 1 else f"{len(left)} imported sessions"
        yield SyncWarning(
            code="window_changed",
            message=f"{who} left the schedule because the dates changed.",
            sessionize_ids=tuple(left[:MOST_OF_A_CODE]),
        )


def _require_schedule(schedule: Schedule) -> None:
    if schedule.listed == 0:
        raise sync_failures.schedule_empty()
    if not schedule.sessions:
        raise sync_failures.unexpected_document("not one of its sessions can be read")
    if all(planned.starts_at is None for planned in schedule.all_sessions()):
        raise sync_failures.schedule_not_announced(schedule.listed)


def _imported(
    rooms: Reconciliation[Room],
    speakers: Reconciliation[Speaker],
    sessions: Reconciliation[Session],
    command: ImportCommand,
) -> Iterator[ImportEvent]:
    """Imports; rooms and speakers come before the sessions that refer to them."""
    facts = command.facts()
    for room, change, fields in rooms.imported:
        yield RoomImported(**_whole(room, facts), change=change, changed_fields=fields)
    for speaker, change, fields in speakers.imported:
        yield SpeakerImported(**_whole(speaker, facts), change=change, changed_fields=fields)
    for session, change, fields in sessions.imported:
        yield SessionImported(**_whole(session, facts), change=change, changed_fields=fields)


def _whole(entity: Room | Speaker | Session, facts: dict[str, UUID]) -> dict[str, Any]:
    return {**msgspec.structs.asdict(entity), **facts}


def _changed_skips(skips: Mapping[str, Skip], state: State) -> Iterator[Skip]:
    """Skips with other facts than the skip in force."""
    for key, skip in skips.items():
        before = state.skipped.get(key)
        if before is None or not same_skip(skip, before):
            yield skip


def _withdrawn_sessions(
    sessions: Reconciliation[Session], state: State, schedule: Schedule, command: ImportCommand
) -> Iterator[SessionWithdrawn]:
    """Withdrawals of imported and skipped sessions that the document does not contain any more."""
    listed = schedule.sessions.keys() | schedule.invalid_sessions
    skipped = [skip for key, skip in state.skipped.items() if key not in listed]
    for gone in (*sessions.withdrawn, *skipped):
        yield SessionWithdrawn(
            **command.facts(),
            session_id=gone.session_id,
            sessionize_id=gone.sessionize_id,
            title=gone.title,
            reason="missing_from_source",
            was_imported=isinstance(gone, Session),
        )


def _withdrawn_speakers(
    speakers: Reconciliation[Speaker], schedule: Schedule, command: ImportCommand
) -> Iterator[SpeakerWithdrawn]:
    for speaker in speakers.withdrawn:
        yield SpeakerWithdrawn(
            **command.facts(),
            speaker_id=speaker.speaker_id,
            sessionize_id=speaker.sessionize_id,
            reason=_withdrawal_reason(speaker.sessionize_id, schedule.speakers),
            was_imported=True,
        )


def _withdrawn_rooms(
    rooms: Reconciliation[Room], schedule: Schedule, command: ImportCommand
) -> Iterator[RoomWithdrawn]:
    for room in rooms.withdrawn:
        yield RoomWithdrawn(
            **command.facts(),
            room_id=room.room_id,
            sessionize_id=room.sessionize_id,
            name=room.name,
            reason=_withdrawal_reason(room.sessionize_id, schedule.rooms),
            was_imported=True,
        )


def _withdrawal_reason(
    key: str, listed: Collection[str]
) -> Literal["missing_from_source", "unreferenced"]:
    return "unreferenced" if key in listed else "missing_from_source"
