"""`spreaview-sync status` reports on everything, and its exit code is right."""

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.sandbox.conference import conference_window
from cli.sandbox.kafka import kafka
from contracts import identity
from contracts.messages import encode_request
from contracts.topics import SYNC_REQUESTS
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from messaging.connection import KafkaConnection
from messaging.requests import producing, publish_erasure, publish_request
from messaging.topics import declare_topics
from projections.generations import select_live_generation
from projections.version import CODE_VERSION
from tests.support.apache_kafka import own_broker
from tests.support.erasures import a_call
from tests.support.line import Line, a_request, the_line
from tests.support.ports import free_port
from tests.support.processes import PATIENCE, environment, run
from tests.support.services import service
from tests.support.streams import STARTED

pytestmark = pytest.mark.asyncio

WINDOW = conference_window()
SECTIONS = [
    *("intake", "erasures", "relay", "projections"),
    *("dead_letters", "open_runs", "generations", "seals"),
]


class Watched:
    """A database and a broker, and the commands that report on them."""

    def __init__(self, folder: Path, database_url: str, kafka: str) -> None:
        self.environment = environment(
            data_dir=str(folder), database_url=database_url, kafka_bootstrap_servers=kafka
        )
        self.kafka = kafka

    async def status(self, exit_code: int) -> dict[str, Any]:
        """Run `status`, assert its exit code, and return its JSON document."""
        return await self.told("status", exit_code=exit_code)

    async def told(self, *command: str, exit_code: int) -> dict[str, Any]:
        done, found = await self._told(*command)
        assert done.returncode == exit_code, done.stdout + done.stderr
        return found

    async def until(
        self, expected: Callable[[dict[str, Any]], bool], *command: str
    ) -> dict[str, Any]:
        """Wait until the document of a command, `status` by default, is as expected."""
        found: dict[str, Any] = {}
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    _, found = await self._told(*(command or ("status",)))
                    if expected(found):
                        return found
        except TimeoutError:
            raise AssertionError(found) from None

    async def _told(self, *command: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
        done = await asyncio.to_thread(run, *command, "--json", env=self.environment)
        assert "Traceback" not in done.stderr
        assert done.stdout, done.stderr
        return done, dict(json.loads(done.stdout))

    async def publish(self, *requests: Any) -> None:
        async with producing(KafkaConnection(self.kafka)) as producer:
            for request in requests:
                await publish_request(producer, request)


def problems(status: dict[str, Any]) -> dict[str, str]:
    """The problems by section."""
    return {each["section"]: each["problem"] for each in status["problems"]}


@pytest_asyncio.fixture
async def watched(own_kafka: str, database_url: str, tmp_path: Path) -> Watched:
    await declare_topics(
        KafkaConnection(own_kafka), partitions=3, replication_factor=1, retention_days=1
    )
    return Watched(tmp_path, database_url, own_kafka)


@pytest_asyncio.fixture
async def line(watched: Watched, database_url: str) -> AsyncIterator[Line]:
    async with the_line(watched.kafka, database_url, kafka_session_seconds=1.0) as line:
        yield line


async def test_all_is_well_while_everything_works(watched: Watched, line: Line) -> None:
    await line.sync(a_request("demo2026", WINDOW))
    await watched.until(lambda found: found["relay"]["behind_events"] == 0)
    found = await watched.status(0)
    assert (found["well"], found["problems"]) == (True, [])
    assert list(found)[2:] == SECTIONS
    assert found["intake"] == {"waiting": 0, "oldest_seconds": 0.0, "workers": None}
    assert found["erasures"] == {"waiting": 0, "oldest_seconds": 0.0}
    assert found["relay"]["behind_events"] == 0
    assert found["relay"]["published"] == found["relay"]["head"] > 0
    assert found["projections"]["behind_events"] == 0
    assert found["dead_letters"] == {"open": 0, "oldest": None}
    assert found["open_runs"] == {"open": 0, "oldest_seconds": 0.0, "runs": []}
    assert found["generations"] == {"live": 1, "all": [{"number": 1, "state": "live"}]}
    assert found["seals"] == {"streams": 0, "newest": None, "age_seconds": None}
    shown = await asyncio.to_thread(run, "status", env=watched.environment)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.endswith("All is well.\n")
    assert "intake        0 requests waiting\n" in shown.stdout


async def test_a_request_that_nobody_works_on_is_a_problem(watched: Watched) -> None:
    await watched.publish(a_request("demo2026", WINDOW))
    found = await watched.status(1)
    assert found["intake"]["waiting"] == 1
    assert found["intake"]["oldest_seconds"] > 0
    assert problems(found) == {"intake": "1 request waiting, and no worker runs"}
    shown = await asyncio.to_thread(run, "status", env=watched.environment)
    assert "next          spreaview-sync worker\n" in shown.stdout
    assert shown.stdout.endswith("1 problem to act on.\n")


async def test_a_request_to_forget_a_person_that_nobody_works_on_is_a_problem(
    watched: Watched,
) -> None:
    async with producing(KafkaConnection(watched.kafka)) as producer:
        await publish_erasure(producer, a_call(sessionize_id="ada"))
    found = await watched.status(1)
    assert found["erasures"]["waiting"] == 1
    assert found["erasures"]["oldest_seconds"] > 0
    assert problems(found) == {"erasures": "1 erasure request waiting, and no worker runs"}


async def test_a_request_with_an_outcome_does_not_wait_although_it_is_not_committed(
    watched: Watched, line: Line, database_url: str, tmp_path: Path
) -> None:
    request = a_request("demo2026", WINDOW)
    await line.sync(request)
    async with kafka(log_path=tmp_path / "another.log") as another:
        await declare_topics(
            KafkaConnection(another), partitions=3, replication_factor=1, retention_days=1
        )
        beside = Watched(tmp_path, database_url, another)
        await beside.publish(request)
        assert (await beside.status(0))["intake"]["waiting"] == 0
        await beside.publish(a_request("demo2026", WINDOW))
        assert (await beside.status(0))["intake"]["waiting"] == 1, "a worker leads"


async def test_requests_wait_for_their_turn_while_other_runs_make_progress(
    watched: Watched, line: Line, database_url: str, tmp_path: Path
) -> None:
    await line.sync(a_request("demo2026", WINDOW))
    async with kafka(log_path=tmp_path / "another.log") as another:
        connection = KafkaConnection(another)
        await declare_topics(connection, partitions=3, replication_factor=1, retention_days=1)
        async with producing(connection) as producer:
            an_hour_ago = int((time.time() - 3600) * 1000)
            value = encode_request(a_request("demo2026", WINDOW))
            await producer.send_and_wait(SYNC_REQUESTS, value, timestamp_ms=an_hour_ago)
        beside = Watched(tmp_path, database_url, another)
        assert (await beside.status(0))["intake"]["oldest_seconds"] > 3000
        beside.environment["SPREAVIEW_STUCK_SECONDS"] = "0.001"
        assert problems(await beside.status(1))["intake"].startswith(
            "1 request waiting, and no run has begun or ended for "
        )


async def test_work_that_hangs_although_a_worker_runs_is_a_problem(
    watched: Watched, line: Line
) -> None:
    """A session holds the locks of tables that `status` does not read."""
    hanging = {
        "intake": "1 request waiting, and no run has begun or ended for ",
        "erasures": "1 erasure request waiting, the oldest for ",
        "open_runs": "1 run open, the oldest for ",
    }
    watched.environment["SPREAVIEW_STUCK_SECONDS"] = "1"

    def is_named(found: dict[str, Any]) -> bool:
        named = problems(found)
        return all(named.get(name, "").startswith(begin) for name, begin in hanging.items())

    def is_examined(found: dict[str, Any]) -> bool:
        named = [each["sentence"] for each in found["findings"] if each["verdict"] == "problem"]
        return all(any(each.startswith(begin) for each in named) for begin in hanging.values())

    async with line.engine.begin() as connection:
        await connection.execute(text("LOCK TABLE event_store.inbox, event_store.erasures"))
        await publish_request(line.producer, a_request("demo2026", WINDOW))
        await publish_erasure(line.producer, a_call(sessionize_id="ada"))
        found = await watched.until(is_named)
        assert "although a worker runs: look at its log" in problems(found)["intake"]
        await watched.until(is_examined, "doctor")
    await watched.until(lambda found: found["well"])


async def test_open_dead_letters_and_stopped_streams_are_problems(
    watched: Watched, line: Line
) -> None:
    request = a_request("demo2026", WINDOW)
    await line.sync(request)
    await watched.until(lambda found: found["well"])
    await line.producer.send_and_wait(SYNC_REQUESTS, b"not JSON")
    async with line.engine.begin() as connection:
        await select_live_generation(connection)
        await connection.execute(
            text(
                "UPDATE stream_progress SET error = 'x', stopped_at = now(), code_version = :ours"
            ),
            {"ours": CODE_VERSION},
        )
    found = problems(await watched.until(lambda found: len(found["problems"]) == 2))
    assert found == {"projections": "1 stream stopped", "dead_letters": "1 dead letter open"}


async def test_an_open_run_without_a_worker_is_a_problem(
    watched: Watched, engine: AsyncEngine
) -> None:
    request = a_request("demo2026", WINDOW)
    await begin_run(engine, request)
    found = await watched.status(1)
    assert found["open_runs"].pop("oldest_seconds") > 0
    assert found["open_runs"] == {
        "open": 1,
        "runs": [
            {
                "sync_id": str(request.request_id),
                "spreaview_event_id": str(request.spreaview_event_id),
            }
        ],
    }
    assert problems(found)["open_runs"] == "1 run open, and no worker runs"
    assert problems(found)["relay"].startswith("nobody publishes: 1 event not on Kafka yet")


async def test_a_server_that_does_not_answer_is_named_and_the_rest_is_shown(
    database_url: str, engine: AsyncEngine, own_kafka: str, tmp_path: Path
) -> None:
    await begin_run(engine, a_request("demo2026", WINDOW))
    nowhere = f"127.0.0.1:{free_port()}"
    without_kafka = await Watched(tmp_path, database_url, nowhere).status(1)
    reason = (
        f"Kafka at {nowhere} does not answer: the connection was refused\nRemedy: check "
        "SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS and the broker, then run this again."
    )
    assert problems(without_kafka) == {"intake, erasures, relay, dead_letters, seals": reason}
    assert without_kafka["seals"] == {"error": reason}
    assert without_kafka["projections"]["head"] == 1
    relay = without_kafka["relay"]
    assert relay["error"] == reason
    assert (relay["head"], relay["published"], relay["behind_events"]) == (1, 0, 1)
    shown = await asyncio.to_thread(
        run, "status", env=Watched(tmp_path, database_url, nowhere).environment
    )
    (line,) = [line for line in shown.stdout.splitlines() if line.startswith("relay ")]
    assert line.startswith("relay         nobody leads; 1 event behind for ")
    assert line.endswith(
        "published up to position 0, by the database; Kafka's copy of the checkpoint not known"
    )
    assert without_kafka["generations"]["live"] == 1

    await declare_topics(
        KafkaConnection(own_kafka), partitions=1, replication_factor=1, retention_days=1
    )
    url = f"postgresql://postgres@{nowhere}/x"
    without_database = await Watched(tmp_path, url, own_kafka).status(1)
    reason = (
        f"PostgreSQL at {url} does not answer: the connection was refused\nRemedy: check "
        "SPREAVIEW_DATABASE_URL and the server, then run this again."
    )
    assert problems(without_database) == {
        "intake, relay, projections, open_runs, generations": reason
    }
    assert without_database["dead_letters"] == {"open": 0, "oldest": None}
    shown = await asyncio.to_thread(
        run, "status", env=Watched(tmp_path, url, own_kafka).environment
    )
    assert "relay         not known\n" in shown.stdout


async def test_a_section_that_is_late_is_named_and_the_rest_is_shown(
    watched: Watched, engine: AsyncEngine
) -> None:
    """A session holds the lock of the log, as a statement of an operator does."""
    async with engine.begin() as connection:
        await connection.execute(text("LOCK TABLE event_store.events IN ACCESS EXCLUSIVE MODE"))
        began = time.monotonic()
        found = await watched.status(1)
        seconds = time.monotonic() - began
    assert seconds < PATIENCE / 2
    assert found["dead_letters"] == {"open": 0, "oldest": None}
    assert found["relay"] == {"error": "no answer within 10 s"}
    (late,) = (each for each in found["problems"] if each["problem"] == "no answer within 10 s")
    assert {"relay", "projections", "open_runs"} <= set(late["section"].split(", "))
    assert (late["next"], found["well"]) == ("spreaview-sync doctor", False)


@pytest.mark.parametrize("away", ["database_url", "kafka_bootstrap_servers"])
async def test_a_silent_server_does_not_delay_the_rest(
    watched: Watched, away: str, tmp_path: Path
) -> None:
    """It accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        is_database = away == "database_url"
        silent = f"postgresql://postgres@{address}/x" if is_database else address
        watched.environment[f"SPREAVIEW_{away.upper()}"] = silent
        began = time.monotonic()
        done = await asyncio.to_thread(run, "status", "--json", env=watched.environment)
        seconds = time.monotonic() - began
    assert (done.returncode, done.stderr) == (1, "")
    assert seconds < PATIENCE / 2
    found = json.loads(done.stdout)
    of_the_database = {"projections", "open_runs", "generations"}
    shown = {"erasures", "dead_letters", "seals"} if is_database else of_the_database
    assert {name for name in SECTIONS if "error" not in found[name]} == shown
    assert ("published" in found["relay"]) == (not is_database), "by the database's copy"


async def test_wrong_settings_end_with_2(tmp_path: Path) -> None:
    done = await asyncio.to_thread(run, "status", env=environment(data_dir=str(tmp_path)))
    assert done.returncode == 2
    assert "SPREAVIEW_DATABASE_URL" in done.stderr


async def test_dead_services_are_noticed_by_their_groups(
    database_url: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    """Apache Kafka counts the members of a group; the sandbox's broker does not."""
    async with own_broker(tmp_path) as broker:
        watched = Watched(tmp_path, database_url, broker.address)
        settings = {
            "database_url": database_url,
            "kafka_bootstrap_servers": broker.address,
            "kafka_session_seconds": "6",
            "kafka_transactions": "true",
        }
        with service("worker", tmp_path, **settings) as worker:
            await worker.line(event="WORKER: ready")
            with service("projector", tmp_path, **settings) as projector:
                await projector.line(event="PROJECTOR: ready")
                request = a_request("demo2026", WINDOW)
                await watched.publish(request)
                await worker.line(sync_id=str(request.request_id))
                found = await watched.until(lambda found: found["well"])
                assert found["intake"]["workers"] == found["projections"]["projectors"] == 1
        await watched.publish(a_request("demo2026", WINDOW))
        await begin_run(engine, a_request("demo2026", WINDOW))
        found = problems(await watched.until(lambda found: len(found["problems"]) == 4))
        assert found["intake"] == "1 request waiting, and no worker runs"
        assert found["relay"].endswith("1 event not on Kafka yet, and no worker leads")
        assert found["projections"].endswith("and no projector runs")
        assert found["open_runs"] == "1 run open, and no worker runs"


async def test_a_restored_database_is_reported_at_once(
    database_url: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    """By `status`, `relay status` and `/ready`: Kafka's checkpoint is not in the log."""
    async with own_broker(tmp_path) as broker:
        watched = Watched(tmp_path, database_url, broker.address)
        settings = {
            "database_url": database_url,
            "kafka_bootstrap_servers": broker.address,
            "kafka_session_seconds": "6",
            "kafka_transactions": "true",
        }
        with service("worker", tmp_path, **settings) as worker:
            await worker.line(event="WORKER: ready")
            request = a_request("demo2026", WINDOW)
            await watched.publish(request)
            await worker.line(sync_id=str(request.request_id))
            await watched.until(lambda found: found["behind_events"] == 0, "relay", "status")
        await restore_to_the_beginning(engine)

        found = await watched.status(1)
        assert "restored to an earlier time" in problems(found)["relay"]
        assert found["relay"]["published"] == 0
        status = await watched.told("relay", "status", exit_code=1)
        assert "spreaview-sync relay rewind --restored" in status["mismatch"]
        with service("worker", tmp_path, **settings) as worker:
            body = await worker.ready("restored to an earlier time", "relay")
            assert body["ok"] is False


async def test_a_restored_database_is_noticed_on_a_broker_without_transactions(
    watched: Watched, line: Line, engine: AsyncEngine
) -> None:
    await line.sync(a_request("demo2026", WINDOW))
    await watched.until(lambda found: found["well"])
    await restore_to_the_beginning(engine)
    status = await watched.told("relay", "status", exit_code=1)
    assert "restored to an earlier time" in status["mismatch"]
    found = await watched.status(1)
    assert "1 stream ahead of it" in problems(found)["projections"]


async def begin_run(engine: AsyncEngine, request: Any) -> None:
    """Append the beginning of a run, as a worker that is killed then."""
    event = replace(
        STARTED, sync_id=request.request_id, spreaview_event_id=request.spreaview_event_id
    )
    new = NewEvent(identity.message_id(request.request_id, 0), event)
    await EventLog(engine).append(Commit(request.spreaview_event_id, 0, [new]))


async def restore_to_the_beginning(engine: AsyncEngine) -> None:
    """Bring the log to its state before the first event, as a restore does."""
    async with engine.begin() as connection:
        for statement in (
            "ALTER TABLE event_store.events DISABLE TRIGGER append_only",
            "DELETE FROM event_store.events",
            "ALTER TABLE event_store.events ENABLE ALWAYS TRIGGER append_only",
            "DELETE FROM event_store.streams",
            "DELETE FROM event_store.checkpoints",
        ):
            await connection.execute(text(statement))
