"""A replay sends the log again, in order and marked, and continues after an interruption."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.erase import erase
from audit.transfer.replay import (
    REPLAY,
    ReplayIdentity,
    ReplaySelection,
    Sender,
    replay,
    replayed_file,
    to_lines,
    to_topic,
)
from cli.commands.replay import Replay, publish_again
from cli.errors import CommandError
from cli.settings import Settings
from contracts import samples
from contracts.events import RoomImported, SpeakerImported
from contracts.topics import DEFAULT_PARTITIONS, TOPICS
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent, Recorded
from messaging.cloudevents import decode, log_source
from messaging.publisher import TransactionalPublisher
from tests.support.brokers import Can, KnownBroker
from tests.support.brokers import broker as broker
from tests.support.processes import environment, run

pytestmark = pytest.mark.asyncio

ROOM = next(event for event in samples.EVENTS if isinstance(event, RoomImported))
SPEAKER = next(event for event in samples.EVENTS if isinstance(event, SpeakerImported))


async def a_log(log: EventLog) -> list[UUID]:
    streams = [uuid4(), uuid4()]
    for version in range(4):
        for stream in streams:
            await log.append(
                Commit(stream, 3 * version, [NewEvent(uuid4(), ROOM) for _ in range(3)])
            )
    return streams


async def test_lines_are_cloudevents_in_order_and_marked(log: EventLog, tmp_path: Path) -> None:
    streams = await a_log(log)
    lines: list[str] = []
    log_id = (await log.identity()).log_id
    sender = to_lines(lines.append, ReplayIdentity(log_id, "audit", streams[1]))
    done = await replay(log, ReplaySelection(spreaview_event_id=streams[1]), sender)
    told = [json.loads(line) for line in "".join(lines).splitlines()]
    recorded = [r async for r in log.read_stream(streams[1])]
    assert (done.events, done.position) == (12, await log.head())
    assert [(t["id"], t["position"], t["replay"]) for t in told] == [
        (str(r.message_id), r.position, "audit") for r in recorded
    ]
    assert told[0]["data"]["name"] == ROOM.name
    assert told[0]["specversion"] == "1.0"


async def test_a_replay_of_a_part_stops_at_its_last_position(log: EventLog) -> None:
    await a_log(log)
    positions = [r.position for r in await log.read_all(0)]
    seen: list[int] = []

    async def send(events: Sequence[Recorded], _: int) -> None:
        seen.extend(event.position for event in events)

    await replay(log, ReplaySelection(after=positions[4], until=positions[9]), Sender("test", send))
    assert seen == positions[5:10]


async def test_a_paced_replay_keeps_the_proportions_of_time(log: EventLog) -> None:
    await a_log(log)
    recorded = await log.read_all(0)
    took = (recorded[-1].recorded_at - recorded[0].recorded_at).total_seconds()
    loop = asyncio.get_running_loop()
    at: list[float] = []

    async def send(events: Sequence[Recorded], _: int) -> None:
        at.extend(loop.time() for _ in events)

    await replay(log, ReplaySelection(), Sender("test", send), pace=0.5)
    assert len(at) == len(recorded)
    assert at[-1] - at[0] >= 2 * took * 0.9


async def test_a_speaker_erased_during_a_replay_is_replayed_without_names(
    log: EventLog, engine: AsyncEngine
) -> None:
    stream = uuid4()
    for version in range(2):
        await log.append(Commit(stream, version, [NewEvent(uuid4(), SPEAKER)]))
    first, second = await log.read_all(0)
    gap = (second.recorded_at - first.recorded_at).total_seconds()
    names: list[object] = []

    async def send(events: Sequence[Recorded], _: int) -> None:
        names.extend(event.data["full_name"] for event in events)
        if len(names) == 1:
            await erase(engine, SPEAKER.organization_id, SPEAKER.speaker_id)

    await replay(
        log, ReplaySelection(until=second.position), Sender("test", send), pace=gap
    )  # a second between them
    assert names == [SPEAKER.full_name, None]


async def test_a_topic_gets_each_event_once_after_an_interruption(
    log: EventLog, broker: KnownBroker
) -> None:
    broker.needs(Can.TRANSACTIONS)
    await a_log(log)
    identity = ReplayIdentity((await log.identity()).log_id, "again")
    publisher = TransactionalPublisher(
        broker.connection, await broker.a_topic(), f"replay-{uuid4()}", transactions=True
    )
    positions = [r.position for r in await log.read_all(0)]
    async with to_topic(publisher, identity) as (sender, _):
        await replay(log, ReplaySelection(until=positions[9]), sender)
    async with to_topic(publisher, identity) as (sender, reached):
        assert reached == positions[9]
        await replay(log, ReplaySelection(after=reached), sender)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.address,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    consumer.assign([TopicPartition(publisher.topic, n) for n in range(DEFAULT_PARTITIONS)])
    await consumer.start()
    found: list[Any] = []
    try:
        async with asyncio.timeout(30):
            while len(found) < len(positions):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += records
    finally:
        await consumer.stop()
    assert sorted(decode(r.value or b"", r.headers).position for r in found) == positions
    assert {dict(r.headers)[REPLAY] for r in found} == {b"again"}


async def test_an_outage_reports_whether_the_replay_continues(
    log: EventLog, database_url: str, broker: KnownBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def goes_down(*_: object, **__: object) -> None:
        raise KafkaConnectionError("away")

    monkeypatch.setattr("cli.commands.replay.declare_replay", goes_down)
    settings = Settings(database_url=database_url, kafka_bootstrap_servers=broker.address)
    remedy = "continues where it was" if broker.can(Can.TRANSACTIONS) else "begins again, for"
    wanted = Replay("again", ReplaySelection(), "test-replay", None, None)
    with pytest.raises(CommandError, match=f"Remedy: run the same command again; it {remedy}"):
        await publish_again(wanted, settings, as_json=False)


async def test_an_interrupted_file_is_continued(
    log: EventLog, database_url: str, tmp_path: Path
) -> None:
    await a_log(log)
    env = environment(database_url=database_url)
    file = tmp_path / "replay.jsonl"
    command = ("replay", "--name", "mine", "--output", str(file))
    done = await asyncio.to_thread(run, *command, env=env)
    assert done.returncode == 0, done.stderr
    assert file.stat().st_mode & 0o077 == 0, "people's names are in it"
    whole = file.read_text()
    assert len(whole.splitlines()) == 24
    file.write_text(whole[: len(whole) // 2])  # in the middle of a line
    assert (await asyncio.to_thread(run, *command, env=env)).returncode == 0
    assert file.read_text() == whole
    with pytest.raises(ValueError, match="another replay"):
        replayed_file(file, ReplayIdentity((await log.identity()).log_id, "other"))


async def change_log_id(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE event_store.log SET log_id = gen_random_uuid()"))


@pytest.mark.parametrize(
    ("first", "second"),
    [("all", "one"), ("one", "all"), ("one", "other"), ("all", None), ("one", None)],
)
async def test_a_file_of_another_log_or_selection_is_not_continued(
    log: EventLog,
    engine: AsyncEngine,
    database_url: str,
    tmp_path: Path,
    first: str,
    second: str | None,
) -> None:
    """The second selection is None if the log is another one."""
    one, other = await a_log(log)
    chosen = {"one": ("--event-id", str(one)), "other": ("--event-id", str(other)), "all": ()}
    env, file = environment(database_url=database_url), tmp_path / "replay.jsonl"
    command = ("replay", "--name", "mine", "--output", str(file))
    for number in (24 if first == "all" else 12, 0):
        done = await asyncio.to_thread(run, *command, *chosen[first], env=env)
        assert (done.returncode, done.stderr.split(" ")[0]) == (0, str(number))
    content = file.read_bytes()
    if second is None:
        await change_log_id(engine)
    done = await asyncio.to_thread(run, *command, *chosen[second or first], env=env)
    assert (done.returncode, file.read_bytes()) == (1, content)
    assert f"{file} holds a replay 'mine' of another log" in done.stderr


async def test_a_topic_with_another_log_or_selection_is_not_continued(
    log: EventLog, engine: AsyncEngine, database_url: str, apache_kafka: str
) -> None:
    one, _ = await a_log(log)
    env = environment(database_url=database_url, kafka_bootstrap_servers=apache_kafka)
    name = str(uuid4())
    command = ("replay", "--name", name, "--to-topic", f"test-{name}")
    done = await asyncio.to_thread(run, *command, env=env)
    assert done.returncode == 0, done.stderr
    refusal = f"the topic holds a replay '{name}' of another log, or with another --event-id"
    done = await asyncio.to_thread(run, *command, "--event-id", str(one), env=env)
    assert (done.returncode, refusal in done.stderr) == (1, True)
    await change_log_id(engine)
    done = await asyncio.to_thread(run, *command, env=env)
    assert (done.returncode, refusal in done.stderr) == (1, True)


@pytest.mark.parametrize("content", ["a note", "a note\n", "[1]\n", '{"specversion": "1.0"}'])
async def test_a_file_with_other_content_is_not_changed(
    log: EventLog, database_url: str, tmp_path: Path, content: str
) -> None:
    await a_log(log)
    file = tmp_path / "notes"
    file.write_text(content)
    command = ("replay", "--name", "mine", "--output", str(file))
    done = await asyncio.to_thread(run, *command, env=environment(database_url=database_url))
    assert (done.returncode, file.read_text()) == (1, content)
    assert f"{file}, line 1, is not part of a replay" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        *(("--to-topic", topic) for topic in sorted(TOPICS)),
        ("--after", str(2**63)),
        ("--after", "5", "--until", "3"),
        ("--name", " "),
    ],
)
async def test_contradictory_arguments_are_refused(
    database_url: str, arguments: tuple[str, ...]
) -> None:
    command = ("replay", "--name", "x", *arguments)
    done = await asyncio.to_thread(run, *command, env=environment(database_url=database_url))
    assert done.returncode == 2
    assert arguments[0] in done.stderr


@pytest.mark.parametrize("option", ["--after", "--until"])
async def test_a_position_beyond_the_head_is_refused(
    log: EventLog, database_url: str, tmp_path: Path, option: str
) -> None:
    await a_log(log)
    head, file = await log.head(), tmp_path / "replay.jsonl"
    command = ("replay", "--name", "mine", "--output", str(file), option)
    env = environment(database_url=database_url)
    done = await asyncio.to_thread(run, *command, str(head + 1), env=env)
    assert (done.returncode, file.exists()) == (1, False)
    assert f"Position {head + 1} is beyond the head of the log, which is at {head}" in done.stderr
    assert (await asyncio.to_thread(run, *command, str(head), env=env)).returncode == 0


async def test_a_file_that_reaches_beyond_the_head_is_not_continued(
    log: EventLog, database_url: str, tmp_path: Path
) -> None:
    await a_log(log)
    head, file = await log.head(), tmp_path / "replay.jsonl"
    source = log_source((await log.identity()).log_id)
    line = json.dumps(
        {"specversion": "1.0", "id": "x", "source": source, "replay": "mine", "position": head + 7}
    )
    line += "\n"
    file.write_text(line)
    command = ("replay", "--name", "mine", "--output", str(file))
    done = await asyncio.to_thread(run, *command, env=environment(database_url=database_url))
    assert (done.returncode, file.read_text()) == (1, line)
    assert f"has reached position {head + 7} in {file}, beyond the head" in done.stderr


async def test_json_prints_the_result_on_standard_output(
    log: EventLog, database_url: str, tmp_path: Path
) -> None:
    await a_log(log)
    env = environment(database_url=database_url)
    command = ("replay", "--name", "mine", "--json")
    done = await asyncio.to_thread(run, *command, "--output", str(tmp_path / "file"), env=env)
    assert json.loads(done.stdout) == {
        "replay": "mine",
        "events": 24,
        "position": await log.head(),
    }
    done = await asyncio.to_thread(run, *command, env=env)
    assert len(done.stdout.splitlines()) == 24
    assert json.loads(done.stderr)["events"] == 24
