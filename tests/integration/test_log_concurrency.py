"""The order of the log under load: a reader with a plain cursor never misses an event."""

import asyncio
import os
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from contracts import samples
from contracts.events import RoomImported
from eventstore import append, sources
from eventstore.log import EventLog
from eventstore.model import (
    AlreadyRecordedError,
    Commit,
    NewEvent,
    SourceDocument,
    StreamMovedError,
)

pytestmark = pytest.mark.asyncio

SECONDS = float(os.environ.get("SPREAVIEW_TEST_STRESS_SECONDS", "30"))
UNTIL_CAUGHT_SECONDS = 60.0
WRITERS, READERS, STREAMS = 8, 3, 12

ROOM = next(event for event in samples.EVENTS if isinstance(event, RoomImported))

# Something slow that comes before the lock in a writer's transaction, different each time.
SLOW_SOURCE = text("""
    INSERT INTO event_store.sources (digest, size_bytes, body)
    SELECT :digest, :size_bytes, :body FROM (SELECT pg_sleep(random() * 0.01)) pause
    ON CONFLICT (digest) DO NOTHING
""")
NO_LOCK = text("SELECT clock_timestamp() AS now")


class Seen(NamedTuple):
    position: int
    stream_id: UUID
    version: int


class Load:
    """Writers and readers on one log until a deadline or the first fault."""

    def __init__(self, log: EventLog, seed: int, seconds: float) -> None:
        self._log = log
        self._random = random.Random(seed)
        self._streams = [uuid4() for _ in range(STREAMS)]
        self._deadline = time.monotonic() + seconds
        self._writing = True
        self.faults: list[str] = []
        self.conflicts = self.rollbacks = self.appended = 0

    async def run(self) -> None:
        readers = [asyncio.create_task(self._read(number)) for number in range(READERS)]
        await asyncio.gather(*(self._write() for _ in range(WRITERS)))
        self._writing = False
        seen = await asyncio.gather(*readers)
        await self._compare(seen)

    def _is_time(self) -> bool:
        return time.monotonic() < self._deadline and not self.faults

    async def _write(self) -> None:
        while self._is_time():
            stream = self._random.choice(self._streams)
            expected = await self._log.stream_version(stream)
            events = [NewEvent(uuid4(), ROOM) for _ in range(self._random.randint(1, 200))]
            if self._random.random() < 0.1:
                events.append(events[0])  # is refused by the database after all else was written
            body = self._random.randbytes(16)
            try:
                await self._log.append(
                    Commit(
                        stream,
                        expected,
                        events,
                        inbox=uuid4(),
                        source=SourceDocument(body.hex() * 2, body),
                    )
                )
                self.appended += len(events)
            except StreamMovedError:
                self.conflicts += 1
            except AlreadyRecordedError:
                self.rollbacks += 1

    async def _read(self, number: int) -> list[Seen]:
        """Follow the log by its positions; look for the first sign of a fault on the way."""
        seen: list[Seen] = []
        versions: dict[UUID, int] = defaultdict(int)
        after = 0
        while True:
            last_look = not self._writing
            page = await self._log.read_all(after, limit=self._random.randint(1, 500))
            for recorded in page:
                if recorded.version != versions[recorded.stream_id] + 1:
                    self.faults.append(
                        f"reader {number} met version {recorded.version} of {recorded.stream_id} "
                        f"after {versions[recorded.stream_id]}"
                    )
                versions[recorded.stream_id] = recorded.version
                seen.append(Seen(recorded.position, recorded.stream_id, recorded.version))
                after = recorded.position
            if not page and last_look:
                return seen

    async def _compare(self, seen: list[list[Seen]]) -> None:
        final: list[Seen] = []
        while page := await self._log.read_all(final[-1].position if final else 0):
            final += [Seen(r.position, r.stream_id, r.version) for r in page]
        for number, one in enumerate(seen):
            if one != final:
                missed = len(set(final) - set(one))
                self.faults.append(f"reader {number} missed {missed} of {len(final)} events")
        by_stream: dict[UUID, list[int]] = defaultdict(list)
        for event in final:
            by_stream[event.stream_id].append(event.version)
        for stream, versions in by_stream.items():
            if versions != list(range(1, len(versions) + 1)):
                self.faults.append(f"stream {stream} is not in its order")


@contextmanager
def patched(monkeypatch: pytest.MonkeyPatch, *, locked: bool = True) -> Iterator[None]:
    """Slow writers, with or without the lock of the log."""
    with monkeypatch.context() as patch:
        patch.setattr(sources, "INSERT_SOURCE", SLOW_SOURCE)
        if not locked:
            patch.setattr(append, "LOCK_LOG", NO_LOCK)
        yield


async def test_no_event_appears_behind_a_cursor(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Load(log, seed=1, seconds=SECONDS)
    with patched(monkeypatch):
        await load.run()
    assert load.faults == []
    assert load.appended > 0
    assert load.conflicts > 0
    assert load.rollbacks > 0


async def test_the_same_load_catches_a_log_without_its_lock(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Load(log, seed=1, seconds=UNTIL_CAUGHT_SECONDS)
    with patched(monkeypatch, locked=False):
        await load.run()
    assert load.faults != []
