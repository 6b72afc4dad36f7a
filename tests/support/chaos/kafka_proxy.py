"""A proxy that reads Kafka's frames and can deliver a request after its client has given up."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import IntEnum

from tests.support.chaos.proxy import Proxy, reset

_WAIT_SECONDS = 10.0
_HEARTBEAT = 12
_NO_ERROR = {0: struct.pack(">h", 0)}
_NO_ERROR |= dict.fromkeys((1, 2, 3), struct.pack(">ih", 0, 0))
"""Bodies of answers to heartbeats, by version."""


class ApiKey(IntEnum):
    """Requests whose late arrival can do harm, with their API keys."""

    PRODUCE = 0
    OFFSET_COMMIT = 8
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


class LateRequest:
    """A request held while its client reconnects and repeats it. `KafkaProxy` creates it."""

    def __init__(self, api_key: ApiKey) -> None:
        self.api_key = api_key
        self.is_held = asyncio.Event()
        """Set when a request has been caught and its client cut off."""
        self._is_due = asyncio.Event()
        self._is_over = asyncio.Event()
        self._before: int | None = None
        self._still_to_pass = 0

    @property
    def is_delivered(self) -> bool:
        """Whether the broker has answered it."""
        return self._is_over.is_set()

    async def deliver(self) -> None:
        """Send the request to the broker; return after its answer or the end of the connection."""
        self._is_due.set()
        await self._is_over.wait()

    def deliver_before(self, api_key: ApiKey, nth: int = 1) -> None:
        """Deliver the request right before the nth following request of another kind."""
        self._before, self._still_to_pass = api_key, nth

    async def precede(self, api_key: int) -> None:
        """Deliver the request if it has to arrive before this one."""
        if not self.is_held.is_set() or api_key != self._before:
            return
        self._still_to_pass -= 1
        if not self._still_to_pass:
            await self.deliver()

    async def arrive_late(self, frame: bytes, to_server: asyncio.StreamWriter) -> None:
        """Keep the connection to the broker, and deliver the frame there when it is due.

        Cancelled by the end of the connection, which follows the broker's answer.
        """
        self.is_held.set()
        try:
            await self._is_due.wait()
            to_server.write(frame)
            await asyncio.Event().wait()
        finally:
            self._is_over.set()


class KafkaProxy(Proxy):
    """A `Proxy` that can also hold a request. Create it with `kafka_proxy`."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._late: list[LateRequest] = []
        self._swallows_heartbeats = False

    def hold(self, api_key: ApiKey) -> LateRequest:
        """Hold the next request of this kind, and cut off its client."""
        late = LateRequest(api_key)
        self._late.append(late)
        return late

    async def deliver_late(self, api_key: ApiKey, seconds: float) -> bool:
        """Hold the next request of this kind for a while, then deliver it; return whether one came.

        It arrives after these seconds, or right before the transaction after its own commits
        offsets, if that is sooner.
        """
        late = self.hold(api_key)
        late.deliver_before(ApiKey.TXN_OFFSET_COMMIT)
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await late.is_held.wait()
            await asyncio.sleep(seconds)
            async with asyncio.timeout(_WAIT_SECONDS):
                await late.deliver()
        except TimeoutError:
            return False
        finally:
            if late in self._late:
                self._late.remove(late)
        return True

    async def swallow_heartbeats(self, seconds: float) -> None:
        """Answer the heartbeats of all groups in place of the broker, so that sessions end."""
        self._swallows_heartbeats = True
        try:
            await asyncio.sleep(seconds)
        finally:
            self._swallows_heartbeats = False

    async def _forward(
        self,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        to_server: asyncio.StreamWriter,
    ) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                frame, api_key = await _request(client)
                await self._flows.wait()
                if self._swallows_heartbeats and (answer := _answer_to_heartbeat(frame)):
                    to_client.write(answer)
                    continue
                for late in list(self._late):
                    if late.is_delivered:
                        self._late.remove(late)
                    elif late.api_key == api_key and not late.is_held.is_set():
                        reset(to_client)
                        await late.arrive_late(frame, to_server)
                    else:
                        await late.precede(api_key)
                to_server.write(frame)
                await to_server.drain()


async def _request(client: asyncio.StreamReader) -> tuple[bytes, int]:
    """Return the next frame and its API key."""
    prefix = await client.readexactly(4)
    body = await client.readexactly(struct.unpack(">i", prefix)[0])
    return prefix + body, struct.unpack(">h", body[:2])[0]


def _answer_to_heartbeat(frame: bytes) -> bytes | None:
    """Return what the broker would answer; None for other requests and unknown versions."""
    api_key, version, correlation_id = struct.unpack_from(">hhi", frame, 4)
    if api_key != _HEARTBEAT or version not in _NO_ERROR:
        return None
    body = struct.pack(">i", correlation_id) + _NO_ERROR[version]
    return struct.pack(">i", len(body)) + body


@asynccontextmanager
async def kafka_proxy(port: int) -> AsyncIterator[KafkaProxy]:
    """Run a proxy at this port while the block runs. Raises OSError if the port is taken."""
    made = KafkaProxy(port)
    try:
        await made.open()
        yield made
    finally:
        await made.close()
