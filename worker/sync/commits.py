"""The commits of a run: its start and its outcome, each with derived message ids.

The ids do not depend on the worker, so a repeated or concurrent append of the same run is refused.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts import identity
from contracts.events import SyncStarted
from contracts.messages import RequestIds
from eventstore.model import Commit, NewEvent, Snapshot
from worker.rules.sync_failures import SyncFailure, sync_failed
from worker.source.sessionize import Fetched
from worker.sync.run import RunOutcome


@dataclass(slots=True)
class ActiveRun:
    """A run while it is worked on, over all its attempts to append."""

    ids: RequestIds
    ordered_at: datetime
    """Fixed by `SyncStarted`: a resumed run keeps its place in the order of runs."""
    metadata: Mapping[str, str]
    received: float
    """Earliest start of a fetch that serves this run, by the monotonic clock."""
    erased: frozenset[UUID] = frozenset()
    """The erased persons of the organization when the state was loaded."""
    began: float | None = None
    """When this process started or resumed the run, by the monotonic clock."""
    fetched: Fetched | None = None
    completed_runs: int | None = None
    """The number in the state that was decided on last, for the start or for the outcome."""
    earlier_open_runs: Sequence[SyncStarted] = ()
    """Runs in that state that this run supersedes if it completes."""


def open_run(started: SyncStarted) -> ActiveRun:
    """Return the run that an event has started, as if it were resumed here."""
    ids = RequestIds(
        request_id=started.sync_id,
        organization_id=started.organization_id,
        spreaview_event_id=started.spreaview_event_id,
    )
    return ActiveRun(ids, started.ordered_at, {}, received=0.0)


def start_commit(run: ActiveRun, expected_version: int, event: SyncStarted) -> Commit:
    """Return the commit that starts a run."""
    new = NewEvent(identity.message_id(run.ids.request_id, 0), event)
    return Commit(run.ids.spreaview_event_id, expected_version, [new], metadata=run.metadata)


def failure_commit(run: ActiveRun, expected_version: int, failure: SyncFailure) -> Commit:
    """Return the commit that ends a run with `SyncFailed`, without a document."""
    return outcome_commit(
        run, expected_version, RunOutcome([sync_failed(run.ids, run.ordered_at, failure)])
    )


def outcome_commit(
    run: ActiveRun,
    expected_version: int,
    outcome: RunOutcome,
    *,
    snapshot: Snapshot | None = None,
    erasures: Set[UUID] | None = None,
) -> Commit:
    """Return the commit that ends a run. It is the only one with an inbox entry."""
    sync_id, last = run.ids.request_id, len(outcome.events)
    return Commit(
        run.ids.spreaview_event_id,
        expected_version,
        [
            NewEvent(
                identity.message_id(sync_id, identity.OUTCOME if ordinal == last else ordinal),
                event,
            )
            for ordinal, event in enumerate(outcome.events, start=1)
        ],
        metadata=run.metadata,
        inbox=sync_id,
        source=outcome.fetched.document if outcome.fetched and outcome.keep_document else None,
        snapshot=snapshot,
        erasures=erasures,
    )
