"""The removal guard: hold back the removal of suspiciously many sessions.

A first import, a moved window and another API ID are not guarded; of a narrowed window only the
kept part is. A session held back stays unchanged, however often the sync is repeated, until it is
back in Sessionize or a request confirms its removal.
"""

from typing import NamedTuple

from contracts.events import HeldSession, RemovalsWithheld, SyncWarning
from worker.rules import sync_failures
from worker.rules.placement import ImportCommand, Placement
from worker.rules.schedule import Schedule
from worker.rules.state import State
from worker.rules.warnings import MOST_OF_A_CODE, short

FEW = 5
"""Up to this many removals in one run are never held back."""


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
        SyncFailure: `schedule_replaced`: all of them would leave, so this looks like the
            schedule of another event.
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
    elif guarded and removed == guarded and (len(removed) > FEW or not placed.sessions):
        raise sync_failures.schedule_replaced(len(removed))
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


def source_changed(state: State, command: ImportCommand) -> bool:
    """Return whether the last completed run had another API ID."""
    last = state.last_completed_fingerprint
    return last is not None and last != command.api_id_fingerprint


def held_sessions(state: State, decision: GuardDecision) -> tuple[HeldSession, ...]:
    """Return the sessions held back, as SpreaView shows them, in a stable order."""
    return tuple(
        HeldSession(
            session_id=state.sessions[key].session_id,
            sessionize_id=key,
            title=short(state.sessions[key].title),
        )
        for key in sorted(decision.held)
    )


def withholding_events(
    state: State, decision: GuardDecision, command: ImportCommand
) -> tuple[RemovalsWithheld, ...]:
    """Return a `RemovalsWithheld` if other sessions are held back than before."""
    if not decision.held or decision.held == state.withheld:
        return ()
    return (
        RemovalsWithheld(
            **command.facts(),
            guarded=len(decision.guarded),
            removed=len(decision.removed),
            sessions=held_sessions(state, decision),
        ),
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
