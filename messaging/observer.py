"""Observing the work of consumers, relay and projector: durations and traces.

The program that wires them passes an observer down. These modules know neither a metrics library
nor a tracer, and by default nobody observes.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, Protocol, TypeAlias

from messaging.raw_record import RawRecord

Phase: TypeAlias = Literal["load", "fetch", "decide", "append"]
"""A part of a sync that takes time."""
Batch: TypeAlias = Literal["send", "process"]
"""The work on events that are handled together: publishing, or applying to the read models."""


class Observer(Protocol):
    """Observes blocks of work. No method raises, and errors of a block pass through."""

    def processing(
        self,
        record: RawRecord,
        *,
        group: str,
        received: float,
        traceparent: str | None,
        about: Mapping[str, str],
    ) -> AbstractContextManager[str | None]:
        """Observe the processing of one record, from its start to its outcome.

        Yields the `traceparent` to store with the outcome, or None. `received` is a time of the
        monotonic clock, and `about` has the ids of the run.
        """

    def phase(self, name: Phase) -> AbstractContextManager[None]:
        """Observe a phase of the sync that is processed."""

    def upstream(self) -> AbstractContextManager[None]:
        """Observe one attempt to fetch from Sessionize; it failed if the block raises."""

    def batch(
        self, operation: Batch, traceparents: Iterable[object]
    ) -> AbstractContextManager[None]:
        """Observe work on a batch of events, given the `traceparent` of each, or None."""


class Unobserved:
    """An observer that does nothing."""

    @contextmanager
    def processing(
        self,
        record: RawRecord,
        *,
        group: str,
        received: float,
        traceparent: str | None,
        about: Mapping[str, str],
    ) -> Iterator[str | None]:
        """Yield the traceparent of the record."""
        yield traceparent

    def phase(self, name: Phase) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def upstream(self) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def batch(
        self,
        operation: Batch,
        traceparents: Iterable[object],
    ) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()


UNOBSERVED = Unobserved()
