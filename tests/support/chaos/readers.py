"""Clients of the HTTP sides: readers of schedules, and subscribers of the feed."""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from uuid import UUID

import httpx
import msgspec

from tests.support.chaos.load import Load
from tests.support.chaos.oracle.judge_clients import Answer, Session
from tests.support.chaos.oracle.log import Log
from tests.support.chaos.oracle.report import Findings
from tests.support.chaos.oracle.views import Watcher
from tests.support.chaos.stack import Stack
from tests.support.chaos.world import Form
from tests.support.feed_load.clients import Report
from tests.support.feed_load.growing import by_query
from tests.support.feed_load.process import ClientsProcess, clients_process

_ANSWER_SECONDS = 15.0
_WAIT_SECONDS = 5
_AGAIN_SECONDS = 0.3
_BREATH_SECONDS = (0.02, 0.2)
_NEWEST = 8
"""A reader waits for one of this many newest requests."""
_FEED_SECONDS = 60.0
_REFUSALS = (404, 409, 503)
"""The event is not known yet; not visible in time; PostgreSQL does not answer."""


class HttpReader:
    """Reads the schedules of random events at one HTTP side, one after another."""

    def __init__(self, name: str, client: httpx.AsyncClient, load: Load, watcher: Watcher) -> None:
        self.answers: list[Answer] = []
        self.statuses: Counter[int] = Counter()
        self._name = name
        self._client = client
        self._load = load
        self._watcher = watcher
        self._dice = random.Random(name)
        self._bodies: dict[bytes, frozenset[Session]] = {}

    async def run(self) -> None:
        """Read until cancelled; the server may be down."""
        while True:
            try:
                await self._read()
            except httpx.TransportError:
                await asyncio.sleep(_AGAIN_SECONDS)
            await asyncio.sleep(self._dice.uniform(*_BREATH_SECONDS))

    async def _read(self) -> None:
        readable = [
            one.record for one in self._load.published if one.record.form is not Form.POISON
        ]
        if not readable:
            return
        record = self._dice.choice(readable[-_NEWEST:])
        event_id = record.event.event_id
        sync_id: UUID | None = None
        version = 0
        match self._dice.randrange(3):
            case 0:
                sync_id = record.request_id
            case 1:  # what another channel has shown
                version = self._watcher.version(event_id)
            case _:
                pass
        params: dict[str, str | int] = {"min_version": version} if version else {}
        if sync_id is not None:
            params["wait_for_sync"] = str(sync_id)
        answer = await self._client.get(
            f"/v1/events/{event_id}/schedule",
            params=params,
            headers={"Prefer": f"wait={_WAIT_SECONDS}"},
        )
        self.statuses[answer.status_code] += 1
        if answer.status_code == 200:
            self._keep(event_id, sync_id, version, answer.content)

    def _keep(self, event_id: UUID, sync_id: UUID | None, version: int, body: bytes) -> None:
        decoded = msgspec.json.decode(body)
        shown = decoded["shown"]
        digest = hashlib.sha256(body).digest()
        if digest not in self._bodies:
            self._bodies[digest] = _sessions(decoded)
        self.answers.append(
            Answer(
                reader=self._name,
                event_id=event_id,
                waited_for=sync_id,
                min_version=version,
                of=(shown["log_id"], shown["generation"]),
                version=shown["version"],
                sessions=self._bodies[digest],
            )
        )


def _sessions(schedule: dict[str, list[dict[str, list[dict[str, object]]]]]) -> frozenset[Session]:
    found: set[Session] = set()
    for day in schedule["days"]:
        for room in day["rooms"]:
            for session in msgspec.convert(room["sessions"], list[_Session]):
                found.add(
                    Session(
                        session.session_id,
                        session.title,
                        session.starts_at,
                        session.ends_at,
                        session.room.room_id,
                    )
                )
    return frozenset(found)


class _Room(msgspec.Struct):
    room_id: str


class _Session(msgspec.Struct):
    session_id: str
    title: str
    starts_at: datetime
    ends_at: datetime
    room: _Room


class Readers:
    """All clients of the HTTP sides. Create it with `reading`."""

    def __init__(self, readers: Sequence[HttpReader], feeds: Sequence[ClientsProcess]) -> None:
        self._readers = readers
        self._feeds = feeds
        self.feed_reports: list[Report] = []

    @property
    def answers(self) -> list[Answer]:
        """Every schedule that was read, in the order of each reader."""
        return [answer for reader in self._readers for answer in reader.answers]

    async def received(self, log: Log, findings: Findings) -> None:
        """Wait until the subscribers have the whole log, and check what all clients have seen."""
        expected = by_query([(event.position, event.type) for event in log.events])
        for feed in self._feeds:
            report = await feed.ask(
                reach={query: each[-1] if each else 0 for query, each in expected.items()},
                within=_FEED_SECONDS,
                expected=expected,
            )
            self.feed_reports.append(report)
            findings.add("lost", *report.wrong)
            if report.resets:
                findings.add("misreported", f"{report.resets} resets of the feed of the same log")
        for reader in self._readers:
            for status, number in reader.statuses.items():
                if status != 200 and status not in _REFUSALS:
                    findings.add("misreported", f"{number} answers with status {status}")


@asynccontextmanager
async def reading(
    stack: Stack, load: Load, watcher: Watcher, *, readers: int, feeds: int
) -> AsyncIterator[Readers]:
    """Let clients read at every HTTP side while the block runs.

    Args:
        stack: the HTTP sides.
        load: its requests are waited for.
        watcher: its versions are asked for.
        readers: readers of schedules at each HTTP side.
        feeds: subscribers of the feed at each, and one more that never reads.
    """
    async with AsyncExitStack() as clients:
        made: list[HttpReader] = []
        processes: list[ClientsProcess] = []
        for name, port in stack.apis.items():
            processes.append(
                await clients.enter_async_context(clients_process(port, feeds + 1, stack.token))
            )
            client = await clients.enter_async_context(
                httpx.AsyncClient(
                    base_url=f"http://127.0.0.1:{port}",
                    headers={"Authorization": f"Bearer {stack.token}"},
                    timeout=_ANSWER_SECONDS,
                )
            )
            made += [
                HttpReader(f"{name} reader {number}", client, load, watcher)
                for number in range(readers)
            ]
        tasks = [asyncio.create_task(reader.run()) for reader in made]
        try:
            yield Readers(made, processes)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end
