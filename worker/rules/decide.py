"""Deciding: what a schedule changes in what SpreaView shows. Pure: no clock, no input, no output.

    decide(state, schedule, order, source, duration) → the events of the outcome

Sessions that start in the window are imported, with the rooms and speakers they refer to; the
others are skipped with the reason; what is gone is withdrawn, unless so much is gone that it looks
like a mistake: then it is held back. An entity is emitted only if it
differs from what SpreaView shows, so that a repeated sync is silent.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
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
)
from worker.rules import sync_failures
from worker.rules.compare import by_todays_rule
from worker.rules.placement import ImportCommand, place_sessions
from worker.rules.reconcile import Reconciliation, reconcile
from worker.rules.removal_guard import (
    decide_removals,
    guard_warnings,
    held_sessions,
    news_of_withholding,
)
from worker.rules.schedule import Schedule
from worker.rules.state import Skip, State
from worker.rules.warnings import capped

MOST_LEFT_OUT = 1000
"""So many unreferenced rooms or speakers are named: an event has to fit into a Kafka record."""


def decide(
    state: State, schedule: Schedule, order: ImportCommand, source: Source, duration_ms: int
) -> list[ImportEvent]:
    """The outcome of a run, `SyncCompleted` last: nothing but that if nothing changed.

    Raises:
        Refusal: the schedule is empty, unreadable throughout, not announced or replaced by another.
            It changes nothing.
    """
    _refuse_what_is_no_schedule(schedule)
    placed = place_sessions(state, schedule, order)
    verdict = decide_removals(state, schedule, placed, order)
    skips = {key: skip for key, skip in placed.skips.items() if key not in verdict.held}
    shown = [*placed.sessions.values(), *(state.sessions[key] for key in verdict.held)]
    used_rooms = {session.room_id for session in shown}
    used_speakers = {speaker for session in shown for speaker in session.speaker_ids}
    wanted_rooms = {
        key: room
        for key, room in (state.rooms | schedule.rooms).items()
        if room.room_id in used_rooms
    }
    wanted_speakers = {
        key: speaker
        for key, speaker in (state.speakers | schedule.speakers).items()
        if speaker.speaker_id in used_speakers
    }
    rooms = reconcile(state.rooms, state.past_rooms, wanted_rooms, force=order.force)
    speakers = reconcile(state.speakers, state.past_speakers, wanted_speakers, force=order.force)
    sessions = reconcile(
        state.sessions,
        state.past_sessions,
        placed.sessions,
        force=order.force,
        leaving=skips.keys() | verdict.held,
    )
    return [
        *_imported(rooms, speakers, sessions, order),
        *_new_skips(skips, state),
        *_withdrawn_sessions(sessions, state, schedule, order),
        *_withdrawn_speakers(speakers, schedule, order),
        *_withdrawn_rooms(rooms, schedule, order),
        *news_of_withholding(state, verdict, order),
        SyncCompleted(
            **order.facts(),
            ordered_at=order.ordered_at,
            counts=AllCounts(
                sessions=sessions.counts(skipped=len(skips), withheld=len(verdict.held)),
                speakers=speakers.counts(),
                rooms=rooms.counts(),
            ),
            warnings=capped([*guard_warnings(state, verdict, order), *placed.warnings]),
            withheld=held_sessions(state, verdict),
            unreferenced_rooms=_left_out(schedule.rooms, wanted_rooms),
            unreferenced_speakers=_left_out(schedule.speakers, wanted_speakers),
            source=source,
            duration_ms=duration_ms,
        ),
    ]


def _left_out(listed: Iterable[str], wanted: Collection[str]) -> tuple[str, ...]:
    return tuple(islice((key for key in listed if key not in wanted), MOST_LEFT_OUT))


def _refuse_what_is_no_schedule(schedule: Schedule) -> None:
    if schedule.listed == 0:
        raise sync_failures.schedule_empty()
    if not schedule.sessions:
        raise sync_failures.unexpected_document("not one of its sessions can be read")
    if all(planned.starts_at is None for planned in schedule.sessions.values()):
        raise sync_failures.schedule_not_announced(schedule.listed)


def _imported(
    rooms: Reconciliation[Room],
    speakers: Reconciliation[Speaker],
    sessions: Reconciliation[Session],
    order: ImportCommand,
) -> Iterator[ImportEvent]:
    """Rooms and speakers before the sessions that refer to them."""
    facts = order.facts()
    for room, change, fields in rooms.imported:
        yield RoomImported(**_whole(room, facts), change=change, changed_fields=fields)
    for speaker, change, fields in speakers.imported:
        yield SpeakerImported(**_whole(speaker, facts), change=change, changed_fields=fields)
    for session, change, fields in sessions.imported:
        yield SessionImported(**_whole(session, facts), change=change, changed_fields=fields)


def _whole(entity: Room | Speaker | Session, facts: dict[str, UUID]) -> dict[str, Any]:
    return {**msgspec.structs.asdict(entity), **facts}


def _new_skips(skips: Mapping[str, Skip], state: State) -> Iterator[Skip]:
    """Skips whose facts are not those of the skip in force."""
    for key, skip in skips.items():
        before = state.skipped.get(key)
        if before is None or not _same_facts(skip, before):
            yield skip


def _same_facts(skip: Skip, before: Skip) -> bool:
    """Apart from the run and `was_imported`, by today's text rule on both sides."""
    return skip == msgspec.structs.replace(
        before,
        sync_id=skip.sync_id,
        was_imported=skip.was_imported,
        title=by_todays_rule(before.title),
    )


def _withdrawn_sessions(
    sessions: Reconciliation[Session], state: State, schedule: Schedule, order: ImportCommand
) -> Iterator[SessionWithdrawn]:
    """Imported sessions and skipped ones that the document does not contain any more."""
    listed = schedule.sessions.keys() | schedule.invalid_sessions
    skipped = [skip for key, skip in state.skipped.items() if key not in listed]
    for gone in (*sessions.withdrawn, *skipped):
        yield SessionWithdrawn(
            **order.facts(),
            session_id=gone.session_id,
            sessionize_id=gone.sessionize_id,
            title=gone.title,
            reason="missing_from_source",
            was_imported=isinstance(gone, Session),
        )


def _withdrawn_speakers(
    speakers: Reconciliation[Speaker], schedule: Schedule, order: ImportCommand
) -> Iterator[SpeakerWithdrawn]:
    for speaker in speakers.withdrawn:
        yield SpeakerWithdrawn(
            **order.facts(),
            speaker_id=speaker.speaker_id,
            sessionize_id=speaker.sessionize_id,
            reason=_why_withdrawn(
                speaker.sessionize_id, schedule.speakers.keys() | schedule.invalid_speakers
            ),
            was_imported=True,
        )


def _withdrawn_rooms(
    rooms: Reconciliation[Room], schedule: Schedule, order: ImportCommand
) -> Iterator[RoomWithdrawn]:
    for room in rooms.withdrawn:
        yield RoomWithdrawn(
            **order.facts(),
            room_id=room.room_id,
            sessionize_id=room.sessionize_id,
            name=room.name,
            reason=_why_withdrawn(
                room.sessionize_id, schedule.rooms.keys() | schedule.invalid_rooms
            ),
            was_imported=True,
        )


def _why_withdrawn(
    key: str, listed: Collection[str]
) -> Literal["missing_from_source", "unreferenced"]:
    return "unreferenced" if key in listed else "missing_from_source"
