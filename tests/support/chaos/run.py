"""One run: start the stack, carry out the faults, let it settle, and check the results."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.support.chaos.faults import Faults
from tests.support.chaos.judge import judge
from tests.support.chaos.load import Load, load
from tests.support.chaos.oracle.judge_clients import judge_answers, judge_order
from tests.support.chaos.oracle.judge_health import judge_health
from tests.support.chaos.oracle.report import Findings, Report
from tests.support.chaos.oracle.views import Watcher
from tests.support.chaos.plan import Fault, Target, duration, plan
from tests.support.chaos.readers import reading
from tests.support.chaos.settled import Evidence, begun, collect, rest, settle, the_log
from tests.support.chaos.stack import Stack, running, servers
from tests.support.chaos.world import World

_FIRST = 5
"""Requests before the first fault."""


_READY_SECONDS = 60.0
"""Time limit for every process to be ready, when no work is left."""


class Size(NamedTuple):
    """Size of a run."""

    faults: int
    requests: int
    events: int
    """Number of SpreaView events."""
    feeds: int = 5
    """Clients of the feed at each HTTP side; one more never reads."""
    readers: int = 3
    """Readers of schedules at each HTTP side."""
    settle_seconds: float = 60.0
    """Work that has not ended this many seconds after the last fault counts as unended."""


async def run(seed: int, size: Size, folder: Path) -> Report:
    """Run chaos; skips or fails where there is no Kafka.

    Args:
        seed: decides what is asked, and what happens when. Processes have their own pace.
        size: how much.
        folder: an existing folder for data and logs.
    """
    async with servers(folder) as under, running(under, folder) as stack:
        return await befall(stack, seed, size, plan(seed, size.faults))


async def befall(stack: Stack, seed: int, size: Size, wanted: Sequence[Fault]) -> Report:
    """Run chaos on a running stack; its processes are ended before the check."""
    began = time.monotonic()
    world = World(seed, size.events)
    watcher = Watcher(stack.database.url, [event.event_id for event in world.events])
    watching = asyncio.create_task(watcher.run())
    try:
        async with (
            load(world, stack, seed) as publishing,
            reading(stack, publishing, watcher, readers=size.readers, feeds=size.feeds) as readers,
        ):
            faults = Faults(stack, publishing.publish)
            publishing.publish(_FIRST)
            await begun(stack)
            async with asyncio.TaskGroup() as group:
                group.create_task(publishing.spread(size.requests - _FIRST, duration(wanted)))
                group.create_task(faults.all(wanted, partial(rest, stack, publishing)))
            calm = time.monotonic()
            settled = await settle(stack, publishing, size.settle_seconds)
            settled_after = time.monotonic() - calm
            unready = await stack.health.unready(_READY_SECONDS)
            clients = Findings()
            if settled:
                await readers.received(await the_log(stack), clients)
        evidence = await _in_peace(stack, world)
        assert not watching.done(), watching.result()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    findings = judge(publishing.published, stack.recorder.served, watcher.seen, evidence)
    findings.take(faults.findings)
    findings.take(clients)
    judge_answers(readers.answers, evidence.log, findings)
    judge_order(watcher.seen, findings)
    findings.add("misreported", *unready)
    judge_health(stack.health.answers, faults.outages, findings)
    for member in stack.members.values():
        for code in member.ended_by_itself:
            findings.add("crashed", f"{member.name} ended with {code}; see {member.log_path}")
        findings.add("crashed", *(f"{member.name} {end}" for end in member.bad_ends))
    return Report(
        seed,
        _counted(faults),
        findings,
        _numbers(publishing, evidence, stack, watcher)
        | {
            "schedules read": len(readers.answers),
            "deliveries of the feed": sum(each.deliveries for each in readers.feed_reports),
            "connections of the feed": sum(each.connections for each in readers.feed_reports),
            "settled": settled,
            "seconds to settle": round(settled_after, 1),
            "seconds": round(time.monotonic() - began, 1),
        },
        faults.left_out.total(),
        _notes(faults, stack),
    )


async def _in_peace(stack: Stack, world: World) -> Evidence:
    """Return the evidence, after the end of all processes that could change it."""
    await asyncio.gather(*(member.close() for member in stack.members.values()))
    return await collect(stack, [event.event_id for event in world.events])


def _counted(faults: Faults) -> Counter[tuple[str, str]]:
    return Counter({(t.value, k.value): number for (t, k), number in faults.done.items()})


def _notes(faults: Faults, stack: Stack) -> list[str]:
    left_out = [f"left out {n} times: {reason}" for reason, n in sorted(faults.left_out.items())]
    is_filled = any(target is Target.DISK for target, _ in faults.done)
    return [*([stack.disk.note] if is_filled else []), *left_out]


def _numbers(
    publishing: Load, evidence: Evidence, stack: Stack, watcher: Watcher
) -> dict[str, int | float]:
    ends = Counter(event.type for event in evidence.log.events)
    return {
        "requests": len(publishing.published),
        "records of requests": sum(len(one.places) for one in publishing.published),
        "events": len(evidence.log.events),
        "runs completed": ends["SyncCompleted"],
        "runs failed": ends["SyncFailed"],
        "events of broken transactions": len(evidence.uncommitted.records)
        - len(evidence.committed.records),
        "runs resumed": _said(stack, "is resumed"),
        "runs found ended": _said(stack, "has an outcome already"),
        "documents served": len(stack.recorder.served),
        "looks at the read models": watcher.looks,
        "different things seen": len(watcher.seen),
        "answers about health": len(stack.health.answers),
    }


def _said(stack: Stack, what: str) -> int:
    """Return how often the text is in the output of the processes."""
    return sum(m.log_path.read_text("utf-8", "replace").count(what) for m in stack.members.values())
