"""Traces: exported by OTLP over HTTP if an endpoint is set, else not made.

The variables are OpenTelemetry's own: `OTEL_EXPORTER_OTLP_ENDPOINT` switches traces on, and the
others (headers, sampler, service name, resource) apply as its specification has them.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from messaging.backoff import log_failing, log_working
from messaging.cloudevents import TRACEPARENT

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NAME = "spreaview-sync"
_EXPORTING = "exporting traces"
_END_SECONDS = 3.0
"""Time limit for the last export when the process ends."""
_W3C = TraceContextTextMapPropagator()


def is_on() -> bool:
    """Whether the environment asks for traces."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if os.environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "none":
        return False
    return any(os.environ.get(name, "").strip() for name in ENDPOINTS)


@asynccontextmanager
async def tracing(version: str, role: str) -> AsyncIterator[Tracer]:
    """Yield the tracer of this process; its last spans are exported at the end of the block.

    Without an endpoint the tracer makes no spans, and the SDK is not imported.
    """
    if not is_on():
        yield trace.NoOpTracer()
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    about = {"service.version": version, "spreaview.role": role}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        about["service.name"] = _NAME
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_reporting(OTLPSpanExporter())))
    try:
        yield provider.get_tracer(_NAME, version)
    finally:
        await _ended(provider.shutdown)


async def _ended(shut_down: Callable[[], None]) -> None:
    """Export the last spans, within a few seconds even if the collector does not answer.

    In a daemon thread: the end of the process would wait for a thread of the default executor.
    """
    loop, has_ended = asyncio.get_running_loop(), asyncio.Event()

    def work() -> None:
        shut_down()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(has_ended.set)

    threading.Thread(target=work, name="last traces", daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(_END_SECONDS):
            await has_ended.wait()


def _reporting(exporter: "SpanExporter") -> "SpanExporter":
    """Log once when exports fail and once when they work again: the SDK logs each failure."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Reporting(SpanExporter):
        def export(self, spans: "Sequence[ReadableSpan]") -> "SpanExportResult":
            result = exporter.export(spans)
            if result is SpanExportResult.SUCCESS:
                log_working(_EXPORTING)
            else:
                reason = f"the collector at {ENDPOINTS[0]} takes no spans; they are lost"
                log_failing(_EXPORTING, reason, variable=ENDPOINTS[0])
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

    return Reporting()


def context_of(traceparent: object) -> Context | None:
    """Return the context of a `traceparent`; None if there is none, or it is not one."""
    if not isinstance(traceparent, str):
        return None
    context = _W3C.extract({TRACEPARENT: traceparent}, Context())
    return context if trace.get_current_span(context).get_span_context().is_valid else None


def traceparent_of(span: Span) -> str | None:
    """Return the `traceparent` of a span; None if the span is of no trace."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get(TRACEPARENT)


def remote(context: Context) -> SpanContext:
    """Return the span that a context from `context_of` names."""
    return trace.get_current_span(context).get_span_context()


def unrecorded(context: Context | None) -> Span:
    """Return a span that only hands its trace on."""
    return trace.INVALID_SPAN if context is None else NonRecordingSpan(remote(context))
