"""A log that grows by whole imports, and remembers when each was committed."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any
from uuid import UUID, uuid4

from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts import samples
from contracts.events import ImportEvent, SessionImported, SyncCompleted, SyncStarted
from contracts.identity import session_code
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from tests.support.feed_load.clients import SOME

_SAMPLES: dict[type, Any] = {type(event): event for event in samples.EVENTS}
_POSITIONS = text("SELECT position, type FROM event_store.events ORDER BY position")


class GrowingLog:
    """Appends runs to some streams in turn: the start, then an outcome of some sessions."""

    def __init__(self, engine: AsyncEngine, *, streams: int = 8) -> None:
        self.commits: dict[int, float] = {}
        """Monotonic time after each commit, by the position of its last event."""
        self._engine = engine
        self._log = EventLog(engine)
        self._versions = {uuid4(): 0 for _ in range(streams)}
        self._next = cycle(self._versions)

    async def run(self, sessions: int) -> None:
        """Append one run with this many sessions."""
        stream = next(self._next)
        facts = {"sync_id": uuid4(), "spreaview_event_id": stream}
        await self._append(stream, replace(_SAMPLES[SyncStarted], **facts))
        outcome = [_session(facts, number) for number in range(sessions)]
        await self._append(stream, *outcome, replace(_SAMPLES[SyncCompleted], **facts))

    async def grow(self, seconds: float, *, sessions: int, per_second: float) -> None:
        """Append runs at a steady rate for some seconds."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(int(seconds * per_second)):
            await asyncio.sleep(max(0.0, began + number / per_second - loop.time()))
            await self.run(sessions)

    async def positions(self) -> Mapping[str, list[int]]:
        """The positions of the log, by query."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_POSITIONS)).all()
        return by_query([(row.position, row.type) for row in rows])

    async def restored(self) -> None:
        """Take note that the database is an earlier one now."""
        self.commits.clear()
        await self._engine.dispose()  # its connections were to the database before
        for stream in self._versions:
            self._versions[stream] = await self._log.stream_version(stream)

    async def _append(self, stream: UUID, *events: ImportEvent) -> None:
        new = [NewEvent(uuid4(), event) for event in events]
        appended = await self._log.append(Commit(stream, self._versions[stream], new))
        self.commits[appended.position] = time.monotonic()
        self._versions[stream] = appended.version


def _session(facts: Mapping[str, Any], number: int) -> ImportEvent:
    session_id = uuid4()
    session: ImportEvent = replace(
        _SAMPLES[SessionImported],
        **facts,
        session_id=session_id,
        session_code=session_code(session_id),
        sessionize_id=str(number),
        title=f"Session {number}",
    )
    return session


def by_query(events: Sequence[tuple[int, str]]) -> dict[str, list[int]]:
    """The positions that a client receives, by its query of `clients.QUERIES`.

    Args:
        events: position and type of each event of the log, in order.
    """
    some = [position for position, type_ in events if type_ in ("SessionImported", "SyncCompleted")]
    return {"": [position for position, _ in events], SOME: some}
