"""The proxy of the chaos harness produces the declared faults."""

import asyncio
import os
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio

from tests.support.chaos.clock import REQUIRED, ahead, missing_library
from tests.support.chaos.kafka_proxy import ApiKey, kafka_proxy
from tests.support.chaos.proxy import LOOPBACK, Proxy, proxy
from tests.support.ports import free_port

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
    async with server, proxy(free_port()) as made, asyncio.timeout(SECONDS):
        made.target = server.sockets[0].getsockname()[1]
        yield made


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def says(self, line: bytes) -> bytes:
        self.writer.write(line)
        return await self.reader.readline()


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
    async with server, kafka_proxy(free_port()) as made, asyncio.timeout(SECONDS):
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


def heartbeat(version: int, correlation_id: int) -> bytes:
    return struct.pack(">ihhi", 12, 12, version, correlation_id) + b"rest"


async def test_swallowed_heartbeats_are_answered_in_place_of_the_broker() -> None:
    heard = asyncio.Event()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        heard.set()
        writer.close()

    server = await asyncio.start_server(hear, LOOPBACK, 0)
    async with server, kafka_proxy(free_port()) as made, asyncio.timeout(SECONDS):
        made.target = server.sockets[0].getsockname()[1]
        client = await connected(made)
        swallowing = asyncio.create_task(made.swallow_heartbeats(SECONDS))
        await asyncio.sleep(0)
        client.writer.write(heartbeat(0, 7) + heartbeat(1, 8))
        answers = await client.reader.readexactly(10 + 14)
        assert answers == struct.pack(">iih", 6, 7, 0) + struct.pack(">iiih", 10, 8, 0, 0)
        assert not heard.is_set()
        swallowing.cancel()
        await asyncio.gather(swallowing, return_exceptions=True)
        client.writer.write(heartbeat(1, 9))
        await heard.wait()
        client.writer.close()


async def test_one_process_is_shunned_and_others_are_served(echoing: Proxy) -> None:
    script = (
        "import socket, sys\n"
        f"s = socket.create_connection(('127.0.0.1', {echoing.port}))\n"
        "for line in sys.stdin.buffer:\n"
        "    s.sendall(line)\n"
        "    sys.stdout.buffer.write(s.recv(100))\n"
        "    sys.stdout.flush()\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(b"one\n")
    assert await process.stdout.readline() == b"one\n"
    own = await connected(echoing)
    assert await own.says(b"two\n") == b"two\n"
    shunning = asyncio.create_task(echoing.shun(process.pid, SECONDS))
    await asyncio.sleep(0)
    process.stdin.write(b"three\n")
    assert b"ConnectionResetError" in await process.stderr.read()
    assert await own.says(b"four\n") == b"four\n"
    shunning.cancel()
    await asyncio.gather(shunning, return_exceptions=True)
    own.writer.close()
    await process.wait()


async def test_a_clock_is_an_hour_ahead() -> None:
    if (missing := missing_library()) is not None:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{REQUIRED}=1, but {missing}", pytrace=False)
        pytest.skip(missing)
    script = "import time; print(time.time(), time.monotonic())"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", script),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | ahead("+3660"),
    )
    printed, _ = await process.communicate()
    wall, monotonic = map(float, printed.split())
    assert 3600 < wall - time.time() < 3700
    assert abs(monotonic - time.monotonic()) < SECONDS
