"""Keeps the HTTP side from serving a log that was restored without its erasures."""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send

from projections.http.problem import ProblemError, ProblemType

_LOOK_SECONDS = 5.0
_ALWAYS = frozenset({"/live", "/ready", "/metrics"})
"""Paths that report on the process itself."""


class RestoredGate:
    """Answers 503 with the remedy while there is a reason; the reason is at most five seconds old.

    `reason` may raise if PostgreSQL does not answer. Then the last known reason counts.
    """

    def __init__(self, app: ASGIApp, reason: Callable[[], Awaitable[str | None]]) -> None:
        self._app = app
        self._read = reason
        self._next_look = 0.0
        self._reason: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in _ALWAYS:
            await self._app(scope, receive, send)
            return
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_SECONDS  # one request looks for all
            with suppress(Exception):  # the application meets the same fault, and names it
                self._reason = await self._read()
        if self._reason is None:
            await self._app(scope, receive, send)
            return
        refusal = ProblemError(
            ProblemType.UNAVAILABLE, self._reason, headers={"Retry-After": "60"}
        ).response()
        await refusal(scope, receive, send)
