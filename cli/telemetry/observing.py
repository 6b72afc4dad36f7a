"""The observer of a process: it measures blocks of work, and makes their spans.

Spans hold names, numbers and ids, and never the text of an error: it may quote personal data.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    use_span,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.telemetry.metrics import COMPLETED, Metrics
from cli.telemetry.tracing import context_of, traceparent_of, unrecorded
from contracts.events import SyncCompleted, SyncFailed
from contracts.topics import IMPORT_EVENTS
from eventstore.log import EventLog
from eventstore.model import Appended, Commit
from messaging.observer import Batch, Phase
from messaging.raw_record import RawRecord

_KINDS = {"send": SpanKind.PRODUCER, "process": SpanKind.CONSUMER}


class ProcessObserver:
    """Observes the work of one process. It implements `messaging.observer.Observer`."""

    def __init__(self, metrics: Metrics, tracer: Tracer, *, is_tracing: bool) -> None:
        self.metrics = metrics
        self.tracer = tracer
        self.is_tracing = is_tracing

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
        """Observe the processing of one record as a span of the publisher's trace."""
        self.metrics.phase_seconds.labels("queue").observe(time.monotonic() - received)
        parent = context_of(traceparent)
        if self.is_tracing:
            span = self.tracer.start_span(
                f"process {record.topic}",
                context=parent,
                kind=SpanKind.CONSUMER,
                attributes={
                    **messaging_attributes("process", record.topic),
                    "messaging.consumer.group.name": group,
                    "messaging.destination.partition.id": str(record.partition),
                    "messaging.kafka.offset": record.offset,
                    **about,
                },
            )
        else:
            span = unrecorded(parent)
        if span.is_recording():
            traceparent = traceparent_of(span)
        with ended(span):
            yield traceparent
        self.metrics.sync_seconds.observe(time.monotonic() - received)

    @contextmanager
    def sending(self, topic: str) -> Iterator[str | None]:
        """Observe the publishing of a message; yields the `traceparent` to send with it."""
        if not self.is_tracing:
            yield traceparent_of(get_current_span())
            return
        with sending(self.tracer, topic) as traceparent:
            yield traceparent

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Observe a phase, as a child of the current span."""
        began = time.monotonic()
        try:
            if self.is_tracing:
                with ended(self.tracer.start_span(name)):
                    yield
            else:
                yield
        finally:
            self.metrics.phase_seconds.labels(name).observe(time.monotonic() - began)

    @contextmanager
    def upstream(self) -> Iterator[None]:
        """Observe an attempt to fetch. The URL is left out: it holds the API ID."""
        began = time.monotonic()
        attributes = {"http.request.method": "GET", "url.template": "/{api_id}/view/All"}
        status: int | None = 200  # an answer 304 is one, too: the body is known
        span = None
        if self.is_tracing:
            span = self.tracer.start_span("GET", kind=SpanKind.CLIENT, attributes=attributes)
        try:
            if span is None:
                yield
            else:
                with ended(span, end=False):
                    yield
        except BaseException as error:
            status = getattr(error, "http_status", None)
            raise
        finally:
            labelled = self.metrics.upstream_seconds.labels(status_class(status))
            labelled.observe(time.monotonic() - began)
            if span is not None:
                if status is not None:
                    span.set_attribute("http.response.status_code", status)
                span.end()

    @contextmanager
    def batch(self, operation: Batch, traceparents: Iterable[object]) -> Iterator[None]:
        """Observe a batch: one span in each trace of its events."""
        if not self.is_tracing:
            yield
            return
        began, failed = time.time_ns(), True
        try:
            yield
            failed = False
        finally:
            for traceparent in dict.fromkeys(traceparents):
                if (parent := context_of(traceparent)) is not None:
                    span = self.tracer.start_span(
                        f"{operation} {IMPORT_EVENTS}",
                        context=parent,
                        kind=_KINDS[operation],
                        attributes=messaging_attributes(operation, IMPORT_EVENTS),
                        start_time=began,
                    )
                    if failed:
                        span.set_status(Status(StatusCode.ERROR))
                    span.end()

    def appended(self, commit: Commit) -> None:
        """Count the outcome of a run, if the commit has one."""
        match commit.events[-1].event if commit.events else None:
            case SyncCompleted():
                self.metrics.outcomes.labels(COMPLETED).inc()
            case SyncFailed(code=code):
                self.metrics.outcomes.labels(code).inc()


class ObservedLog(EventLog):
    """A log that reports each outcome that this process appends."""

    def __init__(self, engine: AsyncEngine, observer: ProcessObserver) -> None:
        super().__init__(engine)
        self._observer = observer

    async def append(self, commit: Commit) -> Appended:
        """Append as `EventLog`, and report it afterwards."""
        appended = await super().append(commit)
        self._observer.appended(commit)
        return appended


@contextmanager
def sending(tracer: Tracer, topic: str) -> Iterator[str | None]:
    """Observe the publishing of a message as a span; yields the `traceparent` to send with it."""
    attributes = messaging_attributes("send", topic)
    span = tracer.start_span(f"send {topic}", kind=SpanKind.PRODUCER, attributes=attributes)
    with ended(span):
        yield traceparent_of(span)


@contextmanager
def ended(span: Span, *, end: bool = True) -> Iterator[None]:
    """Make a span the current one while the block runs; an error ends it without its text."""
    with use_span(span, end_on_exit=end, record_exception=False, set_status_on_exception=False):
        try:
            yield
        except BaseException as error:
            if span.is_recording():  # not a live feed, whose span has ended
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(Status(StatusCode.ERROR))
            raise


def messaging_attributes(operation: str, topic: str) -> dict[str, str | int | Sequence[str]]:
    """Return the attributes that the messaging conventions ask for."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
    }


def status_class(status: int | None) -> str:
    """Return `2xx` and so on; `none` without an answer."""
    return "none" if status is None or not 200 <= status < 600 else f"{status // 100}xx"
