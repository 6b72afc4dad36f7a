"""Concurrent projectors: no order of their steps shows an older version after a newer one."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from eventstore.log import EventLog
from eventstore.read import READ_STREAMS
from projections import statements
from projections.projector import Projector, apply_next
from tests.support.streams import (
    append_run,
    until_applied,
)

pytestmark = pytest.mark.asyncio


GATES_OF_NEW = [statements.CREATE_PROGRESS, statements.LOCK_PROGRESS, READ_STREAMS]
"""The last step is to write and commit."""
GATES_OF_KNOWN = [statements.LOCK_PROGRESS, READ_STREAMS]


NAME_AT = {0: None, 1: None, 3: "run 1", 4: "run 1", 6: "run 2"}


WITHOUT_LOCK = text(str(statements.LOCK_PROGRESS).replace("FOR UPDATE", ""))


class Stepped:
    """A projector that waits for a permit before each step."""

    def __init__(
        self, connection: AsyncConnection, pid: int, stream: UUID, gates: Sequence[TextClause]
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._permit = asyncio.Semaphore(0)
        self._gates = list(gates)
        self._written = False
        self.at_gate = asyncio.Event()
        self.pid = pid
        self.task = asyncio.create_task(self._project())

    async def _project(self) -> None:
        await apply_next(cast("AsyncConnection", self), [self._stream])
        await self._connection.commit()

    async def execute(self, statement: object, parameters: Mapping[str, Any] | None = None) -> Any:
        """Called by `apply_next` and `write`."""
        if self._gates and statement is self._gates[0]:
            self._gates.pop(0)
            await self._gate()
        elif not self._gates and not self._written:
            self._written = True
            await self._gate()
        return await self._connection.execute(cast("Any", statement), parameters)

    async def _gate(self) -> None:
        self.at_gate.set()
        await self._permit.acquire()

    async def step(self, observer: AsyncConnection) -> None:
        """Do the next step, up to the next gate, the end, or a lock held by the other projector."""
        await self._settle(observer)
        if self.at_gate.is_set():
            self.at_gate.clear()
            self._permit.release()
            await self._settle(observer)

    async def _settle(self, observer: AsyncConnection) -> None:
        while not (self.task.done() or self.at_gate.is_set()):
            waits = await observer.execute(
                text("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = :pid"),
                {"pid": self.pid},
            )
            if waits.scalar_one_or_none():
                return
            await asyncio.sleep(0)

    async def finish(self, observer: AsyncConnection) -> None:
        if not self.task.done():
            await self.step(observer)


def interleavings(a: int, b: int, w: int) -> Iterator[str]:
    """Yield every order of `a` steps of A, `b` steps of B and `w` appends of a writer."""
    if not a + b + w:
        yield ""
    for actor, rest in (("A", (a - 1, b, w)), ("B", (a, b - 1, w)), ("W", (a, b, w - 1))):
        if min(rest) >= 0:
            yield from (actor + order for order in interleavings(*rest))


class Scene:
    """One stream, two projectors, a writer and an observer on one database."""

    def __init__(self, engine: AsyncEngine, log: EventLog, stack: AsyncExitStack) -> None:
        self._engine = engine
        self._log = log
        self._stack = stack
        self._connections: list[tuple[AsyncConnection, int]] = []

    async def prepare(self) -> None:
        for _ in range(2):
            connection = await self._stack.enter_async_context(self._engine.connect())
            pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            await connection.rollback()
            self._connections.append((connection, pid))
        observer = await self._stack.enter_async_context(self._engine.connect())
        self._observer = await observer.execution_options(isolation_level="AUTOCOMMIT")

    async def play(
        self, order: str, gates: Sequence[TextClause], *, seen_before: bool
    ) -> str | None:
        """Play one interleaving; return the fault that a reader saw, if any."""
        stream = uuid4()
        await append_run(self._log, stream, 1)
        if seen_before:
            async with self._engine.begin() as connection:
                await connection.execute(
                    text("INSERT INTO spreaview_g1.stream_progress VALUES (:stream)"),
                    {"stream": stream},
                )
        actors = {
            name: Stepped(connection, pid, stream, gates)
            for name, (connection, pid) in zip("AB", self._connections, strict=True)
        }
        last = 0
        for name in order:
            if name == "W":
                await append_run(self._log, stream, 2)
            else:
                await actors[name].step(self._observer)
            last, fault = await self._look(stream, last)
            if fault:
                break
        else:
            fault = None
        while not all(actor.task.done() for actor in actors.values()):
            for actor in actors.values():
                await actor.finish(self._observer)
        for actor in actors.values():
            await actor.task
        await Projector(self._engine, sweep_seconds=60).catch_up([stream])
        last, late = await self._look(stream, last)
        return fault or late or (None if last == 6 else f"ended at version {last}")

    async def _look(self, stream: UUID, last: int) -> tuple[int, str | None]:
        """Return the version that a reader sees now, and its fault, if any."""
        found = await self._observer.execute(
            text("""
                SELECT coalesce(max(p.version), 0) AS version, max(r.name) AS name
                FROM spreaview.stream_progress p
                LEFT JOIN spreaview.rooms r USING (spreaview_event_id)
                WHERE p.spreaview_event_id = :stream
            """),
            {"stream": stream},
        )
        version, name = found.one()
        if version < last:
            return version, f"version {version} after {last}"
        if NAME_AT.get(version, "half an outcome") != name:
            return version, f"{name} at version {version}"
        return version, None


@pytest.mark.parametrize(
    ("seen_before", "gates", "number"),
    [(False, GATES_OF_NEW, 315), (True, GATES_OF_KNOWN, 70)],
    ids=["a new stream", "a known stream"],
)
async def test_no_order_of_steps_shows_an_older_version_after_a_newer(
    engine: AsyncEngine,
    log: EventLog,
    seen_before: bool,
    gates: Sequence[TextClause],
    number: int,
) -> None:
    steps = len(gates) + 1
    async with AsyncExitStack() as stack:
        scene = Scene(engine, log, stack)
        await scene.prepare()
        orders = [order for order in interleavings(steps, steps, 1) if order.strip("W")[0] == "A"]
        assert len(orders) == number
        for order in orders:
            assert await scene.play(order, gates, seen_before=seen_before) is None, order


async def test_the_same_orders_detect_a_projector_without_locks(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "LOCK_PROGRESS", WITHOUT_LOCK)
    gates = [WITHOUT_LOCK, READ_STREAMS]
    async with AsyncExitStack() as stack:
        scene = Scene(engine, log, stack)
        await scene.prepare()
        for order in interleavings(3, 3, 1):
            if await scene.play(order, gates, seen_before=True):
                return
    pytest.fail("no order of the steps showed the fault")


async def test_a_sweep_catches_up_after_a_lost_record(engine: AsyncEngine, log: EventLog) -> None:
    stream = uuid4()
    projector = Projector(engine, sweep_seconds=0.05)
    sweeping = asyncio.create_task(projector.sweep())
    try:
        await append_run(log, stream, 1)
        await until_applied(engine, stream, 3)
    finally:
        sweeping.cancel()
