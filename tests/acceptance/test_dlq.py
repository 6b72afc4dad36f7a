"""`spreaview-sync dlq` as an operator uses it, beside a running system."""

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

from cli.connections import database
from cli.sandbox.conference import conference_window
from cli.waiting import run_ended
from contracts.messages import SyncRequested, encode_request
from contracts.topics import SYNC_REQUESTS
from eventstore.log import EventLog
from messaging.connection import KafkaConnection
from messaging.dead_letters.records import dead_letter
from messaging.requests import producing, publish_request
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


def told(running: Up, *arguments: str) -> Any:
    done = dlq(running, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def poison(running: Up, key: str) -> dict[str, Any]:
    """Publish what cannot be read; the open letter that the worker makes of it."""

    async def publish() -> None:
        async with producing(KafkaConnection(running.kafka)) as producer:
            await producer.send_and_wait(SYNC_REQUESTS, POISON.encode(), key=key.encode())

    asyncio.run(publish())
    return letter_of(running, key)


def letter_of(running: Up, key: str) -> dict[str, Any]:
    """The open letter with this key, when it is there."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        for letter in told(running, "list"):
            if letter["key"] == key:
                return dict(letter)
    raise AssertionError(f"no letter of {key}")


def readable_letter(running: Up, request: SyncRequested, received: datetime) -> str:
    """The letter that an earlier version, which could not read it, made of a good request."""
    key = str(request.spreaview_event_id)
    record = a_record(
        SYNC_REQUESTS,
        (3, 0),
        value=encode_request(request),
        key=key.encode(),
        timestamp=int(received.timestamp() * 1000),
    )

    async def set_aside() -> None:
        async with producing(KafkaConnection(running.kafka)) as producer:
            await dead_letter(producer, record, "not known yet")

    asyncio.run(set_aside())
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
    """The status with which the run of a request ends."""

    async def wait() -> object:
        if publish:
            async with producing(KafkaConnection(running.kafka)) as producer:
                await publish_request(producer, request)
        async with database(running.database_url, pool_size=1) as engine:
            return (await run_ended(Queries(engine), request.request_id, PATIENCE))["status"]

    return asyncio.run(wait())


def test_a_letter_is_seen_and_discarded_and_no_secret_is_shown(running_up: Up) -> None:
    letter = poison(running_up, "seen")
    name = letter["letter"]
    assert (letter["topic"], letter["size"]) == (SYNC_REQUESTS, len(POISON))
    assert "request_id" in letter["reason"]

    listed, shown = dlq(running_up, "list"), dlq(running_up, "show", name)
    for said in (name, letter["reason"], f"{SYNC_REQUESTS}/{letter['partition']}"):
        assert said in listed.stdout
        assert said in shown.stdout
    assert '"request_id": "not a UUID"' in shown.stdout
    whole = told(running_up, "show", name)
    assert json.loads(whole["body"])["sessionize_api_id"] == "s3********"
    assert SECRET not in listed.stdout + shown.stdout + json.dumps([letter, whole])
    assert dlq(running_up, "show", name, "--raw").stdout == POISON

    for reason in ((), ("--reason", " ")):
        refused = dlq(running_up, "discard", name, *reason)
        assert refused.returncode == 2
        assert "--reason" in refused.stderr
    assert told(running_up, "discard", name, "--reason", "a typing error")["discarded"] == [name]
    assert name not in {x["letter"] for x in told(running_up, "list")}
    (dealt_with,) = [x for x in told(running_up, "list", "--all") if x["letter"] == name]
    assert [(f["fate"], f["reason"]) for f in dealt_with["fates"]] == [
        ("discarded", "a typing error")
    ]
    assert "discarded: a typing error" in dlq(running_up, "list", "--all").stdout

    twice = dlq(running_up, "discard", name, "--reason", "again")
    assert (twice.returncode, twice.stdout) == (1, "")
    assert f"{name} was discarded already" in twice.stderr


def test_what_is_bad_again_is_a_new_letter_with_the_first_time(running_up: Up) -> None:
    letter = poison(running_up, "bad again")
    name = letter["letter"]
    assert f"{name} is published again" in dlq(running_up, "retry", name).stdout
    second = letter_of(running_up, "bad again")
    assert second["letter"] != name
    assert second["first_received"] == letter["first_received"]

    refused = dlq(running_up, "retry", name)
    assert refused.returncode == 1
    assert f"{name} was retried already" in refused.stderr
    assert "--again" in refused.stderr
    (retried,) = told(running_up, "retry", name, "--again")["retried"]
    assert (retried["letter"], retried["topic"]) == (name, SYNC_REQUESTS)


def test_a_retried_request_completes_in_its_place(running_up: Up) -> None:
    """The older one is retried first; one that a later sync overtook is superseded."""
    long_ago, later = datetime(2026, 5, 1, 8, tzinfo=UTC), datetime(2026, 5, 2, 8, tzinfo=UTC)
    one, overtaken = a_request("demo2026", WINDOW), a_request("demo2026", WINDOW)
    newest = a_request("demo2026", WINDOW, event_id=overtaken.spreaview_event_id)
    names = [
        readable_letter(running_up, overtaken, later),
        readable_letter(running_up, one, long_ago),
    ]
    assert ended(running_up, newest, publish=True) == "completed"

    done = told(running_up, "retry", "--all")
    assert done["failed"] == []
    retried = [x["letter"] for x in done["retried"] if x["letter"] in names]
    assert retried == names[::-1]

    assert ended(running_up, one) == "completed"
    assert ended(running_up, overtaken) == "superseded"
    runs = asyncio.run(ordered_at(running_up.database_url, one.spreaview_event_id))
    assert runs == [("SyncStarted", long_ago), ("SyncCompleted", long_ago)]


def test_a_letter_that_is_not_there_is_named_and_nothing_is_done(running_up: Up) -> None:
    there = poison(running_up, "stays")["letter"]
    for arguments in (
        ("show", "3/999"),
        ("retry", there, "3/999"),
        ("discard", there, "3/999", "--reason", "x"),
    ):
        done = dlq(running_up, *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert "no dead letter 3/999" in done.stderr
        assert "dlq list --all" in done.stderr
    assert letter_of(running_up, "stays")["letter"] == there


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "17"), "not a letter such as 3/17"),
        (("retry",), "--all"),
        (("retry", "3/17", "--all"), "--all"),
        (("retry", "--all", "--again"), "--again"),
        (("discard", "--reason", "x"), "LETTER"),
        (("show", "3/17", "--raw", "--json"), "--raw"),
    ],
)
def test_wrong_arguments_end_with_2(arguments: tuple[str, ...], said: str) -> None:
    done = run("dlq", *arguments, env=environment())
    assert done.returncode == 2
    assert said in done.stderr


def test_without_kafka_it_says_what_to_do(tmp_path: Path) -> None:
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
