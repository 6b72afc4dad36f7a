"""The removal guard: hold back the removal of suspiciously many sessions.

A first import, a moved window and another API ID are not guarded; of a narrowed window only the
kept part is. A session held back stays unchanged, however often the sync is repeated, until it is
back in Sessionize or a request confirms its removal.
"""

from collections.abc import Iterator
from typing import NamedTuple

from contracts.events import HeldSession, RemovalsWithheld, SyncWarning
from worker.rules import sync_failures
from worker.rules.bytes_of_json import in_parts
from worker.rules.never_empty import removals_of, source_changed
from worker.rules.placement import ImportCommand, Placement
from worker.rules.schedule import Schedule
from worker.rules.state import State
from worker.rules.warnings import MOST_OF_A_CODE, short

FEW = 5
"""Up to this many removals in one run are never held back."""

TITLES = 100
"""Held sessions whose titles are in the events."""

PART_BYTES = 512 * 1024
"""Largest list of held sessions in one event, as JSON."""


class GuardDecision(NamedTuple):
    """Which removals of a run apply and which are held back; Sessionize ids."""

    guarded: frozenset[str]
    removed: frozenset[str]
    held: frozenset[str]


def decide_removals(
    state: State, schedule: Schedule, placed: Placement, command: ImportCommand
) -> GuardDecision:
    """Decide which of the sessions that would leave the schedule are held back.

    Raises:
        SyncFailure: `schedule_replaced`: all of them would leave.
    """
    guarded = _guarded(state, command)
    removed = frozenset(
        key
        for key in guarded
        if key not in placed.sessions and key not in schedule.invalid_sessions
    )
    held = state.withheld & removed
    new = removed - held
    if command.allow_removals is not None and command.allow_removals >= len(removed):
        held = frozenset()
    elif len(guarded) > FEW and removed == guarded:
        raise sync_failures.schedule_replaced(removals_of(removed, placed, source_changed=False))
    elif len(new) > FEW and 2 * len(new) > len(guarded - held):
        held = removed
    return GuardDecision(guarded, removed, held)


def _guarded(state: State, command: ImportCommand) -> frozenset[str]:
    """Imported sessions that start in the window; none if the API ID has changed."""
    if source_changed(state, command):
        return frozenset()
    return frozenset(
        key
        for key, session in state.sessions.items()
        if command.bounds.place(session.starts_at) == "in_window"
    )


def held_sessions(state: State, decision: GuardDecision) -> tuple[HeldSession, ...]:
    """Return the sessions held back, as SpreaView shows them, in a stable order.

    Only the first `TITLES` have a title, since an event has to fit into a Kafka record.
    """
    return tuple(
        HeldSession(
            session_id=state.sessions[key].session_id,
            sessionize_id=key,
            title=short(state.sessions[key].title) if number < TITLES else "",
        )
        for number, key in enumerate(sorted(decision.held))
    )


def withholding_events(
    state: State, decision: GuardDecision, command: ImportCommand
) -> Iterator[RemovalsWithheld]:
    """Yield `RemovalsWithheld` if other sessions are held back than before.

    The state is folded from these events, so they name every session: in several events if one
    does not fit into a Kafka record.
    """
    if not decision.held or decision.held == state.withheld:
        return
    for part in in_parts(held_sessions(state, decision), PART_BYTES):
        yield RemovalsWithheld(
            **command.facts(),
            guarded=len(decision.guarded),
            removed=len(decision.removed),
            sessions=part,
        )


def guard_warnings(
    state: State, decision: GuardDecision, command: ImportCommand
) -> list[SyncWarning]:
    """Return the warnings for the organiser: which removals are held back, another API ID."""
    warnings = []
    if source_changed(state, command):
        warnings.append(
            SyncWarning(
                code="source_changed",
                message="The API ID is not that of the last sync. Sessions missing from the new "
                "schedule were removed without confirmation.",
            )
        )
    if decision.held:
        number = len(decision.removed)
        warnings.append(
            SyncWarning(
                code="removals_withheld",
                message=f"{number} of {len(decision.guarded)} sessions are gone from the schedule "
                f"in Sessionize; {len(decision.held)} of them are kept for now, since that many "
                "at once look like a mistake. To remove them, sync again and confirm "
                f"{number} removals (allow_removals: {number}).",
                sessionize_ids=tuple(sorted(decision.held))[:MOST_OF_A_CODE],
            )
        )
    return warnings
