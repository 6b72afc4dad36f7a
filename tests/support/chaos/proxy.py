"""A TCP proxy on 127.0.0.1 that can cut, refuse and swallow its traffic."""

import asyncio
import errno
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psutil

LOOPBACK = "127.0.0.1"

_CHUNK = 64 * 1024
_TRIES = 50
_RESET = struct.pack("ii", 1, 0)
"""Linger time zero: the peer sees a broken connection, not an orderly end."""


class Proxy:
    """Forwards every connection to `target`. Create it with `proxy`.

    Bytes are forwarded in order or the connection ends: nothing is dropped from its middle.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.target: int | None = None
        """The port behind the proxy. Without one, connections are closed immediately."""
        self._server: asyncio.Server | None = None
        self._shunned: int | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def has_clients(self) -> bool:
        """Whether a connection is open."""
        return bool(self._writers)

    async def open(self) -> None:
        """Accept connections, always at the same port."""
        for tries_left in reversed(range(_TRIES)):
            try:
                self._server = await asyncio.start_server(self._accept, LOOPBACK, self.port)
            except OSError as error:
                # While we refuse, the system may give the port to an outgoing connection.
                if error.errno != errno.EADDRINUSE or not tries_left:
                    raise
                await asyncio.sleep(0.1)
            else:
                return

    def cut(self) -> None:
        """Reset every connection, and serve new ones."""
        for writer in list(self._writers):
            reset(writer)

    async def refuse(self, seconds: float) -> None:
        """Reset every connection and refuse new ones for a while."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()
        await asyncio.sleep(seconds)
        await self.open()

    async def shun(self, pid: int, seconds: float) -> None:
        """Reset every connection of one process, old and new, for a while."""
        self._shunned = pid
        ports = _ports_of(pid)
        for writer in list(self._writers):
            if _peer_port(writer) in ports:
                reset(writer)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._shunned = None

    async def reopen(self) -> None:
        """Stop refusing connections."""
        if self._server is None:
            await self.open()

    async def swallow(self, seconds: float) -> None:
        """Be a black hole: connections stay open and new ones are accepted, but nothing passes.

        Afterwards all of it passes, as after a network that was away.
        """
        self._flows.clear()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._flows.set()

    async def close(self) -> None:
        """Close the listener and every connection."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._shunned is not None and _peer_port(writer) in _ports_of(self._shunned):
            reset(writer)
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._writers.add(writer)
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

        task.add_done_callback(ended)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flows.wait()
        if self.target is None:
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self.target)
        except OSError:
            return
        self._writers.add(far_writer)
        try:
            # These protocols treat a half-closed connection as closed.
            there = asyncio.create_task(self._forward(reader, writer, far_writer))
            back = asyncio.create_task(self._pump(far_reader, writer))
            try:
                await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                there.cancel()
                back.cancel()
                await asyncio.gather(there, back, return_exceptions=True)
        finally:
            self._writers.discard(far_writer)
            far_writer.transport.abort()

    async def _forward(
        self,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        to_server: asyncio.StreamWriter,
    ) -> None:
        """Forward everything that a client sends, until it ends."""
        await self._pump(client, to_server)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    """Break a connection: the peer gets a reset, not an orderly end."""
    if (connected := writer.get_extra_info("socket")) is not None:
        with suppress(OSError):  # it is closed already
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


def _peer_port(writer: asyncio.StreamWriter) -> int | None:
    peer = writer.get_extra_info("peername")
    return None if peer is None else peer[1]


def _ports_of(pid: int) -> set[int]:
    """Return the local ports of a process's connections; empty if it has ended."""
    try:
        connections = psutil.Process(pid).net_connections("tcp4")
    except psutil.Error:
        return set()
    return {connection.laddr.port for connection in connections if connection.laddr}


@asynccontextmanager
async def proxy(port: int) -> AsyncIterator[Proxy]:
    """Run a proxy at this port while the block runs; the caller sets `target`.

    Raises:
        OSError: the port is taken.
    """
    made = Proxy(port)
    try:
        await made.open()
        yield made
    finally:
        await made.close()
