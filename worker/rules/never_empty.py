"""Never empty: a run that would leave not one session scheduled fails, and keeps everything.

Another API ID typed once, or a year mistyped in the dates, must not empty a schedule. A request
that confirms the removal of all imported sessions overrides it.
"""

from collections.abc import Collection

from contracts.events import SessionSkippedUnscheduled
from worker.rules import sync_failures
from worker.rules.placement import ImportCommand, Placement, all_start_outside
from worker.rules.schedule import Schedule
from worker.rules.state import State
from worker.rules.sync_failures import Removals


def require_a_session(
    state: State, schedule: Schedule, placed: Placement, command: ImportCommand
) -> None:
    """Check that a session stays scheduled, if any is imported now.

    Raises:
        SyncFailure: `nothing_in_window` if all sessions with a time start outside the dates, else
            `schedule_replaced`.
    """
    number = len(state.sessions)
    if not number or placed.sessions or (command.allow_removals or 0) >= number:
        return
    removals = removals_of(state.sessions, placed, source_changed=source_changed(state, command))
    if all_start_outside(schedule, command.bounds):
        raise sync_failures.nothing_in_window(removals)
    raise sync_failures.schedule_replaced(removals)


def removals_of(keys: Collection[str], placed: Placement, *, source_changed: bool) -> Removals:
    """Count why sessions leave the schedule; `keys` are sessions that are not placed."""
    skips = [placed.skips[key] for key in keys if key in placed.skips]
    unscheduled = sum(isinstance(skip, SessionSkippedUnscheduled) for skip in skips)
    return Removals(
        missing=len(keys) - len(skips),
        unscheduled=unscheduled,
        outside=len(skips) - unscheduled,
        source_changed=source_changed,
    )


def source_changed(state: State, command: ImportCommand) -> bool:
    """Return whether the last completed run had another API ID."""
    last = state.last_completed_fingerprint
    return last is not None and last != command.api_id_fingerprint
