"""Gathering the gauges that need queries: from time to time, in the background, bounded in time.

A scrape queries nothing: it shows the last values. A reading that fails shows no values at all, and
`spreaview_gathering_failed` is 1 until it succeeds. A reading that this role has no right to is
left out.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from aiokafka.errors import KafkaError
from prometheus_client import Metric as Family
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cli.telemetry.metrics import BY_NAME
from contracts.outage_text import describe_outage, missing_acl
from eventstore.errors import is_database_outage
from eventstore.rights import NOT_ALLOWED
from projections.generations import GenerationAccessError, NoGenerationError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_READING_SECONDS = 10.0
"""Time limit of one reading, and of opening its server."""
_FIRST_SECONDS = 3.0
"""How long a scrape waits for the first values."""
_END_SECONDS = 3.0
"""Time limit for the readings in progress when the process ends."""
_UNWANTED_SECONDS = 600.0
"""Without a scrape for this long, gathering pauses."""


class Sample(NamedTuple):
    """A value of a gathered gauge."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


class Reading(NamedTuple, Generic[T]):
    """Reads some gauges from an open server."""

    name: str
    read: Callable[[T], Awaitable[Sequence[Sample]]]


class Source(NamedTuple, Generic[T]):
    """A server, opened once for all of its readings."""

    opened: Callable[[], AbstractAsyncContextManager[T]]
    readings: Sequence[Reading[T]]
    cancels: bool = True
    """Whether a reading that takes too long is cancelled. A client of Kafka that is cancelled
    while it connects leaves the connection open: it ends by its own time limits."""


@dataclass(slots=True)
class _State:
    """The last result of a reading."""

    samples: Sequence[Sample] = ()
    gathered_at: float | None = None
    """Unix time of the last success."""
    succeeded: float = 0.0
    """The same by the monotonic clock."""
    pending: float | None = None
    """Since when the next result is waited for, by the monotonic clock."""
    failed: bool = False
    reason: str = ""

    def is_failed(self, now: float, oldest: float) -> bool:
        """Whether there is no current value: it failed, takes too long, or is too old."""
        is_late = self.pending is not None and now - self.pending > _READING_SECONDS
        is_old = self.gathered_at is not None and self.succeeded < oldest
        return self.failed or is_late or is_old


class Gatherer(Collector):
    """Gathers the readings of all sources every `period` seconds while somebody scrapes."""

    def __init__(self, sources: Sequence[Source[Any]], *, period: float) -> None:
        self._sources = sources
        self._period = period
        self._states = {reading.name: _State() for source in sources for reading in source.readings}
        self._last_scrape = -math.inf
        self._wanted = asyncio.Event()
        """Set by a scrape, and by the end."""
        self._ending = asyncio.Event()
        self._first_rounds = [asyncio.Event() for _ in sources]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Gather while the block runs. At its end, the readings in progress get some seconds."""
        tasks = [asyncio.create_task(self._run(n)) for n in range(len(self._sources))]
        try:
            yield
        finally:
            self._ending.set()
            self._wanted.set()
            await asyncio.wait(tasks, timeout=_END_SECONDS)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def scraped(self) -> None:
        """Begin to gather, or continue; wait for the first values, a few seconds at most."""
        self._last_scrape = time.monotonic()
        self._wanted.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_SECONDS):
                for first_round in self._first_rounds:
                    await first_round.wait()

    def collect(self) -> Iterator[Family]:
        """Yield the current families; values that are too old count as failed."""
        families: dict[str, GaugeMetricFamily] = {}

        def add(name: str, value: float, labels: Sequence[str]) -> None:
            metric = BY_NAME[name]
            family = families.setdefault(
                name, GaugeMetricFamily(name, metric.text, labels=metric.labels)
            )
            family.add_metric(labels, value)

        now = time.monotonic()
        oldest = now - 3 * self._period - 2 * _READING_SECONDS
        for name, state in self._states.items():
            failed = state.is_failed(now, oldest)
            if failed or state.gathered_at is not None:
                add("spreaview_gathering_failed", failed, (name,))
            if state.gathered_at is not None:
                add("spreaview_gathering_timestamp_seconds", state.gathered_at, (name,))
            for sample in () if failed else state.samples:
                add(sample.name, sample.value, sample.labels)
        yield from families.values()

    async def _run(self, number: int) -> None:
        """Gather one source, again and again, until the end."""
        first_round = self._first_rounds[number]
        while not self._ending.is_set():
            if time.monotonic() - self._last_scrape > _UNWANTED_SECONDS:
                first_round.clear()
                self._wanted.clear()
            await self._wanted.wait()
            if self._ending.is_set():
                return
            await self._gather(self._sources[number])
            first_round.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._period):
                    await self._ending.wait()

    async def _gather(self, source: Source[Any]) -> None:
        left = list(source.readings)
        for reading in left:
            self._states[reading.name].pending = time.monotonic()
        try:
            async with _opened(source) as opened:
                while left:
                    reading = left.pop(0)
                    self._states[reading.name].pending = time.monotonic()
                    try:
                        async with _limit(source):
                            self._succeeded(reading.name, await reading.read(opened))
                    except Exception as error:
                        self._failed(reading.name, error)
        except Exception as error:
            for reading in left:
                self._failed(reading.name, error)

    def _succeeded(self, name: str, samples: Sequence[Sample]) -> None:
        self._states[name] = _State(samples, time.time(), time.monotonic())

    def _failed(self, name: str, error: Exception) -> None:
        state = self._states[name]
        reason = describe_outage(error)
        if _is_refused(error):
            if state.reason != reason:
                logger.info("the metrics of %s are left out: %s", name, reason)
            self._states[name] = _State(reason=reason)
            return
        if not state.failed and not _may_pass(error):
            logger.error("the metrics of %s cannot be gathered", name, exc_info=error)
        state.samples, state.failed, state.reason = (), True, reason


def _limit(source: Source[Any]) -> asyncio.Timeout:
    return asyncio.timeout(_READING_SECONDS if source.cancels else None)


@asynccontextmanager
async def _opened(source: Source[T]) -> AsyncIterator[T]:
    """Open a server; give up after a while, if it can be cancelled."""
    async with AsyncExitStack() as stack:
        async with _limit(source):
            opened = await stack.enter_async_context(source.opened())
        yield opened


def _is_refused(error: Exception) -> bool:
    """Whether this role lacks a right. Another process may have it."""
    sqlstate = getattr(getattr(error, "orig", None), "sqlstate", None)
    is_refused = sqlstate == NOT_ALLOWED or isinstance(error, GenerationAccessError)
    return is_refused or missing_acl(error) is not None


def _may_pass(error: Exception) -> bool:
    return is_database_outage(error) or isinstance(error, KafkaError | NoGenerationError)
