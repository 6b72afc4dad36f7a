"""Liveness and readiness report every component that is stuck."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure import consumer
from cli.connections import Addresses, database
from cli.health import monitor
from cli.sandbox.conference import conference_window
from cli.services import Role, running
from cli.settings import Settings
from contracts.messages import SpeakerErasureRequested, SyncRequested, encode_request
from contracts.topics import DEFAULT_PARTITIONS, SYNC_REQUESTS
from messaging.cloudevents import Record
from messaging.connection import KafkaConnection
from messaging.publisher import CommittedPosition, OpenPublisher
from messaging.requests import publish_erasure, publish_request
from tests.support.line import Line, a_request, the_line
from tests.support.ports import free_port
from tests.support.sessionize.answers import Answer, Delivery, Ending
from worker.relay.relay import Relay

pytestmark = pytest.mark.asyncio

WINDOW = conference_window()
PATIENCE = 40.0


class Health(NamedTuple):
    """The answers of both endpoints."""

    live: bool
    ready: bool
    red: set[str]
    """Components that are not ok."""


async def look(port: int) -> Health:
    async with httpx.AsyncClient() as client:
        live = await client.get(f"http://127.0.0.1:{port}/live")
        ready = await client.get(f"http://127.0.0.1:{port}/ready")
    components: dict[str, dict[str, Any]] = ready.json()["components"]
    red = {name for name, health in components.items() if not health["ok"]}
    assert (live.status_code == 200) == live.json()["ok"]
    return Health(live.json()["ok"], ready.json()["ok"], red)


async def until(port: int, expected: Callable[[Health], bool]) -> Health:
    async with asyncio.timeout(PATIENCE):
        while not expected(health := await look(port)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return health


def is_well(health: Health) -> bool:
    return health == Health(True, True, set())


@asynccontextmanager
async def a_line(
    kafka: str, database_url: str, session_seconds: float = 1.0, **settings: Any
) -> AsyncIterator[tuple[Line, int]]:
    port = free_port()
    watched: dict[str, Any] = {
        "health_port": port,
        "health_period_seconds": 0.1,
        "stuck_seconds": 1.0,
        "kafka_session_seconds": session_seconds,
        "graceful_timeout": 0.5,
        **settings,
    }
    async with the_line(kafka, database_url, **watched) as line:
        await until(port, is_well)
        yield line, port


def partition_of(request: SyncRequested) -> int:
    every = list(range(DEFAULT_PARTITIONS))
    key = str(request.spreaview_event_id).encode()
    number: int = DefaultPartitioner()(key, every, every)
    return number


async def test_a_stuck_sync_turns_the_intake_red(own_kafka: str, database_url: str) -> None:
    async with a_line(own_kafka, database_url) as (line, port):
        silence = Delivery(has_head=False, ending=Ending.HANG)
        line.double.documents.put("hanging01", Answer(b"", delivery=silence))
        await publish_request(line.producer, a_request("hanging01", WINDOW))
        await until(port, lambda h: not h.live and h.red == {"intake"})


async def test_a_request_that_waits_for_its_turn_is_not_stuck(
    own_kafka: str, database_url: str
) -> None:
    """Sessionize hangs, so each run takes long. The last one begins after `stuck_seconds`."""
    one_at_a_time = {"worker_concurrency": 1, "fetch_seconds": 0.5, "fetch_attempts": 1}
    async with a_line(own_kafka, database_url, stuck_seconds=2.0, **one_at_a_time) as (line, port):
        requests: dict[int, SyncRequested] = {}
        while len(requests) < 8:
            api_id = f"hanging{len(requests):02}"
            line.double.documents.put(
                api_id, Answer(b"", delivery=Delivery(has_head=False, ending=Ending.HANG))
            )
            request = a_request(api_id, WINDOW)
            requests.setdefault(partition_of(request), request)
        for request in requests.values():
            await publish_request(line.producer, request)
        ended = asyncio.gather(*(line.ended(r.request_id) for r in requests.values()))
        async with asyncio.timeout(PATIENCE):
            while not ended.done():
                assert is_well(await look(port))
                await asyncio.sleep(0.05)
        assert {run["failure_code"] for run in await ended} == {"upstream_unavailable"}


async def test_a_stuck_erasure_turns_its_consumer_red(
    own_kafka: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(consumer, "answer_request", hang)
    request = SpeakerErasureRequested(
        request_id=uuid4(),
        organization_id=uuid4(),
        sessionize_id="ada",
        requested_at=datetime.now(UTC),
    )
    async with a_line(own_kafka, database_url) as (line, port):
        await publish_erasure(line.producer, request)
        await until(port, lambda h: not h.live and h.red == {"erasures"})


async def test_a_stuck_sync_is_found_while_all_others_succeed(
    own_kafka: str, database_url: str
) -> None:
    async with a_line(own_kafka, database_url) as (line, port):
        silence = Delivery(has_head=False, ending=Ending.HANG)
        line.double.documents.put("hanging01", Answer(b"", delivery=silence))
        hanging = a_request("hanging01", WINDOW)
        await publish_request(line.producer, hanging)
        theirs = partition_of(hanging)
        async with asyncio.timeout(PATIENCE):
            while (health := await look(port)).live:
                other = a_request("demo2026", WINDOW)
                if partition_of(other) != theirs:
                    assert (await line.sync(other))["status"] == "completed"
        assert health.red == {"intake"}


async def test_a_stuck_relay_is_red_until_it_continues(
    own_kafka: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    continues = asyncio.Event()
    original: Callable[..., Awaitable[None]] = OpenPublisher.send

    async def hanging(
        self: OpenPublisher, records: Sequence[Record], committed: CommittedPosition
    ) -> None:
        await continues.wait()
        await original(self, records, committed)

    async with a_line(own_kafka, database_url) as (line, port):
        monkeypatch.setattr(OpenPublisher, "send", hanging)
        await line.sync(a_request("demo2026", WINDOW))
        assert (await until(port, lambda h: not h.live)).red == {"relay"}
        continues.set()
        await until(port, is_well)


async def test_a_blocked_projector_is_red_until_it_continues(
    own_kafka: str, database_url: str
) -> None:
    async with a_line(own_kafka, database_url) as (line, port):
        request = a_request("demo2026", WINDOW)
        await line.sync(request)
        async with line.engine.connect() as holder:
            await holder.execute(text("SELECT * FROM spreaview_g1.stream_progress FOR UPDATE"))
            again = a_request("demo2026", WINDOW, event_id=request.spreaview_event_id)
            await publish_request(line.producer, again)
            assert (await until(port, lambda h: not h.live)).red == {"projector"}
        await until(port, is_well)
        assert (await line.ended(again.request_id))["status"] == "completed"


async def test_with_the_database_down_the_process_is_alive_but_not_ready(
    own_kafka: str, database_url: str
) -> None:
    """This holds for any length of the outage, and no other component is red afterwards."""
    server, _, name = database_url.rpartition("/")
    async with (
        a_line(own_kafka, database_url) as (line, port),
        database(f"{server}/postgres", pool_size=2) as elsewhere,
    ):
        await allow_connections(elsewhere, name, allowed=False)
        request = a_request("demo2026", WINDOW)
        await publish_request(line.producer, request)
        for _ in range(3 * int(1.0 / 0.1)):  # three times the time after which a component is stuck
            health = await until(port, lambda h: "PostgreSQL" in h.red)
            assert health == Health(True, False, {"PostgreSQL"})
            await asyncio.sleep(0.1)
        await allow_connections(elsewhere, name, allowed=True)
        health = await until(port, lambda h: "PostgreSQL" not in h.red)
        assert is_well(health)
        assert (await line.ended(request.request_id))["status"] == "completed"
        await until(port, is_well)


DISK_IS_FULL = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON event_store.events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse();
    CREATE TRIGGER refuse BEFORE UPDATE ON spreaview_g1.stream_progress
    FOR EACH STATEMENT EXECUTE FUNCTION refuse();
"""


