"""Observing the HTTP side: durations by route, and a server span for each request.

A request for a sync is linked to the trace of that sync, which began with its publisher.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import parse_qs
from uuid import UUID

from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cli.telemetry.observing import ProcessObserver, ended, status_class
from cli.telemetry.tracing import context_of, remote, unrecorded
from messaging.cloudevents import TRACEPARENT

_UNOBSERVED = frozenset({"/live", "/ready", "/metrics"})
_LINK_SECONDS = 1.0
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ObservedHttp:
    """An ASGI application that observes another one.

    Args:
        traceparent_of: returns the `traceparent` that the outcome of a sync has, if any.
    """

    def __init__(
        self,
        app: ASGIApp,
        observer: ProcessObserver,
        traceparent_of: Callable[[UUID], Awaitable[str | None]],
    ) -> None:
        self._app = app
        self._observer = observer
        self._traceparent_of = traceparent_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] in _UNOBSERVED:
            await self._app(scope, receive, send)
            return
        began, status, is_stream = time.monotonic(), 500, False

        async def observed(message: Message) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                status = message["status"]
                is_stream = any(
                    name == b"content-type" and value.startswith(b"text/event-stream")
                    for name, value in message["headers"]
                )
                if is_stream:  # it is open for hours
                    await self._finish(span, scope, status)
            await send(message)

        span = self._span(scope)
        try:
            with ended(span, end=False):
                await self._app(scope, receive, observed)
        finally:
            if not is_stream:
                seconds = time.monotonic() - began
                labels = (_route(scope), status_class(status))
                self._observer.metrics.http_seconds.labels(*labels).observe(seconds)
                await self._finish(span, scope, status)

    def _span(self, scope: Scope) -> Span:
        headers = dict(scope["headers"])
        parent = context_of(headers.get(TRACEPARENT.encode(), b"").decode("latin-1"))
        if not self._observer.is_tracing:
            return unrecorded(parent)
        method = _method(scope)
        attributes = {"http.request.method": method, "url.scheme": scope["scheme"]}
        return self._observer.tracer.start_span(
            method, context=parent, kind=SpanKind.SERVER, attributes=attributes
        )

    async def _finish(self, span: Span, scope: Scope, status: int) -> None:
        if not span.is_recording():
            return
        route = _route(scope)
        span.update_name(f"{_method(scope)} {route}")
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        if status == 200 and (sync_id := _sync_of(scope)) is not None:
            with suppress(Exception):  # the answer is right without the link
                async with asyncio.timeout(_LINK_SECONDS):
                    context = context_of(await self._traceparent_of(sync_id))
                if context is not None:
                    span.add_link(remote(context), {"spreaview.sync_id": str(sync_id)})
        span.end()


def _method(scope: Scope) -> str:
    """Return a known method, or `_OTHER` as the HTTP conventions have it."""
    return scope["method"] if scope["method"] in _METHODS else "_OTHER"


def _route(scope: Scope) -> str:
    """Return the template of the path, so that no id becomes a label."""
    return getattr(scope.get("route"), "path", None) or "unknown"


def _sync_of(scope: Scope) -> UUID | None:
    """Return the sync that the request asks for or waits for."""
    asked = scope.get("path_params", {}).get("sync_id")
    if asked is None:
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("wait_for_sync", [None])[-1]
    try:
        return None if asked is None else UUID(str(asked))
    except ValueError:
        return None
