"""Verifying: every chain, digest, document and row against what it was made of; nothing is written.

All is read from one snapshot, so that appends and projections going on cause no finding. In memory
are a page of events, the read models of one SpreaView event, and 32 bytes per run.
"""

import hashlib
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from audit import statements
from audit.chains import Stored, StreamCheck
from audit.findings import Kind, Verification
from audit.readmodels import COLUMNS, ReadModels
from contracts.events import CUT_TYPES
from eventstore import statements as log_statements
from eventstore.model import Recorded
from eventstore.seals import Seal
from projections.changes import Row, project
from worker.relay import BEGINNING, CHECKPOINT

_PAGE = 2000
_SOURCES_PAGE = 20
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
        only: this SpreaView event alone; documents and checkpoints are not looked at then.
        seals: what was kept elsewhere; a log cannot show by itself that its tail was cut.
        told: is told how many events of how many were looked at.
    """
    into = Verification()
    async with engine.connect() as connection, connection.begin():
        await connection.execute(statements.READ_ONLY)
        total = (await connection.execute(statements.COUNT_EVENTS, {"only": only})).scalar_one()
        named = await _streams(connection, into, only, lambda done: told(done, total))
        await _heads(connection, into, only)
        await _strangers(connection, into, only)
        if only is None:
            await _sources(connection, into, named)
            await _leftovers(connection, into)
            await _checkpoint(connection, into)
        await _sealed(connection, into, only, seals)
    return into


async def _streams(
    connection: AsyncConnection,
    into: Verification,
    only: UUID | None,
    told: Callable[[int], None],
) -> set[bytes]:
    """Chains and read models; the digests of the documents that the runs name."""
    named: set[bytes] = set()
    check: StreamCheck | None = None
    rows: _RowCheck | None = None
    last: UUID | None = None
    done = 0
    async for page in _pages(connection, only):
        for stream_id, events in groupby(page, key=attrgetter("stream_id")):
            if stream_id != last or check is None or rows is None:
                if check is not None and rows is not None:
                    named.update(check.end())
                    await rows.end(connection)
                check = StreamCheck(stream_id, into)
                rows = await _RowCheck.begin(connection, stream_id, into)
                last = stream_id
            for event in events:
                check.take(event)
                rows.take(event.recorded)
        done += len(page)
        told(done)
    if check is not None and rows is not None:
        named.update(check.end())
        await rows.end(connection)
    return named


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


class _RowCheck:
    """Compares the live read models of a stream with what its events make them."""

    def __init__(self, stream_id: UUID, version: int, into: Verification) -> None:
        self._stream_id = stream_id
        self._version = version
        self._into = into
        self._models = ReadModels()
        self._pending: list[Recorded] = []
        self._trouble: str | None = None

    @classmethod
    async def begin(
        cls, connection: AsyncConnection, stream_id: UUID, into: Verification
    ) -> "_RowCheck":
        """Up to the version that is applied."""
        found = await connection.execute(statements.PROGRESS, {"stream_id": stream_id})
        return cls(stream_id, found.scalar_one_or_none() or 0, into)

    def take(self, recorded: Recorded) -> None:
        """Project the next event, if it is applied."""
        if recorded.version > self._version or self._trouble:
            return
        self._pending.append(recorded)
        if recorded.type in CUT_TYPES:
            try:
                self._models.apply(project(self._pending))
            except Exception as error:  # a tampered event is a finding, not the end
                self._trouble = f"version {recorded.version} cannot be projected: {error!r}"[:300]
            self._pending = []

    async def end(self, connection: AsyncConnection) -> None:
        """Compare with the tables."""
        if self._trouble:
            self._into.unchecked[f"read models of a stream: {self._trouble}"] += 1
            return
        if self._version == 0:
            self._into.unchecked["read models of a stream of which nothing is applied"] += 1
        for view, expected in self._models.views().items():
            if self._version == 0 and view == "stream_progress":
                continue  # it may say that nothing is applied
            found = await connection.execute(statements.VIEW_ROWS[view], {"s": self._stream_id})
            self._compare(view, expected, [_decoded(view, row) for row in found.scalars()])

    def _compare(self, view: str, expected: list[Row], found: list[Row]) -> None:
        wanted = {_key(view, row): row for row in expected}
        there = {_key(view, row): row for row in found}
        for key in wanted.keys() | there.keys():
            want, have = wanted.get(key), there.get(key)
            if want is None or have is None:
                self._add(view, key, "is not there" if have is None else "no event makes it")
                continue
            for name in COLUMNS[view]:
                if want[name] != have[name]:
                    what = f"{name} is {have[name]!r}, the events make it {want[name]!r}"
                    self._add(view, key, what[:300])
        self._into.checked["rows of read models"] += len(there)

    def _add(self, view: str, key: tuple[str, ...], what: str) -> None:
        row = f"{view} {' '.join(key)}: {what}"
        self._into.add(Kind.READ_MODEL, row, stream_id=self._stream_id, version=self._version)


_KEYS = {
    "sync_runs": ("sync_id",),
    "rooms": ("room_id",),
    "event_speakers": ("speaker_id",),
    "sessions": ("session_id",),
    "session_speakers": ("session_id", "speaker_id"),
    "skipped_sessions": ("sessionize_id",),
    "stream_progress": ("spreaview_event_id",),
}
_INSTANTS = frozenset(
    {
        *("requested_at", "started_at", "finished_at", "starts_at", "ends_at"),
        *("window_starts_at", "window_ends_at"),
    }
)


def _key(view: str, row: Row) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in _KEYS[view])


def _decoded(view: str, row: str) -> Row:
    """A row as `ReadModels` shows it: instants in UTC, whatever the connection's zone."""
    found: Row = msgspec.json.decode(row, type=dict[str, object])
    shown: Row = {}
    for name in COLUMNS[view]:
        value = found[name]
        if value is not None and name in _INSTANTS:
            value = datetime.fromisoformat(str(value)).astimezone(UTC).isoformat()
        shown[name] = str(value) if isinstance(value, UUID) else value
    return shown


