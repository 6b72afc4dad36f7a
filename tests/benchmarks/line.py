"""Worker and projector as processes of their own, and the rows that they make visible."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

import asyncpg
import httpx
import psutil

from cli.sandbox.conference import conference, conference_window, encode_conference
from messaging.connection import KafkaConnection
from messaging.producer import Producer
from messaging.requests import producing, publish_request
from projections.announce import CHANNEL
from tests.benchmarks.servers import Database, Servers
from tests.support.kafka.broker import free_ports
from tests.support.line import a_request
from tests.support.processes import COMMAND, ROOT, environment
from tests.support.sessionize.answers import Answer, Delivery, Documents
from tests.support.sessionize.double import Double, sessionize_double

_LOOK_SECONDS = 0.02
PATIENCE = 600.0
WINDOW = conference_window()
_ENDED = """
    SELECT sync_id FROM spreaview.sync_runs
    WHERE sync_id = ANY($1::uuid[]) AND finished_at IS NOT NULL
"""


@asynccontextmanager
async def service(role: str, **settings: str) -> AsyncIterator[psutil.Process]:
    """Run a service while the block runs; the block starts when `/ready` reports 200."""
    (port,) = free_ports(1)
    env = environment(
        health_port=str(port), health_period_seconds="0.2", log_level="ERROR", **settings
    )
    process = await asyncio.create_subprocess_exec(*COMMAND, role, env=env, cwd=ROOT)
    try:
        async with httpx.AsyncClient() as client, asyncio.timeout(PATIENCE):
            while not await _is_ready(client, port):  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_SECONDS)
        yield psutil.Process(process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _is_ready(client: httpx.AsyncClient, port: int) -> bool:
    try:
        answer = await client.get(f"http://127.0.0.1:{port}/ready")
    except httpx.TransportError:
        return False
    return answer.status_code == 200


class Line:
    """The running line, from the request to the rows."""

    def __init__(
        self,
        double: Double,
        producer: Producer,
        reader: asyncpg.Connection,
        services: Sequence[psutil.Process],
    ) -> None:
        self.double = double
        self.services = services
        self._producer = producer
        self._reader = reader
        self._moved = asyncio.Event()

    async def listen(self) -> None:
        """Take the announcements of the projector as signals to look."""
        await self._reader.add_listener(CHANNEL, lambda *_: self._moved.set())

    async def sync(self, api_id: str, events: Sequence[UUID]) -> None:
        """Request a sync of each SpreaView event at once; return when all rows are visible."""
        requests = [a_request(api_id, WINDOW, event_id=event) for event in events]
        await asyncio.gather(*(publish_request(self._producer, one) for one in requests))
        open_ = {request.request_id for request in requests}
        async with asyncio.timeout(PATIENCE):
            while open_:
                await self._moved.wait()
                self._moved.clear()
                open_ -= {row[0] for row in await self._reader.fetch(_ENDED, list(open_))}
                if len(open_) > 1:
                    await asyncio.sleep(_LOOK_SECONDS)

    def serve(self, api_id: str, *, sessions: int, speakers: int, after_seconds: float = 0) -> None:
        """Have the double of Sessionize answer with a conference of this size."""
        document = encode_conference(conference(api_id, sessions=sessions, speakers=speakers))
        answer = Answer(document, delivery=Delivery(head_after_seconds=after_seconds))
        self.double.documents.put(api_id, answer)

    def peak_mib(self) -> list[float]:
        """The resident memory of worker and projector now."""
        return [one.memory_info().rss / 2**20 for one in self.services]


@asynccontextmanager
async def line(servers: Servers, database: Database, **settings: str) -> AsyncIterator[Line]:
    """Run worker and projector on the run's servers, with a double of Sessionize."""
    kafka = await servers.kafka()
    async with AsyncExitStack() as stack:
        double = await stack.enter_async_context(sessionize_double(Documents()))
        addresses = {
            "database_url": database.url,
            "kafka_bootstrap_servers": kafka,
            "sessionize_base_url": double.base_url,
        }
        services = [
            await stack.enter_async_context(service(role, **addresses, **settings))
            for role in ("worker", "projector")
        ]
        producer = await stack.enter_async_context(producing(KafkaConnection(kafka)))
        reader = await asyncpg.connect(database.url)
        stack.push_async_callback(reader.close)
        running = Line(double, producer, reader, services)
        await running.listen()
        yield running
