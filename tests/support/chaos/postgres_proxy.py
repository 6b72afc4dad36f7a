"""A proxy that reads what clients send to PostgreSQL, and can lose the answer to a COMMIT."""

import asyncio
import re
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum

from tests.support.chaos.proxy import Proxy, reset

_ENCRYPTION = struct.pack(">ii", 8, 80877103)
"""Asks for encryption."""
_QUERY, _PARSE, _BIND, _SYNC = b"Q", b"P", b"B", b"S"


class Fate(Enum):
    """Fate of a COMMIT whose client loses its connection."""

    DONE = "done"
    """It reaches the server, and its answer is lost."""
    NOT_DONE = "not done"
    """It does not reach the server: the transaction is rolled back."""


class LostCommit:
    """One COMMIT that is to be lost. `PostgresProxy.lose` creates it.

    A statement outside of a transaction commits by itself, and counts, too.
    """

    def __init__(self, pattern: bytes, fate: Fate) -> None:
        self.pattern = re.compile(pattern, re.DOTALL)
        """Searched in each statement of a transaction, with its parameters behind it."""
        self.fate = fate
        self.has_happened = asyncio.Event()


class PostgresProxy(Proxy):
    """A `Proxy` that can also lose a COMMIT. Create it with `postgres_proxy`."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._lost: list[LostCommit] = []

    def lose(self, pattern: bytes, fate: Fate) -> LostCommit:
        """Lose the next COMMIT of a transaction with a statement that matches this pattern."""
        lost = LostCommit(pattern, fate)
        self._lost.append(lost)
        return lost

    async def _forward(
        self,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        to_server: asyncio.StreamWriter,
    ) -> None:
        session = _Session()
        with suppress(OSError, asyncio.IncompleteReadError):
            while (first := await _first_message(client)) == _ENCRYPTION:
                to_server.write(first)  # the server declines it
            to_server.write(first)
            while True:
                kind, body = await _message(client)
                frame = kind + struct.pack(">i", len(body) + 4) + body
                await self._flows.wait()
                statements = session.committed_by(kind, body)
                for lost in self._lost:
                    if any(map(lost.pattern.search, statements)):
                        self._lost.remove(lost)
                        reset(to_client)
                        lost.has_happened.set()
                        if lost.fate is Fate.NOT_DONE:
                            return
                        to_server.write(frame)
                        await asyncio.Event().wait()  # until the server has answered
                to_server.write(frame)
                await to_server.drain()


class _Session:
    """Follows the statements and transactions of a connection."""

    def __init__(self) -> None:
        self._prepared: dict[bytes, bytes] = {}
        self._statements: list[bytes] = []
        self._in_transaction = False

    def committed_by(self, kind: bytes, body: bytes) -> list[bytes]:
        """Return the statements that this message commits, each with its parameters."""
        if kind == _PARSE:
            name, text, _ = body.split(b"\0", 2)
            self._prepared[name] = text
        elif kind == _BIND:
            _, name, _ = body.split(b"\0", 2)
            self._statements.append(self._prepared.get(name, b"") + body)
        elif kind == _QUERY:
            text = body.rstrip(b"\0").strip().upper()
            if text.startswith(b"BEGIN"):
                self._in_transaction, self._statements = True, []
            elif text.startswith(b"COMMIT"):
                self._in_transaction = False
                return self._take()
            elif text.rstrip(b";") == b"ROLLBACK":
                self._in_transaction, self._statements = False, []
            else:
                self._statements.append(body)
        elif kind == _SYNC and not self._in_transaction:
            return self._take()
        return []

    def _take(self) -> list[bytes]:
        taken, self._statements = self._statements, []
        return taken


async def _first_message(client: asyncio.StreamReader) -> bytes:
    """Return a message without a kind: the first ones of a connection have none."""
    prefix = await client.readexactly(4)
    return prefix + await client.readexactly(struct.unpack(">i", prefix)[0] - 4)


async def _message(client: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return the kind and the body of the next message."""
    kind = await client.readexactly(1)
    (size,) = struct.unpack(">i", await client.readexactly(4))
    return kind, await client.readexactly(size - 4)


@asynccontextmanager
async def postgres_proxy(port: int) -> AsyncIterator[PostgresProxy]:
    """Run a proxy at this port while the block runs. Raises OSError if the port is taken."""
    made = PostgresProxy(port)
    try:
        await made.open()
        yield made
    finally:
        await made.close()
