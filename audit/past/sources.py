"""The exact document that a run decided on."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from audit.past.moments import NotInThePastError, outcome_of
from contracts.events import SyncCompleted, SyncFailed
from eventstore.log import EventLog


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

    def to_json(self) -> dict[str, object]:
        """The facts as JSON values."""
        facts: dict[str, object] = msgspec.to_builtins(self._asdict())
        return facts


async def source_of(log: EventLog, sync_id: UUID) -> tuple[SourceOfRun, bytes | None]:
    """The document of a run, byte for byte as it was received; None if it was deleted.

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
    )
    return facts, body
