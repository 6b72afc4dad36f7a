"""The removal guard: so many sessions gone at once look like a mistake, and are held back.

The rules are those of DESIGN.md §5. A first import, a moved window and another API ID are not
guarded; of a narrowed window only the kept part is. What is held back stays as it is, however often
the button is pressed, until it is back in Sessionize or somebody confirms its removal.
"""

from typing import NamedTuple

from contracts.events import HeldSession, RemovalsWithheld, SyncWarning
from worker.rules import sync_failures
from worker.rules.placement import ImportCommand, Placement
from worker.rules.schedule import Schedule
from worker.rules.state import State
from worker.rules.warnings import MOST_OF_A_CODE, short

FEW = 5
"""So many removals at once are never held back."""


class GuardDecision(NamedTuple):
    """What the guard makes of the removals of a run; by Sessionize id."""

    guarded: frozenset[str]
    removed: frozenset[str]
    held: frozenset[str]


def decide_removals(
    state: State, schedule: Schedule, placed: Placement, order: ImportCommand
) -> GuardDecision:
    """Which of the sessions that would leave the schedule are held back.

    Raises:
        Refusal: `schedule_replaced`: all of them would, which looks like another event's schedule.
    """
    guarded = _guarded(state, order)
    removed = frozenset(
        key
        for key in guarded
        if key not in placed.sessions and key not in schedule.invalid_sessions
    )
    held = state.withheld & removed
    new = removed - held
    if order.allow_removals is not None and order.allow_removals >= len(removed):
        held = frozenset()
    elif guarded and removed == guarded and (len(removed) > FEW or not placed.sessions):
        raise sync_failures.schedule_replaced(len(removed))
    elif len(new) > FEW and 2 * len(new) > len(guarded - held):
        held = removed
    return GuardDecision(guarded, removed, held)


def _guarded(state: State, order: ImportCommand) -> frozenset[str]:
    """Imported sessions that start in the window, unless they came by another API ID."""
    if source_changed(state, order):
        return frozenset()
    return frozenset(
        key
        for key, session in state.sessions.items()
        if order.bounds.place(session.starts_at) == "in_window"
    )


def source_changed(state: State, order: ImportCommand) -> bool:
    """Whether the last completed run had another API ID."""
    last = state.last_completed_fingerprint
    return last is not None and last != order.api_id_fingerprint


def held_sessions(state: State, verdict: GuardDecision) -> tuple[HeldSession, ...]:
    """The sessions held back, as they are shown, in a stable order."""
    return tuple(
        HeldSession(
            session_id=state.sessions[key].session_id,
            sessionize_id=key,
            title=short(state.sessions[key].title),
        )
        for key in sorted(verdict.held)
    )


def news_of_withholding(
    state: State, verdict: GuardDecision, order: ImportCommand
) -> tuple[RemovalsWithheld, ...]:
    """The event, if what is held back is not what was held back before."""
    if not verdict.held or verdict.held == state.withheld:
        return ()
    return (
        RemovalsWithheld(
            **order.facts(),
            guarded=len(verdict.guarded),
            removed=len(verdict.removed),
            sessions=held_sessions(state, verdict),
        ),
    )


def guard_warnings(state: State, verdict: GuardDecision, order: ImportCommand) -> list[SyncWarning]:
    """What the organiser is told: what is held back and how to apply it; another API ID."""
    warnings = []
    if source_changed(state, order):
        warnings.append(
            SyncWarning(
                code="source_changed",
                message="The API ID is not that of the last sync. What the new schedule does not "
                "contain was removed without asking.",
            )
        )
    if verdict.held:
        number = len(verdict.removed)
        warnings.append(
            SyncWarning(
                code="removals_withheld",
                message=f"{number} of {len(verdict.guarded)} sessions are gone from the schedule "
                f"in Sessionize; {len(verdict.held)} of them are kept for now, since so many at "
                "once look like a mistake. If they are meant to go, sync again and confirm "
                f"{number} removals (allow_removals: {number}).",
                sessionize_ids=tuple(sorted(verdict.held))[:MOST_OF_A_CODE],
            )
        )
    return warnings
