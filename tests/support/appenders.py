"""Two appenders and all readers of the log, in every order of their statements.

Runs the real `append`; each of its statements, and its commit or rollback, waits for a permit.
While one appender waits for a lock, the order continues with the other. All orders are played, each
from the beginning. A read is one statement without effects. So whenever it could find new events,
each possible reader both reads and does not: together they are all readers with a cursor, however
often and whenever they read.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.canonical import canonical
from eventstore import chain
from eventstore.append import append_within
from eventstore.log import EventLog
from eventstore.model import (
    AlreadyRecordedError,
    Appended,
    Commit,
    StreamMovedError,
)

LIMITS = (1, 1000)
IS_BLOCKED = text("SELECT cardinality(pg_blocking_pids(:pid)) > 0")


class Appender:
    """An append in which each step waits for a permit."""

    def __init__(self, connection: AsyncConnection, pid: int, commit: Commit) -> None:
        self._connection = connection
        self._permit = asyncio.Semaphore(0)
        self._at_gate = asyncio.Event()
        self.commit = commit
        self._pid = pid
        self.task = asyncio.create_task(self._append())

    async def _append(self) -> Appended | Exception:
        try:
            return await append_within(self.begin(), self.commit)
        except (StreamMovedError, AlreadyRecordedError) as error:
            return error

    @asynccontextmanager
    async def begin(self) -> AsyncIterator["Appender"]:
        """Stand in for `driver_transaction`."""
        async with self._connection.begin():
            try:
                yield self
            finally:
                await self._gate()

    async def execute(self, statement: Any, parameters: Mapping[str, Any] | None = None) -> Any:
        """Stand in for `DriverConnection.execute`."""
        await self._gate()
        return await self._connection.execute(statement, parameters)

    async def _gate(self) -> None:
        self._at_gate.set()
        await self._permit.acquire()

    @property
    def is_at_gate(self) -> bool:
        """Whether its next step can run now."""
        return self._at_gate.is_set()

    def step(self) -> None:
        self._at_gate.clear()
        self._permit.release()

    async def settled(self, observer: AsyncConnection) -> None:
        """Wait until it reaches its next gate, its end, or a lock of the other."""
        while not (self.task.done() or self._at_gate.is_set()):
            if (await observer.execute(IS_BLOCKED, {"pid": self._pid})).scalar_one():
                return


Reader = tuple[int, tuple[int, ...]]
"""The page size of a reader, and the positions it has read."""


class Played(NamedTuple):
    """One order of steps, the alternatives at each step, and the results of the appends."""

    order: str
    instead: list[str]
    results: list[Appended | Exception]

    @property
    def kinds(self) -> list[type]:
        return sorted((type(result) for result in self.results), key=lambda kind: kind.__name__)


class Scene:
    """Two appenders, all readers and an observer on one log."""

    def __init__(self, engine: AsyncEngine, log: EventLog) -> None:
        self._engine = engine
        self._log = log

    async def every_order(
        self, prepare: Callable[[], Awaitable[Sequence[Commit]]]
    ) -> AsyncIterator[Played]:
        """Play the commits of `prepare` in each possible order."""
        async with AsyncExitStack() as stack:
            observer = await stack.enter_async_context(self._engine.connect())
            observer = await observer.execution_options(isolation_level="AUTOCOMMIT")
            connections: list[tuple[AsyncConnection, int]] = []
            for _ in range(2):
                connection = await stack.enter_async_context(self._engine.connect())
                pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
                await connection.rollback()
                connections.append((connection, pid))
            todo = [""]
            while todo:
                begin = todo.pop()
                commits = await prepare()
                appenders = {
                    name: Appender(connection, pid, commit)
                    for name, (connection, pid), commit in zip(
                        "AB", connections, commits, strict=True
                    )
                }
                played = await self._play(begin, appenders, observer)
                todo += [
                    played.order[:n] + other
                    for n in range(len(begin), len(played.order))
                    for other in played.instead[n]
                ]
                yield played

    async def _play(
        self, begin: str, appenders: Mapping[str, Appender], observer: AsyncConnection
    ) -> Played:
        """Play an order with this beginning to its end. Raises AssertionError for a violation."""
        start = await self._log.head()
        readers: set[Reader] = {(limit, ()) for limit in LIMITS}
        order, instead, ended = "", [], ""
        while True:
            for appender in (*appenders.values(), *appenders.values()):
                # Once more, because the other may just have ended, and with it a lock.
                await appender.settled(observer)
            done = "".join(name for name in appenders if appenders[name].task.done())
            if len(done) > len(ended):
                ended += done.replace(ended, "")
                readers |= await self._read(readers, start)
            ready = "".join(name for name in appenders if appenders[name].is_at_gate)
            if not ready:
                break
            name = begin[len(order)] if len(order) < len(begin) else ready[0]
            appenders[name].step()
            order += name
            instead.append(ready.replace(name, ""))
        results = {name: appender.task.result() for name, appender in appenders.items()}
        written = await self._log.read_all(start)
        positions = tuple(recorded.position for recorded in written)
        for _, seen in readers:
            assert seen == positions[: len(seen)], f"{order}: an event behind a cursor"
        assert {(limit, positions) for limit in LIMITS} <= readers
        committed = [name for name in ended if isinstance(results[name], Appended)]
        ids = [event_id for n in committed for event_id, _ in appenders[n].commit.events]
        assert [recorded.message_id for recorded in written] == ids, "positions in commit order"
        for stream_id in {appender.commit.stream_id for appender in appenders.values()}:
            await self._check_stream(stream_id)
        return Played(order, instead, list(results.values()))

    async def _read(self, readers: set[Reader], start: int) -> set[Reader]:
        """The readers after reading now, once or more often."""
        found: set[Reader] = set()
        pages: dict[tuple[int, int], tuple[int, ...]] = {}
        todo = list(readers)
        while todo:
            limit, seen = todo.pop()
            after = seen[-1] if seen else start
            if (limit, after) not in pages:
                page = await self._log.read_all(after, limit=limit)
                pages[limit, after] = tuple(recorded.position for recorded in page)
            if page_read := pages[limit, after]:
                found.add((limit, seen + page_read))
                todo.append((limit, seen + page_read))
        return found

    async def _check_stream(self, stream_id: UUID) -> None:
        """Check the versions, positions, chain and head of a stream."""
        link, position = chain.GENESIS, 0
        found = [recorded async for recorded in self._log.read_stream(stream_id)]
        for version, recorded in enumerate(found, start=1):
            body = chain.body_digest(
                stream_id=stream_id,
                version=version,
                message_id=recorded.message_id,
                type=recorded.type,
                schema_version=recorded.schema_version,
                data=canonical(recorded.data),
                metadata=canonical(recorded.metadata),
            )
            link = chain.link(link, body, recorded.recorded_at)
            assert (recorded.version, recorded.hash) == (version, link)
            assert recorded.position > position
            position = recorded.position
        assert await self._log.stream_version(stream_id) == len(found)
