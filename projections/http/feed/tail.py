"""The tail of the log in memory: the newest frames, shared by all clients of the process."""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.events import SpeakerErased
from contracts.outage_text import describe_outage
from eventstore.damage import DamagedLogError
from eventstore.errors import is_database_outage
from eventstore.log import EventLog
from eventstore.model import Recorded
from eventstore.read import read_outcomes
from eventstore.wakeup import gather
from messaging.backoff import log_failing, log_working
from projections.http.feed.batch import Batch, whole_page
from projections.http.feed.cursor import Cursor, cursor_at, start_of
from projections.http.feed.frames import Filter, Frame, frames_of, size_of

logger = logging.getLogger(__name__)

COMPONENT = "feed"
"""The name of the feed in logs and in the health of the process."""
PAGE = 1000
_BATCHES = 32
"""Batches in memory. Most clients are at the same few places."""
_CHECK_SECONDS = 5.0
_RETRY_SECONDS = 1.0


class Subscription:
    """Wakes one client when the tail has grown by something that may concern it."""

    def __init__(self) -> None:
        self._grown = asyncio.Event()

    def wake(self) -> None:
        """Wake the client."""
        self._grown.set()

    async def wait(self, seconds: float) -> bool:
        """Return True when woken, False after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._grown.wait()
            return True
        except TimeoutError:
            return False
        finally:
            self._grown.clear()


class LogTail:
    """Follows the log and keeps its newest frames, bounded in bytes.

    The tail holds every event after `floor` up to `head`. A client before the floor reads
    the log itself.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        log_id: UUID,
        wait: Callable[[], Awaitable[None]],
        *,
        max_bytes: int,
        on_erasure: Callable[[], None] = lambda: None,
    ) -> None:
        """Follow a log.

        Args:
            engine: where the log is.
            log_id: its id.
            wait: returns when the log may have grown, after a second or so at the latest.
            max_bytes: memory for the frames.
            on_erasure: drops whatever else of this process may hold the erased person.
        """
        self._engine = engine
        self._log = EventLog(engine)
        self._wait = wait
        self._max_bytes = max_bytes
        self._on_erasure = on_erasure
        self.log_id = log_id
        self.floor = 0
        self.head: Cursor = start_of(log_id)
        self._head_hash: bytes | None = None
        """None while the event of `head` has not been read."""
        self.fault: str | None = None
        """The reason why the tail is stuck before an event, as a sentence."""
        self.is_starting = False
        """Whether the head is not yet that of the log: meanwhile clients read the log itself."""
        self.epoch = 0
        """Rises when the tail begins anew, for example because the log is another one."""
        self.erasures = 0
        """Number of reads of the log that had an erasure."""
        self._frames: deque[Frame] = deque()
        self._by_stream: defaultdict[UUID, deque[Frame]] = defaultdict(deque)
        self._batches: dict[tuple[int, Filter, int | None], Batch] = {}
        self._bytes = 0
        self._all: set[Subscription] = set()
        self._of_stream: defaultdict[UUID, set[Subscription]] = defaultdict(set)
        self._next_check = 0.0

    @property
    def clients(self) -> int:
        """Number of subscriptions."""
        return len(self._all) + sum(map(len, self._of_stream.values()))

    @property
    def size(self) -> int:
        """Bytes that the frames take, about."""
        return self._bytes

    @contextmanager
    def subscribed(self, event_id: UUID | None) -> Iterator[Subscription]:
        """Be woken by new events of a SpreaView event, or by all of them."""
        subscription = Subscription()
        group = self._all if event_id is None else self._of_stream[event_id]
        group.add(subscription)
        try:
            yield subscription
        finally:
            group.discard(subscription)
            if event_id is not None and not group:
                self._of_stream.pop(event_id, None)

    def batch(self, position: int, wanted: Filter, limit: int | None = None) -> Batch:
        """The next whole outcomes after a position that is not before the floor.

        It ends with the outcome in which `limit` is reached.
        """
        key = position, wanted, limit
        found = self._batches.get(key)
        if found is None:
            found = self._batch(position, wanted, limit)
            if len(self._batches) >= _BATCHES:
                self._batches.clear()
            self._batches[key] = found
        return found

    def _batch(self, position: int, wanted: Filter, limit: int | None) -> Batch:
        newer = self._after(position, wanted.event_id)
        frames = newer[: whole_page(newer, wanted, limit)]
        at_head = len(frames) == len(newer)
        reached = self.head if at_head else frames[-1].cursor
        return Batch(wanted.select(frames), reached, at_head=at_head)

    def _after(self, position: int, event_id: UUID | None) -> list[Frame]:
        frames = self._frames if event_id is None else self._by_stream.get(event_id, ())
        found: list[Frame] = []
        for frame in reversed(frames):
            if frame.position <= position:
                break
            found.append(frame)
        found.reverse()
        return found

    async def start(self) -> None:
        """Begin a page before the head of the log: still older events are read from the log.

        Clients that come back after a restart of the server find their place in the page.
        """
        last = await self._log.last_event(_NEWEST)
        if last is None:
            self._begin_at(start_of(self.log_id))
            self.is_starting = False
            return
        before = await self._log.last_event(last[0] - PAGE)
        self._begin_at(start_of(self.log_id) if before is None else cursor_at(self.log_id, *before))
        try:
            while rows := await self._read():
                self._add(rows)
        except DamagedLogError:  # clients that need this event get the reason
            self._begin_at(cursor_at(self.log_id, *last))
        self.is_starting = False

    def _begin_at(self, cursor: Cursor) -> None:
        """Forget the frames. By the new epoch, clients see that what they have read may be lost."""
        self.head = cursor
        self._head_hash = None
        self.fault = None
        self.is_starting = True
        self.epoch += 1
        self._drop_frames()

    async def follow(self) -> None:
        """Follow the log until cancelled.

        Waits for a database that does not answer. Stops before an event that cannot be read, such
        as one of a newer program, and tries it again; `fault` is the reason meanwhile.
        """
        while True:
            try:
                await self._check_identity()
                while rows := await self._read():
                    self._add(rows)
                    if len(rows) < PAGE // 2:  # whole outcomes rarely fill a page
                        await gather(row.stream_id for row in rows)
                self.fault = None
                self.is_starting = False
                log_working(COMPONENT)
                await self._wait()
            except Exception as error:
                if not (is_database_outage(error) or isinstance(error, DamagedLogError)):
                    raise
                log_failing(COMPONENT, describe_outage(error))
                if isinstance(error, DamagedLogError):
                    self._stop_before(error)
                await asyncio.sleep(_RETRY_SECONDS)
                self._next_check = 0.0

    def _stop_before(self, error: DamagedLogError) -> None:
        """Keep the reason, and have the clients at the head look: they get it."""
        is_known = self.fault == str(error)
        self.fault = str(error)
        if not is_known:
            self.wake_everybody()

    async def _read(self) -> Sequence[Recorded]:
        """The next events; none if the log does not have the head any more.

        A restore or a failover may put other events at the positions that were read. Only in the
        same transaction as the reading is it sure that the events after the head follow it.
        """
        async with self._engine.connect() as connection:
            if not await self._has_head(connection):
                self._next_check = 0.0
                return ()
            return await read_outcomes(connection, self.head.position, limit=PAGE)

    async def _has_head(self, connection: AsyncConnection) -> bool:
        """Whether the log still has the last event that was read.

        By its hash: a run that is repeated after a failover has the same message ids.
        """
        if self.head.position == 0:
            return True
        found = await connection.execute(_EVENT_AT, {"position": self.head.position})
        row = found.one_or_none()
        if row is None or row.message_id.hex[:8] != self.head.mark:
            return False
        return self._head_hash in (None, row.hash)

    def _add(self, rows: Sequence[Recorded]) -> None:
        self._batches.clear()
        if any(row.type == SpeakerErased.__name__ for row in rows):
            self._drop_frames()  # they may hold the person
            self._on_erasure()
            self.erasures += 1
            self.wake_everybody()
        streams: set[UUID] = set()
        added = frames_of(self.log_id, rows)
        for frame in added:
            self._frames.append(frame)
            self._by_stream[frame.stream_id].append(frame)
            streams.add(frame.stream_id)
        self._bytes += size_of(added)
        last = rows[len(added) - 1]
        self.head = cursor_at(self.log_id, last.position, last.message_id)
        self._head_hash = last.hash
        self.fault = None
        while self._bytes > self._max_bytes and len(self._frames) > 1:
            self._drop_oldest()
        for subscription in tuple(self._all):
            subscription.wake()
        for stream in streams:
            for subscription in tuple(self._of_stream.get(stream, ())):
                subscription.wake()

    def _drop_oldest(self) -> None:
        frame = self._frames.popleft()
        self._bytes -= size_of((frame,))
        self.floor = frame.position
        of_stream = self._by_stream[frame.stream_id]
        of_stream.popleft()
        if not of_stream:
            del self._by_stream[frame.stream_id]

    def _drop_frames(self) -> None:
        self._frames.clear()
        self._by_stream.clear()
        self._batches.clear()
        self._bytes = 0
        self.floor = self.head.position

    async def _check_identity(self) -> None:
        """Notice that the database was restored to an earlier time, or replaced."""
        now = asyncio.get_running_loop().time()
        if now < self._next_check:
            return
        self._next_check = now + _CHECK_SECONDS
        log_id = await read_log_id(self._engine)
        async with self._engine.connect() as connection:
            if log_id == self.log_id and await self._has_head(connection):
                return
        logger.warning("the log is another one than before: subscribers get a reset")
        self.log_id = log_id
        await self.start()
        self.wake_everybody()

    def wake_everybody(self) -> None:
        """Have every client look again."""
        for subscription in (*self._all, *(s for group in self._of_stream.values() for s in group)):
            subscription.wake()


_NEWEST = 2**63 - 1
_LOG_ID = text("SELECT log_id FROM event_store.log")
_EVENT_AT = text("SELECT message_id, hash FROM event_store.events WHERE position = :position")


async def read_log_id(engine: AsyncEngine) -> UUID:
    """Read the id of the log; the right to read its fingerprint key is not needed."""
    async with engine.connect() as connection:
        log_id: UUID = (await connection.execute(_LOG_ID)).scalar_one()
    return log_id
