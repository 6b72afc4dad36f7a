"""`spreaview-sync dlq` as an operator runs it while the system is running."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiokafka import TopicPartition

from cli.connections import database
from cli.sandbox.conference import conference_window
from cli.waiting import run_ended
from contracts.messages import SyncRequested, encode_request
from contracts.topics import SYNC_REQUESTS
from eventstore.log import EventLog
from messaging.connection import KafkaConnection
from messaging.dead_letters.records import dead_letter
from messaging.requests import producing, publish_request
from messaging.topic_reader import open_topic_reader, record_at
from projections.queries import Queries
from tests.support.dead_letter_topic import a_record
from tests.support.line import a_request
from tests.support.processes import PATIENCE, Up, environment, run, up

WINDOW = conference_window()
SECRET = "s3cretid42"
POISON = '{"request_id": "not a UUID", "sessionize_api_id": "%s"}' % SECRET  # noqa: UP031


@pytest.fixture(scope="module")
def running_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(environment(data_dir=str(tmp_path_factory.mktemp("up")))) as running:
        yield running


def dlq(running: Up, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("dlq", *arguments, env=running.environment | {"COLUMNS": "200"})


def answer(running: Up, *arguments: str) -> Any:
    done = dlq(running, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def publish_poison(running: Up, key: str) -> dict[str, Any]:
    """Publish an unreadable record; return the dead letter that the worker makes of it."""

    async def publish() -> None:
        async with producing(KafkaConnection(running.kafka)) as producer:
            await producer.send_and_wait(SYNC_REQUESTS, POISON.encode(), key=key.encode())

    asyncio.run(publish())
    return letter_of(running, key)


def letter_of(running: Up, key: str) -> dict[str, Any]:
    """Wait for the open dead letter with this key."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        for letter in answer(running, "list"):
            if letter["key"] == key:
                return dict(letter)
    raise AssertionError(f"no dead letter has the key {key}")


def readable_letter(running: Up, request: SyncRequested, received: datetime) -> str:
    """The dead letter of a valid request, as an earlier version made it."""
    key = str(request.spreaview_event_id)
    record = a_record(
        SYNC_REQUESTS,
        (3, 0),
        value=encode_request(request),
        key=key.encode(),
        timestamp=int(received.timestamp() * 1000),
    )

    async def publish() -> None:
        async with producing(KafkaConnection(running.kafka)) as producer:
            await dead_letter(producer, record, "not known yet")

    asyncio.run(publish())
    return str(letter_of(running, key)["letter"])


async def ordered_at(database_url: str, event_id: UUID) -> list[tuple[str, object]]:
    """Type and `ordered_at` of the runs of an event."""
    async with database(database_url, pool_size=1) as engine:
        return [
            (recorded.type, getattr(recorded.event, "ordered_at", None))
            async for recorded in EventLog(engine).read_stream(event_id)
            if recorded.type in ("SyncStarted", "SyncCompleted", "SyncFailed")
        ]


def ended(running: Up, request: SyncRequested, *, publish: bool = False) -> object:
    """Wait for the end of a request's run; return its status."""

    async def wait() -> object:
        if publish:
            async with producing(KafkaConnection(running.kafka)) as producer:
                await publish_request(producer, request)
        async with database(running.database_url, pool_size=1) as engine:
            return (await run_ended(Queries(engine), request.request_id, PATIENCE))["status"]

    return asyncio.run(wait())


def test_a_dead_letter_is_listed_shown_masked_and_discarded(running_up: Up) -> None:
    letter = publish_poison(running_up, "seen")
    name = letter["letter"]
    assert (letter["topic"], letter["size"]) == (SYNC_REQUESTS, len(POISON))
    assert "request_id" in letter["reason"]

    listed, shown = dlq(running_up, "list"), dlq(running_up, "show", name)
    for expected in (name, letter["reason"], f"{SYNC_REQUESTS}/{letter['partition']}"):
        assert expected in listed.stdout
        assert expected in shown.stdout
    assert '"request_id": "not a UUID"' in shown.stdout
    whole = answer(running_up, "show", name)
    assert json.loads(whole["body"])["sessionize_api_id"] == "s3********"
    assert SECRET not in listed.stdout + shown.stdout + json.dumps([letter, whole])
    assert dlq(running_up, "show", name, "--raw").stdout == POISON

    for reason in ((), ("--reason", " ")):
        refused = dlq(running_up, "discard", name, *reason)
        assert refused.returncode == 2
        assert "--reason" in refused.stderr
    assert answer(running_up, "discard", name, "--reason", "a typing error")["discarded"] == [name]
    assert name not in {x["letter"] for x in answer(running_up, "list")}
    (discarded,) = [x for x in answer(running_up, "list", "--all") if x["letter"] == name]
    assert [(f["fate"], f["reason"]) for f in discarded["fates"]] == [
        ("discarded", "a typing error")
    ]
    assert "discarded: a typing error" in dlq(running_up, "list", "--all").stdout

    second = dlq(running_up, "discard", name, "--reason", "again")
    assert (second.returncode, second.stdout) == (1, "")
    assert f"{name} was discarded already" in second.stderr


