"""Carries out faults; the faults of one target never overlap."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.support.chaos.clock import ahead, missing_library
from tests.support.chaos.health import STUCK_SECONDS
from tests.support.chaos.kafka_proxy import ApiKey
from tests.support.chaos.leader import leader_among, takeover_after
from tests.support.chaos.members import Member
from tests.support.chaos.oracle.judge_health import Outage
from tests.support.chaos.oracle.report import Findings
from tests.support.chaos.plan import ALONE, CLOCKS, Fault, Kind, Target
from tests.support.chaos.stack import SESSION_SECONDS, Stack

logger = logging.getLogger(__name__)

_PROCESSES = (Target.WORKER, Target.PROJECTOR, Target.API)
_WITHOUT_KAFKA = (Target.KAFKA, Target.TO_KAFKA, Target.LEADER)
_VISIBLE_SECONDS = 7.0
"""Time in which a process has to notice a server that refuses or resets its connections."""
_SILENT_SECONDS = 17.0
"""The same for a server that does not answer: each check of a process waits up to 5 seconds."""
_READY_SECONDS = 60.0
_TAKEOVER_SECONDS = 15.0
_LEADER_SECONDS = 20.0
_REQUESTS = 6
"""Requests published during a fault that shows only while something has to be done."""


class Faults:
    """Carries out the faults of a plan on a stack.

    Args:
        publish: publishes this many requests.
    """

    def __init__(self, stack: Stack, publish: Callable[[int], None]) -> None:
        self._stack = stack
        self._publish = publish
        self._locks: dict[str, asyncio.Lock] = {}
        self.done: Counter[tuple[Target, Kind]] = Counter()
        """The faults carried out so far."""
        self.left_out: Counter[str] = Counter()
        """Faults that cannot happen on this machine, by the reason."""
        self.outages: list[Outage] = []
        """Times in which processes could not work."""
        self.findings = Findings()

    async def all(
        self, plan: Sequence[Fault], calm: Callable[[], Coroutine[Any, Any, bool]]
    ) -> None:
        """Start each fault at its time; return when all are over and their targets run again.

        Before a calm, and before a fault that happens alone, the earlier faults end. After a calm
        every process has to be ready.

        Args:
            plan: in their order.
            calm: waits until what is under way has ended, for a limited time; whether it has.
        """
        try:
            async with asyncio.TaskGroup() as group:
                under_way: set[asyncio.Task[None]] = set()
                for fault in plan:
                    is_alone = fault.target in ALONE
                    if under_way and (fault.in_calm or is_alone):
                        await asyncio.wait(under_way)
                        under_way.clear()
                    if (fault.in_calm and await calm()) or is_alone:
                        self._unready(await self._stack.health.unready(_READY_SECONDS))
                    await asyncio.sleep(fault.after)
                    task = group.create_task(self._one(fault))
                    under_way.add(task)
                    if is_alone:
                        await asyncio.wait({task})
        finally:
            self._stack.recorder.behave()

    def _unready(self, sentences: Iterable[str]) -> None:
        self.findings.add("misreported", *sentences)

    async def _one(self, fault: Fault) -> None:
        if fault.kind in CLOCKS and (reason := missing_library()) is not None:
            self.left_out[reason] += 1
            return
        hit = fault.target.value
        if fault.target in _PROCESSES:
            hit += f"-{fault.which}"
        async with self._locks.setdefault(hit, asyncio.Lock()):
            logger.info("%s: %s (%.1f s)", hit, fault.kind, fault.seconds)
            await self._act(fault, hit)
        self.done[fault.target, fault.kind] += 1

    def _act(self, fault: Fault, hit: str) -> Coroutine[Any, Any, None]:
        stack = self._stack
        match fault.target:
            case Target.WORKER | Target.PROJECTOR | Target.API:
                return _process(fault, stack.members[hit])
            case Target.POSTGRES | Target.KAFKA:
                return self._server(fault)
            case Target.TO_POSTGRES | Target.TO_KAFKA:
                return self._path(fault)
            case Target.SESSIONIZE:
                return self._sessionize(fault)
            case Target.LEADER:
                return self._leader(fault)
            case Target.DISK:
                return self._disk(fault)
            case Target.STATEMENTS:
                return stack.database.time_out(fault.seconds, stack.to_database.cut)

    async def _server(self, fault: Fault) -> None:
        server = self._stack.database if fault.target is Target.POSTGRES else self._stack.kafka
        if fault.kind is Kind.PAUSE:
            with self._outage(fault, _SILENT_SECONDS):
                await server.pause(fault.seconds)
            return
        with self._outage(fault, _VISIBLE_SECONDS):
            await (server.kill() if fault.kind is Kind.KILL else server.stop())
            await asyncio.sleep(fault.seconds / 4)
            await server.start()

    async def _path(self, fault: Fault) -> None:
        stack = self._stack
        path = stack.to_database if fault.target is Target.TO_POSTGRES else stack.to_kafka
        match fault.kind:
            case Kind.LATE:
                keys = list(ApiKey)
                key = keys[int(fault.seconds * 1000) % len(keys)]
                await stack.to_kafka.deliver_late(key, fault.seconds)
            case Kind.HEARTBEATS:
                await stack.to_kafka.swallow_heartbeats(fault.seconds)
            case Kind.CUT:
                path.cut()
            case Kind.REFUSE | Kind.AWAY:
                with self._outage(fault, _VISIBLE_SECONDS):
                    await path.refuse(fault.seconds)
            case _:
                with self._outage(fault, _SILENT_SECONDS):
                    await path.swallow(fault.seconds)

    async def _sessionize(self, fault: Fault) -> None:
        self._stack.recorder.misbehave(fault.kind, fault.seconds, times=1 + fault.which * 3)

    async def _leader(self, fault: Fault) -> None:
        """Reset the connections of the leader to Kafka; the other worker has to lead."""
        stack = self._stack
        url = stack.database.url
        leader = await leader_among(url, stack.members, _LEADER_SECONDS)
        if leader is None or leader.pid is None:
            self.findings.add("stuck", f"no process led for {_LEADER_SECONDS:g} s")
            return
        others = [name for name in stack.members if name != leader.name]
        with self._outage(fault, _VISIBLE_SECONDS, [leader.name]):
            shunned = asyncio.create_task(stack.to_kafka.shun(leader.pid, fault.seconds))
            self._publish(_REQUESTS)
            if len(others) < len(stack.members):
                after = await takeover_after(url, leader, _TAKEOVER_SECONDS)
                if after is None:
                    seconds = f"{_TAKEOVER_SECONDS:g} s without Kafka"
                    self.findings.add("stuck", f"{leader.name} still led after {seconds}")
            await shunned
        self._unready(await stack.health.unready(_READY_SECONDS, names=others))

    async def _disk(self, fault: Fault) -> None:
        """Leave no space; nothing can be recorded, so some process must report that it is stuck."""
        stack = self._stack
        workers = [name for name in stack.members if name.startswith(Target.WORKER)]
        self._publish(_REQUESTS)
        with self._outage(fault, STUCK_SECONDS + 3, workers, hits_all=False):
            await stack.disk.full(stack.database.url, fault.seconds)

    @contextmanager
    def _outage(
        self,
        fault: Fault,
        grace_seconds: float,
        names: Iterable[str] | None = None,
        *,
        hits_all: bool = True,
    ) -> Iterator[None]:
        began = time.monotonic()
        yield
        what = f"{fault.target}: {fault.kind}"
        hit = frozenset(self._stack.members if names is None else names)
        shown_by = {name for name in hit if name.startswith(Target.API)}
        self.outages.append(
            Outage(
                what,
                began,
                time.monotonic(),
                grace_seconds,
                hit,
                hits_all=hits_all,
                shown_by=shown_by if fault.target in _WITHOUT_KAFKA else (),
            )
        )


async def _process(fault: Fault, member: Member) -> None:
    match fault.kind:
        case Kind.KILL:
            await member.kill()
        case Kind.PAUSE:
            await member.pause(fault.seconds)
        case Kind.FLAP:
            await member.flap(fault.seconds, session_seconds=SESSION_SECONDS)
        case Kind.ONE_HOUR | Kind.TWO_HOURS:
            await member.run_with(ahead(CLOCKS[fault.kind]), fault.seconds)
        case _:
            await member.restart()
