"""Carries out faults; the faults of one target never overlap."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tests.support.chaos.kafka_proxy import ApiKey
from tests.support.chaos.plan import Fault, Kind, Target
from tests.support.chaos.stack import Stack

logger = logging.getLogger(__name__)

_PROCESSES = (Target.WORKER, Target.PROJECTOR)


class Faults:
    """Carries out the faults of a plan on a stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._locks: dict[str, asyncio.Lock] = {}
        self.done: Counter[tuple[Target, Kind]] = Counter()
        """The faults carried out so far."""

    async def all(
        self, plan: Sequence[Fault], calm: Callable[[], Coroutine[Any, Any, object]]
    ) -> None:
        """Start each fault at its time; return when all are over and their targets run again.

        Args:
            plan: in their order.
            calm: returns when what is under way has ended, or has had its time.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for fault in plan:
                    if fault.in_calm:
                        await calm()
                    await asyncio.sleep(fault.after)
                    group.create_task(self._one(fault))
        finally:
            self._stack.recorder.behave()

    async def _one(self, fault: Fault) -> None:
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
            case Target.WORKER | Target.PROJECTOR:
                return _process(fault, stack.members[hit])
            case Target.POSTGRES | Target.KAFKA:
                return self._server(fault)
            case Target.TO_POSTGRES | Target.TO_KAFKA:
                return self._path(fault)
            case Target.SESSIONIZE:
                return self._sessionize(fault)

    async def _server(self, fault: Fault) -> None:
        server = self._stack.database if fault.target is Target.POSTGRES else self._stack.kafka
        if fault.kind is Kind.PAUSE:
            await server.pause(fault.seconds)
            return
        await (server.kill() if fault.kind is Kind.KILL else server.stop())
        await asyncio.sleep(fault.seconds / 4)
        await server.start()

    async def _path(self, fault: Fault) -> None:
        stack = self._stack
        path = stack.to_database if fault.target is Target.TO_POSTGRES else stack.to_kafka
        if fault.kind is Kind.LATE:
            keys = list(ApiKey)
            await stack.to_kafka.deliver_late(
                keys[int(fault.seconds * 1000) % len(keys)], fault.seconds
            )
            return
        if fault.kind is Kind.CUT:
            path.cut()
        elif fault.kind is Kind.REFUSE:
            await path.refuse(fault.seconds)
        else:
            await path.swallow(fault.seconds)

    async def _sessionize(self, fault: Fault) -> None:
        self._stack.recorder.misbehave(fault.kind, fault.seconds, times=1 + fault.which * 3)


async def _process(fault: Fault, member: Any) -> None:
    if fault.kind is Kind.KILL:
        await member.kill()
    elif fault.kind is Kind.PAUSE:
        await member.pause(fault.seconds)
    else:
        await member.restart()