def test_a_record_that_was_dead_lettered_twice_is_one_letter(running_up: Up) -> None:
    letter = publish_poison(running_up, "twice")
    name = letter["letter"]

    async def once_more() -> None:
        kafka = KafkaConnection(running_up.kafka)
        async with open_topic_reader(kafka) as reader, producing(kafka) as producer:
            place = TopicPartition(SYNC_REQUESTS, letter["partition"])
            original = await record_at(reader, place, letter["offset"])
            assert original is not None
            await dead_letter(producer, original, "redelivered")

    asyncio.run(once_more())
    (listed,) = [x for x in answer(running_up, "list") if x["key"] == "twice"]
    assert (listed["letter"], len(listed["copies"])) == (name, 1)
    (copy,) = listed["copies"]
    assert f"also at         {copy}" in dlq(running_up, "show", name).stdout
    done = answer(running_up, "discard", name, copy, "--reason", "a typing error")
    assert done["discarded"] == [name]
    assert [x for x in answer(running_up, "list") if x["key"] == "twice"] == []


def test_a_record_that_fails_again_is_a_new_dead_letter_with_the_first_time(running_up: Up) -> None:
    letter = publish_poison(running_up, "fails again")
    name = letter["letter"]
    assert f"{name} is published again" in dlq(running_up, "retry", name).stdout
    second = letter_of(running_up, "fails again")
    assert second["letter"] != name
    assert second["first_received"] == letter["first_received"]

    refused = dlq(running_up, "retry", name)
    assert refused.returncode == 1
    assert f"{name} was retried already" in refused.stderr
    assert "--again" in refused.stderr
    (retried,) = answer(running_up, "retry", name, "--again")["retried"]
    assert (retried["letter"], retried["topic"]) == (name, SYNC_REQUESTS)


def test_a_retried_request_completes_with_its_first_time(running_up: Up) -> None:
    """The oldest request is retried first. A request older than a completed sync is superseded."""
    long_ago, later = datetime(2026, 5, 1, 8, tzinfo=UTC), datetime(2026, 5, 2, 8, tzinfo=UTC)
    one, overtaken = a_request("demo2026", WINDOW), a_request("demo2026", WINDOW)
    newest = a_request("demo2026", WINDOW, event_id=overtaken.spreaview_event_id)
    names = [
        readable_letter(running_up, overtaken, later),
        readable_letter(running_up, one, long_ago),
    ]
    assert ended(running_up, newest, publish=True) == "completed"

    done = answer(running_up, "retry", "--all")
    assert done["failed"] == []
    retried = [x["letter"] for x in done["retried"] if x["letter"] in names]
    assert retried == names[::-1]

    assert ended(running_up, one) == "completed"
    assert ended(running_up, overtaken) == "superseded"
    runs = asyncio.run(ordered_at(running_up.database_url, one.spreaview_event_id))
    assert runs == [("SyncStarted", long_ago), ("SyncCompleted", long_ago)]


def test_an_unknown_dead_letter_is_named_and_nothing_is_changed(running_up: Up) -> None:
    letter = publish_poison(running_up, "stays")["letter"]
    for arguments in (
        ("show", "3/999"),
        ("retry", letter, "3/999"),
        ("discard", letter, "3/999", "--reason", "x"),
    ):
        done = dlq(running_up, *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert "no dead letter 3/999" in done.stderr
        assert "dlq list --all" in done.stderr
    assert letter_of(running_up, "stays")["letter"] == letter


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("show", "17"), "not a letter such as 3/17"),
        (("retry",), "--all"),
        (("retry", "3/17", "--all"), "--all"),
        (("retry", "--all", "--again"), "--again"),
        (("discard", "--reason", "x"), "LETTER"),
        (("show", "3/17", "--raw", "--json"), "--raw"),
    ],
)
def test_wrong_arguments_exit_with_2(arguments: tuple[str, ...], expected: str) -> None:
    done = run("dlq", *arguments, env=environment())
    assert done.returncode == 2
    assert expected in done.stderr


def test_without_kafka_the_remedy_is_shown(tmp_path: Path) -> None:
    env = environment(data_dir=str(tmp_path), kafka_bootstrap_servers="127.0.0.1:1")
    done = run("dlq", "list", env=env)
    assert done.returncode == 1
    assert "Kafka at 127.0.0.1:1 does not answer" in done.stderr
    assert "SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Unclosed" not in done.stderr

    nowhere = run("dlq", "list", env=environment(data_dir=str(tmp_path)))
    assert nowhere.returncode == 2
    assert "SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS" in nowhere.stderr
