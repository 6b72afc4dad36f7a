"""Asks every process for its health during the whole run, and records the answers."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

import httpx

from tests.support.chaos.oracle.judge_health import Answer
from tests.support.chaos.proxy import LOOPBACK
from tests.support.ports import free_ports

PERIOD_SECONDS = 0.5
"""Time between the checks inside a process."""
STUCK_SECONDS = 30.0
"""Longer than a request takes whose fetches all hang, and shorter than a disk is full for long."""

_LOOK_SECONDS = 0.25
_ANSWER_SECONDS = 2.0


@contextmanager
def held_ports(names: Sequence[str]) -> Iterator[dict[str, int]]:
    """Reserve a port for each process while the block runs.

    A socket that is bound and does not listen keeps a port from others. The process can listen
    there, because it sets SO_REUSEADDR as well.
    """
    held: list[socket.socket] = []
    try:
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        for port in ports.values():
            holder = socket.socket()
            held.append(holder)
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind((LOOPBACK, port))
        yield ports
    finally:
        for holder in held:
            holder.close()


class Health:
    """The health of all processes. Create it with `watching_health`."""

    def __init__(self, ports: Mapping[str, int], client: httpx.AsyncClient) -> None:
        self.answers: list[Answer] = []
        """Every answer so far; none while a process does not answer."""
        self._ports = ports
        self._client = client

    async def watch(self) -> None:
        """Ask each process again and again, until cancelled."""
        while True:
            await asyncio.gather(*(self._ask(name) for name in self._ports))
            await asyncio.sleep(_LOOK_SECONDS)

    async def unready(self, seconds: float, *, names: Iterable[str] | None = None) -> list[str]:
        """Return when the processes are ready; after this time return the sentences about others.

        Args:
            seconds: time limit.
            names: processes to wait for; all by default.
        """
        waited_for = set(self._ports if names is None else names)
        why: dict[str, str] = {}
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while waited_for:
                    for name in sorted(waited_for):
                        answer = await self._ask(name)
                        why[name] = answer.faults if answer else "no answer"
                        if answer is not None and answer.is_ready:
                            waited_for.discard(name)
                    await asyncio.sleep(_LOOK_SECONDS)
        return [f"{name} was not ready after {seconds:g} s: {why[name]}" for name in waited_for]

    async def _ask(self, name: str) -> Answer | None:
        asked_at = time.monotonic()
        address = f"http://{LOOPBACK}:{self._ports[name]}"
        try:
            live = await self._client.get(f"{address}/live")
            ready = await self._client.get(f"{address}/ready")
        except httpx.HTTPError:
            return None
        components = json.loads(ready.content)["components"].items()
        faults = "; ".join(f"{c}: {h['detail']}" for c, h in components if not h["ok"])
        answer = Answer(
            name,
            asked_at,
            time.monotonic(),
            is_live=live.status_code == 200,
            is_ready=ready.status_code == 200,
            faults=faults,
        )
        self.answers.append(answer)
        return answer


@asynccontextmanager
async def watching_health(ports: Mapping[str, int]) -> AsyncIterator[Health]:
    """Ask the processes at these ports while the block runs."""
    async with httpx.AsyncClient(timeout=_ANSWER_SECONDS) as client:
        health = Health(ports, client)
        watching = asyncio.create_task(health.watch())
        try:
            yield health
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
