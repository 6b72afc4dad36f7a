"""The exact document that a run decided on."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from audit.past.moments import NotInThePastError, outcome_of
from contracts.events import SyncCompleted, SyncFailed
from eventstore.log import EventLog
from worker.rules.reading import read_document
from worker.rules.spelling import erased_in_any_spelling
from worker.rules.sync_failures import SyncFailure
from worker.sync.state_snapshots import load_state


class SourceOfRun(NamedTuple):
    """The facts about a run's document, without the document itself."""

    sync_id: UUID
    spreaview_event_id: UUID
    outcome: str
    """completed, or the failure code of the run."""
    digest: str
    """SHA-256 of the document, in hex."""
    size_bytes: int
    fetched_at: datetime
    fetch_ms: int
    """Milliseconds."""
    recorded_at: datetime
    kept: bool
    """Whether the document is still stored: an erasure deletes it and keeps its digest."""
    withheld: bool
    """Whether it is stored, as the document of another organization, but names, or may name, a
    person whom this organization has erased."""

    def to_json(self) -> dict[str, object]:
        """The facts as JSON values."""
        facts: dict[str, object] = msgspec.to_builtins(self._asdict())
        return facts


async def source_of(log: EventLog, sync_id: UUID) -> tuple[SourceOfRun, bytes | None]:
    """The document of a run, byte for byte as it was received; None if it was deleted.

    It is also None if the run's organization has erased a person whom the document names, or may
    name: another organization's run may keep the same document.

    Raises:
        NotInThePastError: the log has no such run, or the run has no outcome yet or no document.
    """
    recorded = await outcome_of(log, sync_id)
    outcome = recorded.event
    if not isinstance(outcome, SyncCompleted | SyncFailed):
        raise NotInThePastError(f"{sync_id} is not a sync.")
    code = outcome.code if isinstance(outcome, SyncFailed) else "completed"
    source = outcome.source
    if source is None:
        raise NotInThePastError(f"Sync {sync_id} received no document: it ended as {code}.")
    body = await log.source(source.digest)
    withheld = body is not None and await _names_erased(log, outcome, body)
    facts = SourceOfRun(
        sync_id=sync_id,
        spreaview_event_id=recorded.stream_id,
        outcome=code,
        digest=source.digest,
        size_bytes=source.size_bytes,
        fetched_at=source.fetched_at,
        fetch_ms=source.fetch_ms,
        recorded_at=recorded.recorded_at,
        kept=body is not None,
        withheld=withheld,
    )
    return facts, None if withheld else body


async def _names_erased(log: EventLog, outcome: SyncCompleted | SyncFailed, body: bytes) -> bool:
    """Whether a document names, or may name, a person whom the run's organization has erased."""
    organization_id = outcome.organization_id
    erased = await log.erased_speakers(organization_id)
    if not erased:
        return False
    state = await load_state(log, outcome.spreaview_event_id)
    known = state.past_speakers.keys() | state.speakers.keys()
    try:
        return read_document(
            body,
            organization_id=organization_id,
            spreaview_event_id=outcome.spreaview_event_id,
            zone=ZoneInfo("UTC"),  # the names do not depend on it
            erased=erased_in_any_spelling(erased, known, organization_id),
        ).names_erased
    except SyncFailure:
        return True  # an unreadable document may name anybody
