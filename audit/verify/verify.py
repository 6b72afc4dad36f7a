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
from audit.verify.report import Kind, Verification
from audit.verify.rows import RowCheck, strangers
from audit.verify.snapshot_check import SnapshotCheck
from audit.verify.tamper_guards import check_guards
from eventstore import statements as log_statements
from eventstore.seals import Seal
from worker.relay.relay import BEGINNING, CHECKPOINT

_PAGE = 2000
_NOWHERE = UUID(int=0)


async def verify(
    engine: AsyncEngine,
    *,
    only: UUID | None = None,
    seals: Iterable[Seal] = (),
    told: Callable[[int, int], None] = lambda _done, _of: None,
) -> Verification:
    """Look at everything, or at one SpreaView event.

    Args:
        engine: may be of a role that can only read.
        only: this SpreaView event alone; documents, checkpoints and what guards the log are not
            looked at then.
        seals: what was kept elsewhere; a log cannot show by itself that its tail was cut.
        told: is told how many events of how many were looked at.
    """
    into = Verification()
    async with engine.connect() as connection, connection.begin():
        await connection.execute(statements.READ_ONLY)
        total = (await connection.execute(statements.COUNT_EVENTS, {"only": only})).scalar_one()
        named = await _streams(connection, into, only, lambda done: told(done, total))
        await _heads(connection, into, only)
        await strangers(connection, into, only)
        if only is None:
            await check_documents(connection, into, named)
            await _leftovers(connection, into)
            await _checkpoint(connection, into)
            await check_guards(connection, into)
        await _sealed(connection, into, only, seals)
    return into


async def _streams(
    connection: AsyncConnection,
    into: Verification,
    only: UUID | None,
    told: Callable[[int], None],
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
                checks = await _Checks.begin(connection, stream_id, into)
            for event in events:
                checks.take(event)
        done += len(page)
        told(done)
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
        cls, connection: AsyncConnection, stream_id: UUID, into: Verification
    ) -> "_Checks":
        rows = await RowCheck.begin(connection, stream_id, into)
        snapshot = await SnapshotCheck.begin(connection, stream_id, into)
        return cls(stream_id, StreamCheck(stream_id, into), rows, snapshot)

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


async def _heads(connection: AsyncConnection, into: Verification, only: UUID | None) -> None:
    for row in await connection.execute(statements.HEADS, {"only": only}):
        what = f"its head is version {row.version}, its last event is version {row.last}"
        into.add(Kind.HEAD, what, stream_id=row.stream_id, version=row.last)


async def _leftovers(connection: AsyncConnection, into: Verification) -> None:
    """What is kept of events or streams that there are not, and what is looked at by nobody."""
    for row in await connection.execute(statements.SNAPSHOTS_OF_NOTHING):
        what = "there is a snapshot of it, and the log has no event of it"
        into.add(Kind.SNAPSHOT, what, stream_id=row.stream_id, version=row.version)
    spare = (await connection.execute(statements.GENERATIONS_NOT_LIVE)).scalar_one()
    if spare:
        into.unchecked["rows of generations that are not live: nobody reads them"] += spare
    for row in await connection.execute(statements.PERSONAL_DATA_OF_NOTHING):
        into.add(Kind.PERSONAL_DATA, f"personal data of {row.message_id}, which is no event")


async def _checkpoint(connection: AsyncConnection, into: Verification) -> None:
    found = await connection.execute(log_statements.READ_CHECKPOINT, {"name": CHECKPOINT})
    row = found.one_or_none()
    if row is None or (row.position, row.message_id) == (0, BEGINNING):
        into.unchecked["the relay's checkpoint: there is none"] += 1
        return
    there = await connection.execute(log_statements.EVENT_AT, {"position": row.position})
    into.checked["checkpoints"] += 1
    if there.scalar_one_or_none() != row.message_id:
        what = f"the relay's checkpoint names event {row.message_id}, which is not there"
        into.add(Kind.CHECKPOINT, what, position=row.position)


async def _sealed(
    connection: AsyncConnection, into: Verification, only: UUID | None, seals: Iterable[Seal]
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
            into.add(
                Kind.SEAL,
                f"sealed at {seal.sealed_at} with the hash {seal.hash[:16]}…, it {hash_there}",
                stream_id=seal.stream_id,
                version=seal.version,
                position=seal.position,
            )
    into.checked["seals"] += count
    if not count:
        into.unchecked["whether a tail was cut or a chain made anew: no seals were given"] += 1
