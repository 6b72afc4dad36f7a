"""The tests' double of Sessionize: an HTTP/1.1 server on 127.0.0.1 that can break the protocol.

It answers `GET /api/v2/{apiId}/view/All` and records every request. Each answer can have its own
fault: see `Delivery`. It writes raw HTTP, because a complete server never sends a wrong length.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import NamedTuple

import h11

from cli.sandbox.answers import JSON
from tests.support.sessionize.answers import AT_ONCE, Answer, Delivery, Documents, Ending, page

logger = logging.getLogger(__name__)

_READ_BYTES = 64 * 1024
_REMEMBERED = 10_000


class Request(NamedTuple):
    """A request as it was received."""

    method: str
    path: str
    """Includes the query."""
    headers: Mapping[str, str]
    """Names in lower case; repeated headers are joined by a comma."""


class Double:
    """A running server, created by `sessionize_double`."""

    def __init__(self, documents: Documents, port: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}/api/v2"
        self.documents = documents
        self.requests: deque[Request] = deque(maxlen=_REMEMBERED)
        """The last 10,000 complete requests, in the order of arrival."""
        self.connections = 0
        """The number of accepted connections, with or without a request."""

    def serve(
        self,
        api_id: str,
        body: bytes,
        *,
        status: int = 200,
        content_type: str = JSON,
        headers: Mapping[str, str] | None = None,
        delivery: Delivery = AT_ONCE,
    ) -> None:
        """Replace the answer for this API ID.

        Raises:
            ValueError: `api_id` is not an API ID.
        """
        self.documents.put(api_id, Answer(body, status, content_type, headers or {}, delivery))


@asynccontextmanager
async def sessionize_double(
    documents: Documents, *, port: int | None = None
) -> AsyncIterator[Double]:
    """Run a double on 127.0.0.1 while the block runs, on a free port unless one is given.

    The end closes every connection at once and cuts off answers that are being sent.

    Raises:
        OSError: the port is taken.
    """
    conversations: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def ended(task: asyncio.Task[None]) -> None:
        # Not in a `finally` of the task: that does not run if the task is cancelled before its
        # first step. Does nothing to a connection that is already closed.
        conversations.pop(task).transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not server.is_serving():  # accepted by the kernel before the end, delivered after it
            writer.transport.abort()
            return
        double.connections += 1
        task = asyncio.create_task(_converse(double, reader, writer))
        conversations[task] = writer
        task.add_done_callback(ended)

    server = await asyncio.start_server(accept, "127.0.0.1", port or 0, start_serving=False)
    try:
        double = Double(documents, server.sockets[0].getsockname()[1])
        await server.start_serving()
        logger.info("a double of Sessionize answers at %s", double.base_url)
        yield double
    finally:
        server.close()
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
        await server.wait_closed()


async def _converse(
    double: Double, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    wire = _Wire(reader, writer)
    try:
        open_ = True
        while open_ and (request := await wire.receive()) is not None:
            double.requests.append(request)
            open_ = await wire.send(await double.documents.answer(request.method, request.path))
        writer.close()
        await writer.wait_closed()
    except ConnectionError:
        logger.debug("a client disconnected during an exchange")
    except Exception:
        # An error with one client must not end the server, but must be visible.
        logger.exception("an exchange failed")


class _Wire:
    """HTTP/1.1 on one connection, for any number of requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)

    async def receive(self) -> Request | None:
        """The next request without its body; None if the connection has no further request."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        if self._http.our_state is not h11.IDLE:
            return None
        try:
            return await self._read_request()
        except h11.RemoteProtocolError as error:
            await self.send(page(error.error_status_hint, "Bad request"))
            return None

    async def _read_request(self) -> Request | None:
        head: h11.Request | None = None
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    await self._write(go_on)
                self._http.receive_data(await self._reader.read(_READ_BYTES))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _request(head)
            elif not isinstance(event, h11.Data):
                return None

    async def send(self, answer: Answer) -> bool:
        """Send an answer with its faults; whether the connection can serve another request."""
        delivery = answer.delivery
        length = len(answer.body) * delivery.times
        told = length if delivery.content_length is None else delivery.content_length
        sent = length if delivery.body_bytes is None else min(length, delivery.body_bytes)
        await asyncio.sleep(delivery.head_after_seconds)
        if delivery.has_head:
            headers = {
                "Content-Type": answer.content_type,
                "Content-Length": str(told),
                "Date": formatdate(usegmt=True),
                **answer.headers,
            }
            encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
            await self._write(h11.Response(status_code=answer.status, headers=encoded))
            for piece in _pieces(answer.body, sent, delivery.piece_bytes):
                await asyncio.sleep(delivery.pause_seconds)
                # h11 refuses to send more than `Content-Length`.
                await self._put(self._http.send(h11.Data(piece)) if sent <= told else piece)
        if delivery.ending is Ending.RESET:
            self._writer.transport.abort()
        elif delivery.ending is Ending.HANG:
            while await self._reader.read(_READ_BYTES):
                pass
        if delivery.ending is not Ending.WHOLE or not delivery.has_head or sent != told:
            return False
        await self._write(h11.EndOfMessage())
        return True

    async def _write(self, event: h11.Event) -> None:
        await self._put(self._http.send(event))

    async def _put(self, data: bytes | None) -> None:
        self._writer.write(data or b"")
        await self._writer.drain()


def _pieces(body: bytes, total: int, at_most: int) -> Iterator[bytes]:
    """`total` bytes of a body that is repeated from its start."""
    done = 0
    while done < total:
        begin = done % len(body)
        piece = body[begin : begin + min(at_most, total - done)]
        done += len(piece)
        yield piece


def _request(head: h11.Request) -> Request:
    headers: dict[str, str] = {}
    for name, value in head.headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return Request(head.method.decode("latin-1"), head.target.decode("latin-1"), headers)
