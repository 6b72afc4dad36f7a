"""The program with a seeded bug, to show that the harness catches it.

Run as `python -m tests.support.chaos.faulty <fault> worker|projector|api`. Every fault is a
guarantee taken away, and a pause where that makes the moment wide enough to be hit.
"""

import asyncio
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

import projections.http.answering
import projections.http.queries
import projections.projector
import projections.write
from cli.health.monitor import Monitor
from cli.main import main
from contracts import identity
from contracts.topics import SYNC_REQUESTS
from eventstore import append
from eventstore.checkpoints import Checkpoint
from eventstore.log import EventLog
from projections.changes import Changes
from projections.generations import select_live_generation
from projections.hints import LogHints
from projections.http.encoded import EncodedCache
from projections.projector import Projector
from worker.relay.checkpoint import CHECKPOINT
from worker.relay.relay import Relay

_PAUSE_SECONDS = 1.0


def _replace(owner: object, name: str, by: object) -> None:
    """Replace an existing attribute; raise if there is none."""
    assert hasattr(owner, name), f"{owner} has no {name} any more"
    setattr(owner, name, by)


def offset_before_outcome() -> None:
    """(1) Commit the offset of a request on receipt."""
    getmany = AIOKafkaConsumer.getmany

    async def and_commit(self: AIOKafkaConsumer, *partitions: Any, **options: Any) -> Any:
        records = await getmany(self, *partitions, **options)
        if records and any(partition.topic == SYNC_REQUESTS for partition in records):
            await self.commit()
            await asyncio.sleep(1.5 * _PAUSE_SECONDS)
        return records

    _replace(AIOKafkaConsumer, "getmany", and_commit)


def no_lock() -> None:
    """(2) Assign positions without the lock, so that commits have another order."""
    _replace(append, "LOCK_LOG", text("SELECT clock_timestamp() AS now"))
    insert = append.INSERT_EVENTS.text
    result = insert[insert.rindex("SELECT max(position)") :]
    before, _, _ = insert.rpartition(result)
    append.INSERT_EVENTS = text(
        f"{before} SELECT position, is_beyond, pg_sleep(random() / 2) "
        f"FROM ({result} OFFSET 0) AS inserted_now"
    )


def checkpoint_before_publish() -> None:
    """(3) Move the relay's checkpoint before the broker has confirmed."""
    publish = Relay._publish

    async def early(self: Relay, turn: Any, events: Sequence[Any]) -> None:
        last = events[-1]
        checkpoint = Checkpoint(turn.log_id, last.position, last.message_id)
        await turn.leader.write(CHECKPOINT, checkpoint)
        await asyncio.sleep(3 * _PAUSE_SECONDS)
        await publish(self, turn, events)

    _replace(Relay, "_publish", early)


def versions_apart() -> None:
    """(4) Commit the rows of the read models before their versions."""
    write = projections.write.write

    async def rows_first(connection: Any, changes: Changes, *, announced: bool = False) -> None:
        progress, changes.progress = changes.progress, {}
        await write(connection, changes)
        await connection._driver.execute("COMMIT; BEGIN")
        await asyncio.sleep(_PAUSE_SECONDS)
        await select_live_generation(connection)
        await write(connection, Changes(progress=progress), announced=announced)

    _replace(projections.projector, "write", rows_first)


def no_inbox() -> None:
    """(5) Forget which requests have been processed."""

    async def nothing(*arguments: Any) -> None:
        del arguments

    clock_and_run = EventLog.clock_and_run

    async def never_over(self: EventLog, sync_id: Any) -> Any:
        found = await clock_and_run(self, sync_id)
        return found._replace(begun_in=None, ended_in=None)

    _replace(append, "_enter_inbox", nothing)
    opening = EventLog.opening

    async def always_new(self: EventLog, *arguments: Any) -> Any:
        found = await opening(self, *arguments)
        return found._replace(run=found.run._replace(begun_in=None, ended_in=None))

    _replace(EventLog, "clock_and_run", never_over)
    _replace(EventLog, "opening", always_new)
    _replace(identity, "message_id", lambda *_: uuid4())


def no_sweep() -> None:
    """(6) Lose notifications of both kinds, and never look for lagging streams."""

    async def never(_: object) -> None:
        await asyncio.Event().wait()

    async def lose(self: Projector, records: Sequence[Any]) -> None:
        del self, records

    _replace(Projector, "sweep", never)
    _replace(Projector, "take", lose)
    _replace(LogHints, "follow", never)


def always_green() -> None:
    """(7) Report ready whatever the checks have found."""
    readiness = Monitor.readiness

    def ready(self: Monitor) -> Any:
        return True, readiness(self)[1]

    _replace(Monitor, "readiness", ready)


def stale_answers() -> None:
    """(8) Answer at once, whatever the client waits for."""

    async def always(*_: Any) -> bool:
        return True

    _replace(projections.http.answering, "_shows", always)


def older_answers() -> None:
    """(9) Keep encoded answers without the version that they show."""
    put = EncodedCache.put
    older: defaultdict[Any, list[Any]] = defaultdict(list)

    def keep(self: EncodedCache, key: Any, answer: Any) -> None:
        older[key[:2]].append(answer)
        put(self, key, answer)

    def any_of(self: EncodedCache, key: Any) -> Any:
        known = older[key[:2]]
        return random.choice(known) if known and random.random() < 0.5 else None

    _replace(EncodedCache, "put", keep)
    _replace(EncodedCache, "get", any_of)


def torn_answers() -> None:
    """(10) Read the version and the rows of a schedule at different moments."""
    read = projections.http.queries.read_schedule

    async def later(
        connection: AsyncConnection, event_id: Any, event: Any, *, withdrawn: bool
    ) -> Any:
        first = await read(connection, event_id, event, withdrawn=withdrawn)
        until = time.monotonic() + 6 * _PAUSE_SECONDS
        while time.monotonic() < until:
            await asyncio.sleep(_PAUSE_SECONDS / 5)
            async with connection.engine.connect() as other:
                now = await read(other, event_id, event, withdrawn=withdrawn)
            if now.days != first.days:
                return now
        return first

    def nothing(self: EncodedCache, key: Any) -> None:
        del self, key

    _replace(projections.http.queries, "read_schedule", later)
    _replace(EncodedCache, "get", nothing)


FAULTS: dict[str, Callable[[], None]] = {
    "offset-before-outcome": offset_before_outcome,
    "no-lock": no_lock,
    "checkpoint-before-publish": checkpoint_before_publish,
    "versions-apart": versions_apart,
    "no-inbox": no_inbox,
    "no-sweep": no_sweep,
    "always-green": always_green,
    "stale-answers": stale_answers,
    "older-answers": older_answers,
    "torn-answers": torn_answers,
}
"""Seeded bugs by name."""


if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    main()
