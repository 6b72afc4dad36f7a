"""A past: documents that the real decider imports one after the other into a real log."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts import identity
from contracts.events import ImportEvent, Source, SyncStarted
from contracts.instants import INSTANT_COLUMNS
from contracts.messages import RequestIds, Window
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent, SourceDocument
from projections import statements
from projections.generations import select_live_generation
from projections.projector import apply_next
from tests.support.documents import WINDOW
from tests.support.line import ORGANIZATION
from worker.rules import ids
from worker.rules.decide import decide
from worker.rules.placement import ImportCommand
from worker.rules.reading import read_document
from worker.rules.state import fold
from worker.rules.sync_failures import SyncFailure, sync_failed
from worker.rules.window import bounds_of, zone_of
from worker.sync.state_snapshots import load_state, snapshot_of

BEGINNING = datetime(2026, 5, 1, tzinfo=UTC)


@contextmanager
def guids_as_spelled() -> Iterator[None]:
    """Read ids as versions did that stored a GUID as it was spelled."""
    with pytest.MonkeyPatch.context() as earlier:
        earlier.setattr(ids, "canonical_id", str)
        earlier.setattr(ids, "_read_usual", ids._read)  # without the cache
        yield


@dataclass
class Past:
    """One SpreaView event; every import is a run."""

    engine: AsyncEngine
    event_id: UUID = field(default_factory=uuid4)
    window: Window = WINDOW
    runs: list[UUID] = field(default_factory=list)
    organization_id: UUID = ORGANIZATION

    @property
    def log(self) -> EventLog:
        return EventLog(self.engine)

    async def imports(
        self,
        document: Mapping[str, Any] | bytes,
        *,
        window: Window | None = None,
        allow_removals: int | None = None,
        requested_by: str | None = "Ada Example",
        api_id: str = "abcd1234",
    ) -> UUID:
        """Import a document and project it. Returns the id of the run."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.window = window or self.window
        sync_id = uuid4()
        ordered_at = BEGINNING + timedelta(hours=len(self.runs))
        ids = RequestIds(
            request_id=sync_id,
            organization_id=self.organization_id,
            spreaview_event_id=self.event_id,
        )
        command = ImportCommand(
            sync_id=sync_id,
            organization_id=self.organization_id,
            spreaview_event_id=self.event_id,
            bounds=bounds_of(self.window),
            ordered_at=ordered_at,
            force=False,
            allow_removals=allow_removals,
            api_id_fingerprint=sha256(api_id.encode()).hexdigest()[:32],
        )
        started = SyncStarted(
            **command.facts(),
            ordered_at=ordered_at,
            requested_at=ordered_at,
            requested_by=requested_by,
            window=self.window,
            force=False,
            allow_removals=allow_removals,
            api_id_masked=f"{api_id[:2]}******",
            api_id_fingerprint=command.api_id_fingerprint,
            worker_version="1",
        )
        version = await self.log.stream_version(self.event_id)
        first = NewEvent(identity.message_id(sync_id, 0), started)
        await self.log.append(Commit(self.event_id, version, [first]))
        state = await load_state(self.log, self.event_id)
        digest = sha256(body).hexdigest()
        source = Source(digest=digest, size_bytes=len(body), fetched_at=ordered_at, fetch_ms=7)
        outcome: list[ImportEvent]
        may_be_kept = True
        try:
            reading = read_document(
                body,
                organization_id=self.organization_id,
                spreaview_event_id=self.event_id,
                zone=zone_of(self.window),
                erased=await self.log.erased_speakers(self.organization_id),
            )
            may_be_kept = not reading.names_erased
            outcome = decide(state, reading.schedule, command, source, 3)
        except SyncFailure as refused:
            outcome = [sync_failed(ids, ordered_at, refused, source)]
        last = len(outcome)
        events = [
            NewEvent(identity.message_id(sync_id, identity.OUTCOME if n == last else n), event)
            for n, event in enumerate(outcome, start=1)
        ]
        version = state.version
        await self.log.append(
            Commit(
                self.event_id,
                version,
                events,
                inbox=sync_id,
                source=SourceDocument(digest, body) if may_be_kept else None,
                snapshot=snapshot_of(fold(outcome, state)),
            )
        )
        await self.project()
        self.runs.append(sync_id)
        return sync_id

    async def project(self) -> None:
        """Project up to the head of the log."""
        async with self.engine.begin() as connection:
            await select_live_generation(connection)
            await connection.execute(statements.CREATE_PROGRESS, {"stream_ids": [self.event_id]})
            while (await apply_next(connection, [self.event_id])).positions:
                pass


async def dumped(engine: AsyncEngine, view: str, event_id: UUID) -> list[dict[str, Any]]:
    """The rows of a view as JSON values, in a stable order, instants in UTC."""
    async with engine.begin() as connection:
        await connection.execute(text("SET LOCAL TIME ZONE 'UTC'"))
        found = await connection.execute(
            text(
                f"SELECT row_to_json(v)::text FROM spreaview.{view} v "
                "WHERE spreaview_event_id = :event"
            ),
            {"event": event_id},
        )
        return in_order([json.loads(row) for row in found.scalars()])


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in a stable order, with parsed instants."""
    parsed = [
        row | {k: datetime.fromisoformat(row[k]) for k in INSTANT_COLUMNS if row.get(k)}
        for row in rows
    ]
    return sorted(parsed, key=lambda row: json.dumps(row, sort_keys=True, default=str))