async def run_script(engine: AsyncEngine, script: str) -> None:
    async with engine.begin() as connection:
        raw = await connection.get_raw_connection()
        await raw.driver_connection.execute(script)  # type: ignore[union-attr]  # asyncpg's


async def test_a_process_whose_database_refuses_writes_is_not_ready_and_wants_no_restart(
    own_kafka: str, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_line(own_kafka, database_url) as (line, port):
        await run_script(line.engine, DISK_IS_FULL)
        request = a_request("demo2026", WINDOW)
        await publish_request(line.producer, request)
        health = await until(port, lambda h: "intake" in h.red)
        for _ in range(20):
            assert health.live
            assert not health.ready
            await asyncio.sleep(0.1)
            health = await look(port)
        logged = [m for m in caplog.messages if m.startswith("PostgreSQL")]
        assert [m.partition(";")[0] for m in logged] == ["PostgreSQL is failing"]
        await run_script(line.engine, "DROP FUNCTION refuse CASCADE")
        assert (await line.ended(request.request_id))["status"] == "completed"
        await until(port, is_well)


async def allow_connections(engine: AsyncEngine, name: str, *, allowed: bool) -> None:
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}"))
        await connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": name},
        )


async def test_a_partition_that_ends_with_a_transaction_marker_is_not_behind(
    apache_kafka: str, database_url: str
) -> None:
    """A request that was published in a transaction is followed by the transaction's end marker."""
    async with a_line(apache_kafka, database_url, 6.0) as (line, port):
        sender = AIOKafkaProducer(bootstrap_servers=apache_kafka, transactional_id=str(uuid4()))
        await sender.start()
        request = a_request("demo2026", WINDOW)
        async with sender.transaction():
            await sender.send(SYNC_REQUESTS, encode_request(request))
        await sender.stop()
        assert (await line.ended(request.request_id))["status"] == "completed"
        await asyncio.sleep(2.5)
        assert is_well(await look(port))


async def test_a_service_that_ends_silently_ends_the_process(
    own_kafka: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancelled_by_nobody(_: Relay) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(Relay, "run", cancelled_by_nobody)
    addresses = Addresses(database_url, KafkaConnection(own_kafka), "http://127.0.0.1:9", False)
    async with running(Role.WORKER, Settings(), addresses) as background:
        with pytest.raises(RuntimeError, match="has ended"):
            await asyncio.wait_for(asyncio.shield(background), PATIENCE)


async def test_a_process_that_waits_for_its_servers_is_alive_but_not_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(monitor, "_CHECK_SECONDS", 0.2)
    port = free_port()
    database = f"postgresql://nobody@127.0.0.1:{free_port()}/x"
    nowhere = Addresses(database, KafkaConnection("127.0.0.1:9"), "http://x")
    settings = Settings(health_port=port, health_period_seconds=0.1)

    async def run() -> None:
        async with running(Role.WORKER, settings, nowhere):
            raise AssertionError("there is no server")

    starting = asyncio.create_task(run())
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    health = await look(port)
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.02)
        assert (health.live, health.ready) == (True, False)
        await asyncio.sleep(1.5)
        health = await look(port)
        assert (health.live, health.ready) == (True, False), "also after a long wait"
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
