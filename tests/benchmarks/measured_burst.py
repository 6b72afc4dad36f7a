"""A burst of first imports, and what it takes: time, processor time by process, and memory."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID, uuid4

from tests.benchmarks.harness import Stopwatch
from tests.benchmarks.line import Line

_LOOK_SECONDS = 0.25


class Burst(NamedTuple):
    """The measures of one burst."""

    syncs: int
    seconds: float
    """Until all rows are visible."""
    cpu: Mapping[str, float]
    """Processor time by service, server and load."""
    memory: Mapping[str, float]
    """Most resident memory of each service, in MiB."""


async def measured_burst(
    running: Line, api_ids: Sequence[str], events: Sequence[UUID] | None = None
) -> Burst:
    """Request one sync per API ID at once, of new SpreaView events unless they are given."""
    peaks = running.memory_mib()

    async def watch() -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for role, mib in running.memory_mib().items():
                peaks[role] = max(peaks[role], mib)

    watching = asyncio.create_task(watch())
    before = running.cpu_seconds()
    with Stopwatch() as taken:
        await running.sync(api_ids, events or [uuid4() for _ in api_ids])
    watching.cancel()
    after = running.cpu_seconds()
    cpu = {part: after[part] - before[part] for part in after}
    return Burst(len(api_ids), taken.seconds, cpu, peaks)


def shown_parts(burst: Burst) -> str:
    """Return the seconds and the processor time per sync, for a line on screen."""
    parts = ", ".join(f"{part} {1000 * cpu / burst.syncs:.1f}" for part, cpu in burst.cpu.items())
    memory = ", ".join(f"{role} {mib:.0f} MiB" for role, mib in burst.memory.items())
    return f"{burst.seconds:.1f} s; ms of processor per sync: {parts}; {memory}"
