"""A receiver of traces: it speaks OTLP over HTTP, as a collector does."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cli.http_server import serving_http


class ReceivedSpan(NamedTuple):
    """A span as it was exported."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    attributes: Mapping[str, object]
    links: tuple[tuple[str, str], ...]
    """Trace id and span id of each."""
    is_error: bool
    start: int
    """Nanoseconds of Unix time."""
    end: int
    resource: Mapping[str, object]


@dataclass
class Collector:
    """The spans received so far."""

    url: str
    spans: list[ReceivedSpan] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    """The exports, byte for byte."""

    def of_trace(self, trace_id: str) -> list[ReceivedSpan]:
        """The spans of one trace, in the order of their starts."""
        found = [span for span in self.spans if span.trace_id == trace_id]
        return sorted(found, key=lambda span: (span.start, -span.end))

    def take(self, body: bytes) -> None:
        """Add the spans of one export."""
        self.bodies.append(body)
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _attributes(of_resource.resource.attributes)
            for scope in of_resource.scope_spans:
                self.spans += [_span(each, resource) for each in scope.spans]


@asynccontextmanager
async def otlp_collector() -> AsyncIterator[Collector]:
    """Receive traces while the block runs."""

    async def receive(request: Request) -> Response:
        collector.take(await request.body())
        return Response(
            ExportTraceServiceResponse().SerializeToString(), media_type="application/x-protobuf"
        )

    collector = Collector("")
    app = Starlette(routes=[Route("/v1/traces", receive, methods=["POST"])])
    async with serving_http(app, "127.0.0.1") as port:
        collector.url = f"http://127.0.0.1:{port}"
        yield collector


def _span(span: Any, resource: Mapping[str, object]) -> ReceivedSpan:
    return ReceivedSpan(
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        _attributes(span.attributes),
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        span.status.code == 2,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        resource,
    )


def _attributes(pairs: Any) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
