"""Verifying: chains, digests, snapshots, documents and rows against what each was made of.

Nothing is written. All is read as of one moment, so that appends and projections going on cause no
finding. In memory are a page of events, the read models and the state of one SpreaView event, and
32 bytes per run.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from audit.verify import statements
from audit.verify.chains import Stored, StreamCheck
from audit.verify.documents import check_documents
from audit.verify.report import FindingKind, VerificationReport
from audit.verify.rows import RowCheck, strangers
from audit.verify.snapshot_check import SnapshotCheck
from audit.verify.tamper_guards import check_guards
from eventstore.checkpoints import READ_CHECKPOINT
from eventstore.read import EVENT_AT
from eventstore.seals import Seal
from worker.relay.relay import BEGINNING, CHECKPOINT

_PAGE = 2000
_NOWHERE = UUID(int=0)


async def verify(
    engine: AsyncEngine,
    *,
    only: UUID | None = None,
    seals: Iterable[Seal] = (),
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> VerificationReport:
    """Check everything, or one SpreaView event.

        report = await verify(engine, seals=read_seals(path))

    Args:
        engine: a role that can only read is enough.
        only: check this SpreaView event only; documents, the checkpoint and the log's guards are
            not checked then.
        seals: seals kept elsewhere; without them a cut tail cannot be noticed.
        on_progress: called with the number of events checked so far, and their total.
    """
    report = VerificationReport()
    async with engine.connect() as connection, connection.begin():
        await connection.execute(statements.READ_ONLY)
        total = (await connection.execute(statements.COUNT_EVENTS, {"only": only})).scalar_one()
        named = await _streams(connection, report, only, lambda done: on_progress(done, total))
        await _heads(connection, report, only)
        await strangers(connection, report, only)
        if only is None:
            await check_documents(connection, report, named)
            await _leftovers(connection, report)
            await _checkpoint(connection, report)
            await check_guards(connection, report)
        await _sealed(connection, report, only, seals)
    return report


async def _streams(
    connection: AsyncConnection,
    report: VerificationReport,
    only: UUID | None,
    on_progress: Callable[[int], None],
) -> set[bytes]:
    """Chains, snapshots and read models; the digests of the documents that the runs name."""
    named: set[bytes] = set()
    checks: _Checks | None = None
    done = 0
    async for page in _pages(connection, only):
        for stream_id, events in groupby(page, key=attrgetter("stream_id")):
            if checks is None or stream_id != checks.stream_id:
                if checks is not None:
                    named.update(await checks.end(connection))
                checks = await _Checks.begin(connection, stream_id, report)
            for event in events:
                checks.take(event)
        done += len(page)
        on_progress(done)
    if checks is not None:
        named.update(await checks.end(connection))
    return named


class _Checks(NamedTuple):
    """All that looks at the events of one stream."""

    stream_id: UUID
    chain: StreamCheck
    rows: RowCheck
    snapshot: SnapshotCheck

    @classmethod
    async def begin(
        cls, connection: AsyncConnection, stream_id: UUID, report: VerificationReport
    ) -> "_Checks":
        rows = await RowCheck.begin(connection, stream_id, report)
        snapshot = await SnapshotCheck.begin(connection, stream_id, report)
        return cls(stream_id, StreamCheck(stream_id, report), rows, snapshot)

    def take(self, event: Stored) -> None:
        recorded = event.recorded
        self.chain.take(event)
        self.rows.take(recorded)
        self.snapshot.take(recorded)

    async def end(self, connection: AsyncConnection) -> Iterable[bytes]:
        await self.rows.end(connection)
        self.snapshot.end()
        return self.chain.end()


async def _pages(connection: AsyncConnection, only: UUID | None) -> AsyncIterator[list[Stored]]:
    place: tuple[UUID, int] = (_NOWHERE, 0)
    while True:
        found = await connection.execute(
            statements.STORED_EVENTS,
            {"stream_id": place[0], "version": place[1], "only": only, "limit": _PAGE},
        )
        page = [Stored(*row) for row in found]
        if page:
            yield page
        if len(page) < _PAGE:
            return
        place = (page[-1].stream_id, page[-1].version)


async def _heads(
    connection: AsyncConnection, report: VerificationReport, only: UUID | None
) -> None:
    for row in await connection.execute(statements.HEADS, {"only": only}):
        what = f"its head is version {row.version}, its last event is version {row.last}"
        report.add(FindingKind.HEAD, what, stream_id=row.stream_id, version=row.last)


async def _leftovers(connection: AsyncConnection, report: VerificationReport) -> None:
    """What is kept of events or streams that there are not, and what is looked at by nobody."""
    for row in await connection.execute(statements.SNAPSHOTS_OF_NOTHING):
        what = "there is a snapshot of it, and the log has no event of it"
        report.add(FindingKind.SNAPSHOT, what, stream_id=row.stream_id, version=row.version)
    spare = (await connection.execute(statements.GENERATIONS_NOT_LIVE)).scalar_one()
    if spare:
        report.unchecked["rows of generations that are not live: nobody reads them"] += spare
    for row in await connection.execute(statements.PERSONAL_DATA_OF_NOTHING):
        report.add(
            FindingKind.PERSONAL_DATA, f"personal data of {row.message_id}, which is no event"
        )


async def _checkpoint(connection: AsyncConnection, report: VerificationReport) -> None:
    found = await connection.execute(READ_CHECKPOINT, {"name": CHECKPOINT})
    row = found.one_or_none()
    if row is None or (row.position, row.message_id) == (0, BEGINNING):
        report.unchecked["the relay's checkpoint: there is none"] += 1
        return
    there = await connection.execute(EVENT_AT, {"position": row.position})
    report.checked["checkpoints"] += 1
    if there.scalar_one_or_none() != row.message_id:
        what = f"the relay's checkpoint names event {row.message_id}, which is not there"
        report.add(FindingKind.CHECKPOINT, what, position=row.position)


async def _sealed(
    connection: AsyncConnection,
    report: VerificationReport,
    only: UUID | None,
    seals: Iterable[Seal],
) -> None:
    count = 0
    for seal in seals:
        if only not in (None, seal.stream_id):
            continue
        count += 1
        found = await connection.execute(
            statements.SEALED_EVENT, {"stream_id": seal.stream_id, "version": seal.version}
        )
        there: bytes | None = found.scalar_one_or_none()
        if there is None or there.hex() != seal.hash:
            hash_there = "is not there" if there is None else f"has the hash {there.hex()[:16]}…"
            report.add(
                FindingKind.SEAL,
                f"sealed at {seal.sealed_at} with the hash {seal.hash[:16]}…, it {hash_there}",
                stream_id=seal.stream_id,
                version=seal.version,
                position=seal.position,
            )
    report.checked["seals"] += count
    if not count:
        report.unchecked["whether a tail was cut or a chain made anew: no seals were given"] += 1
