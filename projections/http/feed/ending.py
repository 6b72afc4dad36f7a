"""The end of a stream whose client would stay: the server stops, or the client does not read."""

from contextlib import suppress

import anyio
from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

_LAST_SECONDS = 0.1
"""A client that reads gets the end of its response in this time."""


class Ending(Response):
    """A stream that ends as soon as the server stops, even if the client does not read.

    The response is complete for a client that reads: the client connects again immediately.
    """

    def __init__(self, response: EventSourceResponse, stopping: anyio.Event) -> None:
        super().__init__()
        self._response = response
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the end of the feed, of the client or of the server."""
        is_complete = False

        async def sent(message: Message) -> None:
            nonlocal is_complete
            await send(message)
            is_complete = message["type"] == "http.response.body" and not message.get("more_body")

        async with anyio.create_task_group() as group:

            async def stop() -> None:
                await self._stopping.wait()
                group.cancel_scope.cancel()

            group.start_soon(stop)
            with suppress(SendTimeoutError):  # the client resumes from its cursor
                await self._response(scope, receive, sent)
            group.cancel_scope.cancel()
        if not is_complete:
            with anyio.move_on_after(_LAST_SECONDS):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
