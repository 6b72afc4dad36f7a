"""A backup is restored by the documented commands, and nobody who was erased since comes back.

Real PostgreSQL, its own `pg_dump` and `pg_restore`, the broker, and services as processes.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.erase import erase
from audit.erasure.replay import replay_topics
from audit.verify.verify import verify
from cli.brokers import relay_publisher
from cli.connections import database, leader_connection
from contracts.topics import IMPORT_EVENTS
from eventstore.checkpoints import Checkpoints
from eventstore.leadership import Leadership
from eventstore.restored import check_confirmed, confirm_place, unconfirmed_restore
from messaging.cloudevents import decode, log_source
from messaging.requests import publish_erasure
from messaging.topic_reader import open_topic_reader, partitions_of, to_the_end
from tests.support.backups import back_up, restore
from tests.support.database import tables_with
from tests.support.documents import WINDOW, document, speaker, talk
from tests.support.erasures import Person, a_call, answer_to
from tests.support.http_side import the_http_side
from tests.support.line import ORGANIZATION, PATIENCE, Line, a_request, the_line
from tests.support.processes import environment, run
from tests.support.services import service
from worker.relay.rewind import rewind

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def an_empty_database(url: str) -> AsyncIterator[str]:
    """An empty database on the same server."""
    server, name = url.rpartition("/")[0], f"restored_{uuid4().hex}"
    await _administer(f"{server}/postgres", f"CREATE DATABASE {name}")
    yield f"{server}/{name}"
    await _administer(f"{server}/postgres", f"DROP DATABASE {name} WITH (FORCE)")


async def _administer(url: str, statement: str) -> None:
    async with database(url, pool_size=1) as engine, engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text(statement))


def serve(line: Line, api_id: str, *people: Person) -> None:
    """A schedule with a talk of each person; every personal field has the person's mark."""
    fields = ("firstName", "lastName", "fullName", "bio", "tagLine")
    speakers = [speaker(each.guid) | dict.fromkeys(fields, each.mark) for each in people]
    talks = [
        talk(str(number), f"2026-05-28T{9 + number:02}:00:00", speakers=[each.guid])
        for number, each in enumerate(people)
    ]
    line.double.serve(api_id, json.dumps(document(*talks, speakers=speakers)).encode())


async def caught_up(line: Line, event_id: UUID) -> bytes:
    """Wait until the topic has the head of the stream; the bodies under the log's present id."""
    version = await line.log.stream_version(event_id)
    source = log_source((await line.log.identity()).log_id)
    async with asyncio.timeout(PATIENCE), open_topic_reader(line.addresses.kafka) as reader:
        partitions = await partitions_of(reader, IMPORT_EVENTS)
        while True:
            records = [record async for record in to_the_end(reader, partitions)]
            events = [decode(record.value or b"", record.headers) for record in records]
            ours = [event for event in events if event.source == source]
            if version in [event.stream_version for event in ours]:
                return b"".join(json.dumps(event.data).encode() for event in ours)


