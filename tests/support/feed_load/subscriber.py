"""One client of the live feed, written without our code: it parses, remembers and resumes."""

import asyncio
import random
import re
import time
from array import array
from typing import NamedTuple

_FRAME = re.compile(rb"id: ([^\n]*)\n(?:event: ([^\n]*)\n)?(?:data: [^\n]*\n)?\n")
_CONTROL = frozenset((b"header", b"caught-up", b"reset"))
_AGAIN_SECONDS = (0.1, 0.4)


class Server(NamedTuple):
    """The address of the feed, and the token for it."""

    host: str
    port: int
    token: str


class Subscriber:
    """The events that one client has received, over all of its connections."""

    def __init__(self, server: Server, query: str, *, reads: bool = True) -> None:
        self.query = query
        self.reads = reads
        self.cursor = ""
        self.positions = array("q")
        """The positions of the events since the last reset, as received."""
        self.times = array("d")
        """Monotonic time at which each of them arrived."""
        self.live: list[tuple[float, float]] = []
        """From each `caught-up` to the loss of that connection, in monotonic time."""
        self.caught_up_at: float | None = None
        """Monotonic time of the first `caught-up` of this connection."""
        self.deliveries = 0
        self.connections = 0
        self.resets = 0
        self.refused = 0
        self._server = server

    def lost(self) -> None:
        """The connection was lost."""
        if self.caught_up_at is not None:
            self.live.append((self.caught_up_at, time.monotonic()))
        self.caught_up_at = None

    async def follow(self) -> None:
        """Connect, and connect again after each loss, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                _, connection = await loop.create_connection(
                    lambda: _Connection(self), self._server.host, self._server.port
                )
                self.connections += 1
                try:
                    await connection.lost
                finally:
                    connection.abort()
            except OSError:
                pass
            await asyncio.sleep(random.uniform(*_AGAIN_SECONDS))

    def request(self) -> bytes:
        """The request; it resumes after the last event."""
        lines = [
            f"GET /v1/import-events?after=start{self.query} HTTP/1.1",
            f"Host: {self._server.host}:{self._server.port}",
            "Accept: text/event-stream",
            f"Authorization: Bearer {self._server.token}",
        ]
        if self.cursor:
            lines.append(f"Last-Event-ID: {self.cursor}")
        return "\r\n".join([*lines, "", ""]).encode()

    def take(self, frames: bytes) -> None:
        """Remember whole frames."""
        now = time.monotonic()
        end = 0
        for found in _FRAME.finditer(frames):
            assert found.start() == end, f"not a frame: {frames[end : found.start()]!r}"
            end = found.end()
            cursor, event = found[1], found[2]
            if event == b"reset":
                self.resets += 1
                self.positions = array("q")
                self.times = array("d")
            elif event is not None and event not in _CONTROL:
                self.positions.append(int(cursor.split(b":")[1]))
                self.times.append(now)
                self.deliveries += 1
            elif event == b"caught-up" and self.caught_up_at is None:
                self.caught_up_at = now
            self.cursor = cursor.decode()
        assert end == len(frames), f"not a frame: {frames[end:]!r}"


class _Connection(asyncio.Protocol):
    """One connection: HTTP/1.1 with chunks."""

    def __init__(self, subscriber: Subscriber) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._subscriber = subscriber
        self._transport: asyncio.Transport | None = None
        self._raw = bytearray()
        self._text = bytearray()
        self._in_body = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._subscriber.request())
        if not self._subscriber.reads:
            transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        self._raw += data
        if not self._in_body and not self._head():
            return
        self._chunks()
        end = self._text.rfind(b"\n\n") + 2
        if end > 1:
            frames = bytes(self._text[:end])
            del self._text[:end]
            self._subscriber.take(frames)

    def connection_lost(self, exc: Exception | None) -> None:
        self._subscriber.lost()
        if not self.lost.done():
            self.lost.set_result(None)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _head(self) -> bool:
        head, found, body = self._raw.partition(b"\r\n\r\n")
        if not found:
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            self._subscriber.refused += 1
            self.abort()
            return False
        self._raw = bytearray(body)
        self._in_body = True
        return True

    def _chunks(self) -> None:
        """Move the whole chunks to the text."""
        at = 0
        while (line := self._raw.find(b"\r\n", at)) >= 0:
            size = int(self._raw[at:line], 16)
            end = line + 2 + size
            if len(self._raw) < end + 2:
                break
            self._text += self._raw[line + 2 : end]
            at = end + 2
        del self._raw[:at]
