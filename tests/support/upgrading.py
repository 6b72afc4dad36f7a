"""An upgrade under load: the processes of 0.1.0 are replaced by those of this version."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support.chaos.judge import judge
from tests.support.chaos.load import Load, load
from tests.support.chaos.oracle.log import Event
from tests.support.chaos.oracle.report import Findings
from tests.support.chaos.oracle.views import Watcher
from tests.support.chaos.settled import begun, collect, settle
from tests.support.chaos.stack import Stack, migrate, running, servers
from tests.support.chaos.world import World
from tests.support.frozen import PROGRAM, unpacked
from tests.support.processes import ROOT

EARLIER = "0.1.0"
OURS = {"PYTHONPATH": str(ROOT)}
"""The variable by which `PROGRAM` is this version."""

_FIRST = 5
"""Requests before the first step."""
_WAITS_SECONDS = 60.0


class UpgradeSize(NamedTuple):
    """Size of an upgrade."""

    requests: int
    events: int
    """SpreaView events."""
    each: int
    """Processes of a role."""
    rest_seconds: float
    """Time under load between two steps."""
    settle_seconds: float


class Upgraded(NamedTuple):
    """The outcome of an upgrade under load."""

    findings: Findings
    completed: int
    requests: int
    settled: bool
    refused: str
    """The text with which a process of the earlier version ends on the migrated database."""
    versions: Counter[str]
    """The number of runs by the version of the worker that began them."""
    seconds: float


async def upgrade(seed: int, size: UpgradeSize, folder: Path) -> Upgraded:
    """Upgrade under load: one worker is replaced too early and waits, then migrate, then the rest.

    Skips or fails where there is no Kafka.
    """
    began = time.monotonic()
    earlier = unpacked(EARLIER, folder)
    async with (
        servers(folder) as under,
        running(under, folder, version=earlier, each=size.each, apis=()) as stack,
    ):
        world = World(seed, size.events)
        watcher = Watcher(stack.database.url, [event.event_id for event in world.events])
        watching = asyncio.create_task(watcher.run())
        try:
            async with load(world, stack, seed) as publishing:
                publishing.publish(_FIRST)
                await begun(stack)
                refused = await _replace_all(stack, publishing, size)
                settled = await settle(stack, publishing, size.settle_seconds)
            await asyncio.gather(*(member.close() for member in stack.members.values()))
            evidence = await collect(stack, [event.event_id for event in world.events])
            assert not watching.done(), watching.result()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        findings = judge(publishing.published, stack.recorder.served, watcher.seen, evidence)
        for member in stack.members.values():
            ends = [*member.bad_ends, *(f"ended with {code}" for code in member.ended_by_itself)]
            findings.add("crashed", *(f"{member.name} {e}; see {member.log_path}" for e in ends))
        return Upgraded(
            findings,
            sum(event.type == "SyncCompleted" for event in evidence.log.events),
            len(publishing.published),
            settled,
            refused,
            _versions(evidence.log.events),
            time.monotonic() - began,
        )


async def _replace_all(stack: Stack, publishing: Load, size: UpgradeSize) -> str:
    """Replace every process under load. Returns how the earlier version refuses afterwards."""
    early, *others = stack.members.values()
    steps = 2 + len(others)
    async with asyncio.TaskGroup() as group:
        group.create_task(publishing.spread(size.requests - _FIRST, steps * size.rest_seconds))
        await early.update(OURS)
        await _logged(early.log_path, "run: spreaview-sync migrate")
        await migrate(stack.env | OURS, PROGRAM)
        for member in others:
            await asyncio.sleep(size.rest_seconds)
            await member.update(OURS)
        return await _refusal(stack.env)


async def _logged(path: Path, text: str) -> None:
    async with asyncio.timeout(_WAITS_SECONDS):
        while text not in path.read_text("utf-8", "replace"):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.05)


async def _refusal(env: Mapping[str, str]) -> str:
    """Start a projector of the earlier version; returns what it prints before it ends."""
    process = await asyncio.create_subprocess_exec(
        *(*PROGRAM, "projector"),
        env=os.environ | dict(env),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(_WAITS_SECONDS):
        _, said = await process.communicate()
    return f"{process.returncode}: {said.decode().strip().splitlines()[-1]}"


def _versions(events: Iterable[Event]) -> Counter[str]:
    started = (event.data for event in events if event.type == "SyncStarted")
    return Counter(str(data["worker_version"]) for data in started)
