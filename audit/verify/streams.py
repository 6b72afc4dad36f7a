"""Verifying the streams: one pass over all events, with every check of their content."""

from collections.abc import Callable
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from audit.verify.chains import ChainCheck
from audit.verify.findings import FindingKind
from audit.verify.named_documents import NamedDocuments
from audit.verify.persons import PersonCheck
from audit.verify.raw_events import Content, RawEvent, content_of, place_of, raw_pages
from audit.verify.report import VerificationReport
from audit.verify.rows import RowCheck
from audit.verify.runs import RunCheck
from audit.verify.snapshot_check import SnapshotCheck
from eventstore.damage import UnreadableEventError
from eventstore.model import Recorded


async def check_streams(
    connection: AsyncConnection,
    report: VerificationReport,
    only: UUID | None,
    views: frozenset[str],
    on_progress: Callable[[int], None],
) -> NamedDocuments:
    """Check chains, runs, personal data, snapshots and read models, stream by stream.

    `views` are the public views that can be compared. `on_progress` is called with the number of
    events read so far.
    """
    documents = NamedDocuments()
    checks: _StreamChecks | None = None
    done = 0
    async for page in raw_pages(connection, only):
        for stream_id, events in groupby(page, key=attrgetter("stream_id")):
            if checks is None or stream_id != checks.stream_id:
                if checks is not None:
                    await checks.end(connection)
                checks = await _StreamChecks.begin(connection, stream_id, report, views, documents)
            for raw in events:
                checks.take(raw)
        done += len(page)
        on_progress(done)
    if checks is not None:
        await checks.end(connection)
    return documents


class _StreamChecks(NamedTuple):
    """The checks that one stream's events pass through."""

    stream_id: UUID
    report: VerificationReport
    chain: ChainCheck
    runs: RunCheck
    persons: PersonCheck
    documents: NamedDocuments
    rows: RowCheck
    snapshot: SnapshotCheck
    organizations: set[UUID]

    @classmethod
    async def begin(
        cls,
        connection: AsyncConnection,
        stream_id: UUID,
        report: VerificationReport,
        views: frozenset[str],
        documents: NamedDocuments,
    ) -> "_StreamChecks":
        return cls(
            stream_id,
            report,
            ChainCheck(report),
            RunCheck(report),
            PersonCheck(report),
            documents,
            await RowCheck.begin(connection, stream_id, report, views),
            await SnapshotCheck.begin(connection, stream_id, report),
            set(),
        )

    def take(self, raw: RawEvent) -> None:
        """Check the next event of the stream."""
        content = content_of(raw)
        place = place_of(raw, content)
        self.report.checked["events"] += 1
        self.chain.take(raw, content, place)
        if content.fault is None:
            self.runs.take(raw, content, place)
            self.persons.take(raw, content, place)
            if (fault := self.documents.take(raw, content, place)) is not None:
                self.report.add(FindingKind.UNREADABLE, fault, place)
            if (organization_id := content.uuid("organization_id")) is not None:
                self.organizations.add(organization_id)
        else:
            self.runs.skip()
        recorded, fault = _typed(raw, content)
        if fault is not None:
            self.report.add(FindingKind.UNREADABLE, fault, place)
        if recorded is None:
            self.rows.stop(raw.version, "cannot be read")
            self.snapshot.stop(raw.version, "cannot be read")
        else:
            self.rows.take(recorded)
            self.snapshot.take(recorded)

    async def end(self, connection: AsyncConnection) -> None:
        """Check what can be known only after the last event."""
        self.runs.end()
        self.persons.end()
        for subject, is_speaker in self.persons.erased.items():
            for organization_id in self.organizations:
                self.documents.add_erasure(organization_id, subject, is_speaker=is_speaker)
        await self.rows.end(connection)
        self.snapshot.end()
        self.report.checked["streams"] += 1


def _typed(raw: RawEvent, content: Content) -> tuple[Recorded | None, str | None]:
    """The typed event, or the reason why the row gives no event."""
    if content.fault is not None:
        return None, content.fault
    try:
        recorded = raw.recorded()
        _ = recorded.event
    except UnreadableEventError as error:
        return None, error.reason
    return recorded, None
