"""Verifying the streams: one pass over all events, with every check of their content."""

from collections.abc import AsyncIterator, Callable, Iterable
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from audit.verify import statements
from audit.verify.chains import ChainCheck
from audit.verify.report import VerificationReport
from audit.verify.rows import RowCheck
from audit.verify.snapshot_check import SnapshotCheck
from eventstore.stored_events import StoredEvent

_PAGE = 2000
_BEFORE_ALL = UUID(int=0)


async def check_streams(
    connection: AsyncConnection,
    report: VerificationReport,
    only: UUID | None,
    on_progress: Callable[[int], None],
) -> set[bytes]:
    """Check chains, snapshots and read models. Returns the digests of the runs' documents."""
    digests: set[bytes] = set()
    checks: _StreamChecks | None = None
    done = 0
    async for page in _pages(connection, only):
        for stream_id, events in groupby(page, key=attrgetter("stream_id")):
            if checks is None or stream_id != checks.stream_id:
                if checks is not None:
                    digests.update(await checks.end(connection))
                checks = await _StreamChecks.begin(connection, stream_id, report)
            for event in events:
                checks.take(event)
        done += len(page)
        on_progress(done)
    if checks is not None:
        digests.update(await checks.end(connection))
    return digests


class _StreamChecks(NamedTuple):
    """The checks that one stream's events pass through."""

    stream_id: UUID
    chain: ChainCheck
    rows: RowCheck
    snapshot: SnapshotCheck

    @classmethod
    async def begin(
        cls, connection: AsyncConnection, stream_id: UUID, report: VerificationReport
    ) -> "_StreamChecks":
        rows = await RowCheck.begin(connection, stream_id, report)
        snapshot = await SnapshotCheck.begin(connection, stream_id, report)
        return cls(stream_id, ChainCheck(stream_id, report), rows, snapshot)

    def take(self, event: StoredEvent) -> None:
        recorded = event.recorded
        self.chain.take(event)
        self.rows.take(recorded)
        self.snapshot.take(recorded)

    async def end(self, connection: AsyncConnection) -> Iterable[bytes]:
        await self.rows.end(connection)
        self.snapshot.end()
        return self.chain.end()


async def _pages(
    connection: AsyncConnection, only: UUID | None
) -> AsyncIterator[list[StoredEvent]]:
    stream_id, version = _BEFORE_ALL, 0
    while True:
        found = await connection.execute(
            statements.STORED_EVENTS,
            {"stream_id": stream_id, "version": version, "only": only, "limit": _PAGE},
        )
        page = [StoredEvent(*row) for row in found]
        if page:
            yield page
        if len(page) < _PAGE:
            return
        stream_id, version = page[-1].stream_id, page[-1].version
