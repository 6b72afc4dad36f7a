"""The proxy of the chaos harness produces the declared faults."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio

from tests.support.chaos.kafka_proxy import ApiKey, kafka_proxy
from tests.support.chaos.proxy import LOOPBACK, Proxy, proxy
from tests.support.kafka.broker import free_ports

pytestmark = pytest.mark.asyncio

SECONDS = 10.0


@pytest_asyncio.fixture
async def echoing() -> AsyncIterator[Proxy]:
    """A proxy before an echo server."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(echo, LOOPBACK, 0)
    async with server, proxy(free_ports(1)[0]) as made, asyncio.timeout(SECONDS):
        made.target = server.sockets[0].getsockname()[1]
        yield made


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def says(self, line: bytes) -> bytes:
        self.writer.write(line)
        return await self._reader.readline()


async def connected(to: Proxy) -> Client:
    return Client(*await asyncio.open_connection(LOOPBACK, to.port))


async def test_sent_bytes_pass(echoing: Proxy) -> None:
    client = await connected(echoing)
    assert await client.says(b"one\n") == b"one\n"
    client.writer.close()


async def test_a_cut_ends_every_connection_and_new_ones_are_served(echoing: Proxy) -> None:
    client = await connected(echoing)
    assert await client.says(b"one\n") == b"one\n"
    echoing.cut()
    with pytest.raises(ConnectionResetError):
        await client.says(b"two\n")
    client.writer.close()
    other = await connected(echoing)
    assert await other.says(b"three\n") == b"three\n"
    other.writer.close()


async def test_a_refused_client_is_served_later_at_the_same_port(echoing: Proxy) -> None:
    port = echoing.port
    refusing = asyncio.create_task(echoing.refuse(0.2))
    await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await connected(echoing)
    await refusing
    assert echoing.port == port
    client = await connected(echoing)
    assert await client.says(b"one\n") == b"one\n"
    client.writer.close()


async def test_bytes_in_a_black_hole_pass_after_its_end(echoing: Proxy) -> None:
    client = await connected(echoing)
    assert await client.says(b"one\n") == b"one\n"
    swallowing = asyncio.create_task(echoing.swallow(0.3))
    await asyncio.sleep(0)
    answer = asyncio.create_task(client.says(b"two\n"))
    done, _ = await asyncio.wait({answer}, timeout=0.1)
    assert not done
    await swallowing
    assert await answer == b"two\n"
    client.writer.close()


def request(api_key: ApiKey, text: bytes) -> bytes:
    return struct.pack(">ih", 2 + len(text), api_key) + text


async def test_a_late_request_arrives_before_the_one_that_was_named() -> None:
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                heard.append((await reader.readexactly(size))[2:])
                writer.write(b"\n")
        writer.close()

    server = await asyncio.start_server(answer, LOOPBACK, 0)
    async with server, kafka_proxy(free_ports(1)[0]) as made, asyncio.timeout(SECONDS):
        made.target = server.sockets[0].getsockname()[1]
        late = made.hold(ApiKey.END_TXN)
        late.deliver_before(ApiKey.PRODUCE, nth=2)
        first = await connected(made)
        await first.says(request(ApiKey.PRODUCE, b"one"))
        with pytest.raises(ConnectionResetError):
            await first.says(request(ApiKey.END_TXN, b"held"))
        first.writer.close()
        second = await connected(made)
        await second.says(request(ApiKey.END_TXN, b"repeated"))
        await second.says(request(ApiKey.PRODUCE, b"two"))
        assert b"held" not in heard
        await second.says(request(ApiKey.PRODUCE, b"three"))
        assert late.is_delivered
        second.writer.close()
    assert heard == [b"one", b"repeated", b"two", b"held", b"three"]
