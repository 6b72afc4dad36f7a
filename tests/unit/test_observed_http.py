"""Requests are measured by their route, and a live feed only by its start."""

import asyncio
import logging
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cli.telemetry.http import ObservedHttp
from cli.telemetry.metrics import Metrics
from cli.telemetry.observing import ProcessObserver

pytestmark = pytest.mark.asyncio

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


async def one(_: Request) -> Response:
    return PlainTextResponse("one")


async def fault(_: Request) -> Response:
    raise RuntimeError("Ada Example")


async def feed(_: Request) -> Response:
    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        await asyncio.Event().wait()

    return StreamingResponse(events(), media_type="text/event-stream")


class Side:
    """An observed application."""

    def __init__(self, *, is_tracing: bool = True) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        tracer = provider.get_tracer("test") if is_tracing else NoOpTracer()
        self.metrics = Metrics("1.0", "api")
        observer = ProcessObserver(self.metrics, tracer, is_tracing=is_tracing)
        routes = [
            Route("/syncs/{sync_id}", one),
            Route("/fault", fault),
            Route("/feed", feed),
            Route("/metrics", one),
        ]
        self.app = ObservedHttp(Starlette(routes=routes), observer, self.traceparent_of)
        self.traceparent: str | None = None

    async def traceparent_of(self, _: UUID) -> str | None:
        return self.traceparent

    async def ask(self, path: str, method: str = "GET", **headers: str) -> int:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://side") as client:
            return (await client.request(method, path, headers=headers)).status_code

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def measured(self) -> set[tuple[str, ...]]:
        """The labels of the requests that were measured."""
        return {
            tuple(sample.labels.values())
            for family in self.metrics.http_seconds.collect()
            for sample in family.samples
            if sample.name.endswith("_count")
        }


async def test_the_route_is_the_label_and_not_the_path() -> None:
    side = Side()
    assert await side.ask(f"/syncs/{uuid4()}") == 200
    assert await side.ask("/nowhere") == 404
    assert await side.ask("/syncs/1", "BREW") == 405
    await side.ask("/metrics")
    assert side.measured() == {
        ("/syncs/{sync_id}", "2xx"),
        ("/syncs/{sync_id}", "4xx"),
        ("unknown", "4xx"),
    }
    assert [span.name for span in side.spans] == [
        "GET /syncs/{sync_id}",
        "GET unknown",
        "_OTHER /syncs/{sync_id}",
    ]


async def test_a_fault_is_counted_and_its_text_is_not_exported() -> None:
    side = Side()
    assert await side.ask("/fault") == 500
    assert side.measured() == {("/fault", "5xx")}
    (span,) = side.spans
    assert not span.status.is_ok
    assert span.attributes is not None
    assert span.attributes["error.type"] == "RuntimeError"
    assert "Ada" not in span.to_json()


async def test_a_query_is_linked_to_its_sync() -> None:
    side = Side()
    side.traceparent = TRACEPARENT
    await side.ask(f"/syncs/{uuid4()}")
    await side.ask("/syncs/not-an-id")
    linked, not_linked = side.spans
    assert [format(link.context.trace_id, "032x") for link in linked.links] == [TRACE]
    assert not not_linked.links


async def test_the_trace_of_the_caller_continues() -> None:
    side = Side()
    await side.ask(f"/syncs/{uuid4()}", traceparent=TRACEPARENT)
    await side.ask(f"/syncs/{uuid4()}", traceparent="00-nonsense")
    continued, begun = side.spans
    assert continued.parent is not None
    assert format(continued.parent.span_id, "016x") == PARENT
    assert begun.parent is None


async def test_without_traces_requests_are_measured_alone() -> None:
    side = Side(is_tracing=False)
    assert await side.ask(f"/syncs/{uuid4()}", traceparent=TRACEPARENT) == 200
    assert side.measured() == {("/syncs/{sync_id}", "2xx")}
    assert side.spans == []


async def test_a_live_feed_ends_its_span_when_it_begins(
    caplog: pytest.LogCaptureFixture,
) -> None:
    side, begun = Side(), asyncio.Event()
    scope = {"type": "http", "method": "GET", "path": "/feed", "headers": [], "scheme": "http"}

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.body":
            begun.set()

    with caplog.at_level(logging.WARNING):
        feeding = asyncio.create_task(
            side.app(scope | {"query_string": b"", "root_path": ""}, receive, send)  # type: ignore[arg-type]
        )
        await begun.wait()
        (span,) = side.spans
        assert span.name == "GET /feed"
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
    assert side.measured() == set()
    assert caplog.records == []
