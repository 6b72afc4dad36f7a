"""The monitor: checks every component periodically and keeps the last results."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from cli.health.component_health import ComponentHealth, Progress
from cli.health.probes import CALLER, Probe, Workload
from contracts.outage_text import describe_outage
from contracts.wording import counted
from messaging.backoff import log_failing, log_working, variable_of

logger = logging.getLogger(__name__)

_CHECK_SECONDS = 5.0
"""The timeout of one check; a slower server counts as not answering."""


class Monitor:
    """Checks the components of this process and reports liveness and readiness.

    Args:
        period_seconds: the time from one check to the next.
        stuck_seconds: a component is stuck after this time without progress while something waits.
    """

    def __init__(self, *, period_seconds: float, stuck_seconds: float) -> None:
        self._probes: list[Probe] = []
        self._period = period_seconds
        self._stuck = stuck_seconds
        self._progress: dict[str, dict[str, Progress]] = {}
        self._components: dict[str, ComponentHealth] = {}
        self._checked_at = time.monotonic()
        self._is_due = asyncio.Event()
        self._start = ComponentHealth(False, detail="begins", restart_may_help=False)

    def waits_for(self, what: str) -> None:
        """Report the reason for a wait during the start, as the component `start`."""
        self._start = self._start._replace(detail=f"waits for {what}")

    def started(self) -> None:
        """The process receives messages from now on."""
        self._start = ComponentHealth(ok=True)

    @property
    def is_started(self) -> bool:
        """Whether the process receives messages."""
        return self._start.ok

    def watch(self, probe: Probe) -> None:
        """Check a component from now on; a new probe of a known component replaces the old one."""
        self._is_due.set()
        self._probes = [known for known in self._probes if known.component != probe.component]
        self._probes.append(probe)
        self._probes.sort(key=lambda probe: not probe.is_server)
        self._progress[probe.component] = {}

    async def run(self) -> None:
        """Check all components forever."""
        while True:
            self._is_due.clear()
            self._checked_at = time.monotonic()
            away = ""
            for probe in list(self._probes):
                if away and not (probe.is_server or probe.is_apart):
                    continue
                health = (await self._check(probe))._replace(needed=probe.is_needed)
                self._components[probe.component] = health
                self._checked_at = time.monotonic()
                if probe.is_server and not health.ok:
                    away = probe.component
                    self._clear_component_faults(away)
            # Not `wait_for`: on Python 3.11 it may swallow a cancellation while the event is set.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._period):
                    await self._is_due.wait()

    def readiness(self) -> tuple[bool, Mapping[str, ComponentHealth]]:
        """Whether the process is ready for work, and the health of each component."""
        return self.is_started and self._all(lambda f: f.ok or not f.needed), self._known()

    def liveness(self) -> tuple[bool, Mapping[str, ComponentHealth]]:
        """False if a restart of this process may help, and the health of each component."""
        return self._all(lambda f: f.ok or not f.restart_may_help), self._known()

    def components(self) -> Mapping[str, ComponentHealth]:
        """The health of each component, and of the start as long as it lasts."""
        return self._known()

    def _known(self) -> dict[str, ComponentHealth]:
        """The health of each component, and of the start as long as it lasts."""
        return (
            dict(self._components)
            if self.is_started
            else {"start": self._start} | (self._components)
        )

    def _all(self, is_well: Callable[[ComponentHealth], bool]) -> bool:
        overdue = time.monotonic() - self._checked_at > 3 * self._period + 3 * _CHECK_SECONDS
        return not overdue and all(is_well(health) for health in self._components.values())

    async def _check(self, probe: Probe) -> ComponentHealth:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                workloads = await probe.look()
        except Exception as error:
            self._progress[probe.component] = {}
            detail = describe_outage(error)
            log_failing(probe.component, detail, variable=variable_of(error), operation=CALLER)
            return ComponentHealth(ok=False, detail=detail, restart_may_help=False)
        health = self._assess(probe.component, workloads)
        if health.ok:
            log_working(probe.component, operation=CALLER)
        else:
            log_failing(probe.component, health.detail, operation=CALLER)
        return health

    def _clear_component_faults(self, away: str) -> None:
        """Clear the faults of all components that are not servers: this server may be the cause."""
        for probe in self._probes:
            if not (probe.is_server or probe.is_apart):
                self._progress[probe.component] = {}
                detail = f"not checked while {away} does not answer"
                self._components[probe.component] = ComponentHealth(ok=True, detail=detail)

    def _assess(self, component: str, workloads: Sequence[Workload]) -> ComponentHealth:
        """Report the part that has made no progress for the longest time."""
        now, before = time.monotonic(), self._progress[component]
        progress = {of.part: before.get(of.part, Progress()) for of in workloads}
        self._progress[component] = progress
        behind = sum(of.behind for of in workloads)
        idle, worst = 0.0, None
        for of in workloads:
            seconds = progress[of.part].idle_seconds(now, done=of.done, behind=of.behind)
            if seconds >= idle:
                idle, worst = seconds, of
        if worst is None or idle < self._stuck:
            return ComponentHealth(ok=True, behind=behind, idle_seconds=idle)
        where = f"{worst.part}: " if worst.part else ""
        detail = f"{where}no progress for {counted(round(idle), 'second')}; waiting: {worst.behind}"
        return ComponentHealth(False, behind, idle, detail, restart_may_help=worst.is_ours)