async def test_a_restored_backup_brings_nobody_back(
    own_kafka: str,
    database_url: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    by_request, by_command, in_advance, remains = people = [Person() for _ in range(4)]
    dump = tmp_path / "backup.dump"
    request = a_request("drill123", WINDOW)
    event_id = request.spreaview_event_id
    async with the_line(own_kafka, database_url, snapshot_events=1) as line:
        serve(line, "drill123", by_request, by_command, remains)
        assert (await line.sync(request))["status"] == "completed"
        await caught_up(line, event_id)
        record_property("dump_seconds", await asyncio.to_thread(back_up, database_url, dump))
        asked = [a_call(sessionize_id=each.guid) for each in (by_request, in_advance)]
        for call in asked:
            await publish_erasure(line.producer, call)
            assert (await answer_to(line, call.request_id))["status"] == "done"
        await erase(line.engine, ORGANIZATION, by_command.id_in(ORGANIZATION))
        await caught_up(line, event_id)
    settings = {"kafka_bootstrap_servers": own_kafka, "kafka_transactions": "false"}

    async with an_empty_database(database_url) as url:
        restoring = await asyncio.to_thread(restore, dump, url)
        env = environment(database_url=url, data_dir=str(tmp_path), **settings)
        async with database(url, pool_size=4) as engine:
            assert set(await tables_with(engine, by_request.mark)), "the backup has the person"
            assert "erasures replay" in (await unconfirmed_restore(engine) or "")
            await refused_by_services(tmp_path, url, settings)

            begun = time.monotonic()
            too_early = await asyncio.to_thread(run, "erasures", "replay", env=env)
            assert too_early.returncode == 1
            assert "relay rewind --restored" in too_early.stderr
            for command in (
                ("migrate",),
                ("relay", "rewind", "--restored"),
                ("erasures", "replay", "--json"),
            ):
                done = await asyncio.to_thread(run, *command, env=env)
                assert done.returncode == 0, done.stderr
            record_property("restore_seconds", restoring)
            record_property("commands_seconds", time.monotonic() - begun)
            replayed = json.loads(done.stdout)
            assert (replayed["confirmed"], replayed["erased"]) == (True, 3)
            await check_confirmed(engine)
            for person in people[:3]:
                assert await tables_with(engine, person.mark) == {}

        async with the_line(own_kafka, url, snapshot_events=1) as line:
            serve(line, "drill123", *people)
            again = a_request("drill123", WINDOW, event_id=event_id)
            assert (await line.sync(again))["status"] == "completed"
            bodies = await caught_up(line, event_id)
            for person in people[:3]:
                assert await tables_with(line.engine, person.mark) == {}
            assert await tables_with(line.engine, remains.mark)
            async with the_http_side(line) as http:
                schedule = (await http.client.get(f"/v1/events/{event_id}/schedule")).text
            assert remains.mark in schedule
            for person in people[:3]:
                assert person.mark.encode() not in bodies
                assert person.mark not in schedule
            assert (await verify(line.engine)).findings == []


async def refused_by_services(folder: Path, url: str, settings: dict[str, str]) -> None:
    """Services wait at the start, and name the command."""
    tokens = folder / "tokens.json"
    made = await asyncio.to_thread(
        run,
        *("token", "create", "--file", str(tokens), "--name", "web", "--scope", "read"),
        env=environment(),
    )
    assert made.returncode == 0, made.stderr
    more = {"database_url": url, **settings, "api_tokens_file": str(tokens)}
    with (
        service("worker", folder, **more) as worker,
        service("api", folder, **more) as api,
    ):
        for each in (worker, api):
            body = await each.ready("spreaview-sync erasures replay")
            assert body["ok"] is False


async def test_a_running_http_side_refuses_a_log_that_is_not_confirmed(
    module_kafka: str, database_url: str, engine: AsyncEngine
) -> None:
    async with the_line(module_kafka, database_url) as line, the_http_side(line) as http:
        await rename(engine)
        refused = await http.client.get("/v1/events")

    assert refused.status_code == 503
    assert "spreaview-sync erasures replay" in refused.json()["detail"]


async def test_a_running_relay_publishes_nothing_before_the_log_is_confirmed(
    own_kafka: str, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with the_line(own_kafka, database_url) as line:
        serve(line, "drill123", Person())
        request = a_request("drill123", WINDOW)
        await line.sync(request)
        await caught_up(line, request.spreaview_event_id)
        await rewind(
            line.log,
            Checkpoints(line.engine),
            relay_publisher(line.addresses),
            Leadership(partial(leader_connection, database_url)),
            to=None,
            restored=True,
        )
        person = Person()
        serve(line, "drill123", person)
        again = a_request("drill123", WINDOW, event_id=request.spreaview_event_id)
        await line.sync(again)
        async with asyncio.timeout(PATIENCE):
            while "erasures replay" not in caplog.text:  # noqa: ASYNC110 (the relay logs it)
                await asyncio.sleep(0.05)
        async with open_topic_reader(line.addresses.kafka) as reader:
            partitions = await partitions_of(reader, IMPORT_EVENTS)
            bodies = [record.value or b"" async for record in to_the_end(reader, partitions)]
        assert person.mark.encode() not in b"".join(bodies)

        async with line.engine.begin() as connection:
            await confirm_place(connection)

        assert person.mark.encode() in await caught_up(line, request.spreaview_event_id)


async def rename(engine: AsyncEngine) -> None:
    """Give the log another id, as `relay rewind --restored` does."""
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE event_store.log SET log_id = gen_random_uuid()"))


async def test_a_topic_that_does_not_reach_back_to_the_backup_is_a_gap(
    own_kafka: str, database_url: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    """The sandbox's broker deletes nothing, so the beginning of the topic is stated here."""

    async with the_line(own_kafka, database_url) as line:
        await publish_erasure(line.producer, a_call(sessionize_id="ada"))
        async with open_topic_reader(line.addresses.kafka) as reader:
            begins = reader.consumer.beginning_offsets

            async def later(partitions: list[object]) -> dict[object, int]:
                return {each: begin + 5 for each, begin in (await begins(partitions)).items()}

            reader.consumer.beginning_offsets = later
            now = datetime.now(UTC)
            gaps = {}
            for age in (timedelta(days=60), timedelta(days=1)):
                done = await replay_topics(
                    engine,
                    reader,
                    backup_time=now - age,
                    requests_kept=timedelta(days=400),
                    events_kept=timedelta(days=30),
                )
                gaps[age.days] = done.gaps

    assert gaps[1] == []
    (gap,) = gaps[60]
    assert gap.startswith(IMPORT_EVENTS)
