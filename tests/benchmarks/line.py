"""Worker and projector as processes of their own, and the rows that they make visible."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
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
from tests.support.line import a_request
from tests.support.ports import free_port
from tests.support.processes import COMMAND, ROOT, environment
from tests.support.sessionize.answers import Answer, Delivery, Documents
from tests.support.sessionize.double import Double, sessionize_double

_LOOK_SECONDS = 0.02
_LOOK_SECONDS_PER_SYNC = 0.0002
_LONGEST_LOOK_SECONDS = 0.2
PATIENCE = 1200.0
"""Seconds after which a burst that has not ended fails its row."""
WINDOW = conference_window()
_SERVERS = {"postgres": "PostgreSQL", "java": "Kafka"}
"""By the name of the program."""
_ENDED = """
    SELECT sync_id FROM spreaview.sync_runs
    WHERE sync_id = ANY($1::uuid[]) AND finished_at IS NOT NULL
"""


@asynccontextmanager
async def service(role: str, **settings: str) -> AsyncIterator[psutil.Process]:
    """Run a service while the block runs; the block starts when `/ready` reports 200."""
    port = free_port()
    env = environment(
        health_port=str(port), health_period_seconds="2", log_level="ERROR", **settings
    )
    process = await asyncio.create_subprocess_exec(
        *COMMAND, role, env=env, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL
    )
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
        addresses: Mapping[str, str],
    ) -> None:
        self.double = double
        self.services: dict[str, psutil.Process] = {}
        """The processes by role; a row may add more."""
        self.addresses = addresses
        """Settings of a service on the same servers."""
        self._producer = producer
        self._reader = reader
        self._moved = set[asyncio.Event]()
        """One of each sync that waits."""
        self._looking = asyncio.Lock()

    async def listen(self) -> None:
        """Take the announcements of the projector as signals to look."""
        await self._reader.add_listener(CHANNEL, self._wake_all)

    def _wake_all(self, *_: object) -> None:
        for moved in self._moved:
            moved.set()

    async def sync(self, api_id: str | Sequence[str], events: Sequence[UUID]) -> None:
        """Request a sync of each SpreaView event at once; return when all rows are visible.

        Args:
            api_id: one for all events, which then may share a fetch, or one per event.
            events: the SpreaView events.
        """
        api_ids = [api_id] * len(events) if isinstance(api_id, str) else api_id
        requests = [
            a_request(api_id, WINDOW, event_id=event)
            for api_id, event in zip(api_ids, events, strict=True)
        ]
        moved = asyncio.Event()
        self._moved.add(moved)
        try:
            await asyncio.gather(*(publish_request(self._producer, one) for one in requests))
            async with asyncio.timeout(PATIENCE):
                await self._until_visible({request.request_id for request in requests}, moved)
        finally:
            self._moved.discard(moved)

    async def _until_visible(self, open_: set[UUID], moved: asyncio.Event) -> None:
        while open_:
            await moved.wait()
            moved.clear()
            async with self._looking:
                open_ -= {row[0] for row in await self._reader.fetch(_ENDED, list(open_))}
            if len(open_) > 1:  # each look costs the more the more syncs are open
                pause = _LOOK_SECONDS + _LOOK_SECONDS_PER_SYNC * len(open_)
                await asyncio.sleep(min(pause, _LONGEST_LOOK_SECONDS))

    def serve(self, *api_ids: str, sessions: int, speakers: int, after_seconds: float = 0) -> None:
        """Have the double of Sessionize answer with a conference of this size."""
        document = encode_conference(conference(api_ids[0], sessions=sessions, speakers=speakers))
        answer = Answer(document, delivery=Delivery(head_after_seconds=after_seconds))
        for api_id in api_ids:
            self.double.documents.put(api_id, answer)

    def memory_mib(self) -> dict[str, float]:
        """The resident memory of each service now."""
        return {role: one.memory_info().rss / 2**20 for role, one in self.services.items()}

    def cpu_seconds(self) -> dict[str, float]:
        """The processor time so far of each service, of both servers, and of this load."""
        own = psutil.Process()
        found = dict.fromkeys([*self.services, *_SERVERS.values(), "load"], 0.0)
        roles = {one.pid: role for role, one in self.services.items()}
        for one in (own, *own.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                part = roles.get(one.pid) or _SERVERS.get(one.name(), "load")
                found[part] += sum(one.cpu_times()[:4])
        return found


@asynccontextmanager
async def line(servers: Servers, database: Database, **settings: str) -> AsyncIterator[Line]:
    """Run worker and projector on the run's servers, with a double of Sessionize."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(ends_of_line(servers, database))
        for role in ("worker", "projector"):
            running.services[role] = await stack.enter_async_context(
                service(role, **running.addresses, **settings)
            )
        yield running


@asynccontextmanager
async def ends_of_line(servers: Servers, database: Database) -> AsyncIterator[Line]:
    """A line without services."""
    async with (
        servers.kafka() as kafka,
        sessionize_double(Documents()) as double,
        producing(KafkaConnection(kafka)) as producer,
    ):
        addresses = {
            "database_url": database.url,
            "kafka_bootstrap_servers": kafka,
            "sessionize_base_url": double.base_url,
        }
        reader = await asyncpg.connect(database.url)
        try:
            running = Line(double, producer, reader, addresses)
            await running.listen()
            yield running
        finally:
            await reader.close()