async def _heads(connection: AsyncConnection, into: Verification, only: UUID | None) -> None:
    for row in await connection.execute(statements.HEADS, {"only": only}):
        what = f"its head is version {row.version}, its last event is version {row.last}"
        into.add(Kind.HEAD, what, stream_id=row.stream_id, version=row.last)


async def _strangers(connection: AsyncConnection, into: Verification, only: UUID | None) -> None:
    """Rows of read models that no event can have made."""
    for row in await connection.execute(statements.ROWS_OF_STRANGERS, {"only": only}):
        what = f"{row.view} has {row.rows} rows of it, and the log has no event of it"
        into.add(Kind.READ_MODEL, what, stream_id=row.spreaview_event_id)


async def _sources(connection: AsyncConnection, into: Verification, named: set[bytes]) -> None:
    after, kept = b"", set[bytes]()
    while True:
        found = await connection.execute(
            statements.SOURCES, {"after": after, "limit": _SOURCES_PAGE}
        )
        rows = found.all()
        for row in rows:
            _source(into, row.digest, row.body, is_named=row.digest in named)
            kept.add(row.digest)
        if len(rows) < _SOURCES_PAGE:
            break
        after = rows[-1].digest
    if missing := len(named - kept):
        into.unchecked["documents that are not kept (any more)"] += missing


def _source(into: Verification, digest: bytes, body: bytes, *, is_named: bool) -> None:
    into.checked["documents"] += 1
    try:
        found = hashlib.sha256(zlib.decompress(body)).digest()
    except zlib.error as error:
        into.add(Kind.SOURCE, f"document {digest.hex()} cannot be unpacked: {error}")
        return
    if found != digest:
        into.add(Kind.SOURCE, f"document {digest.hex()} has the digest {found.hex()}")
    elif not is_named:
        into.add(Kind.SOURCE, f"document {digest.hex()}: no run names it")


async def _leftovers(connection: AsyncConnection, into: Verification) -> None:
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
