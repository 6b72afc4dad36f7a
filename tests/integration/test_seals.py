"""The leader publishes seals of the log; they can be kept in files."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.transfer.seal_files import published_seals, read_seals
from audit.verify.verify import verify
from cli.commands.seals import add_seals
from cli.doctor.checks import CHECKS
from cli.doctor.findings import Verdict
from cli.doctor.installation import Installation
from cli.runfile import resolve
from cli.sandbox.conference import conference_window
from cli.settings import Settings
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from eventstore.seals import Seal, encode_seal, heads
from messaging.connection import KafkaConnection
from messaging.requests import producing
from messaging.topics import declare_topics
from tests.support.brokers import Can, KnownBroker
from tests.support.brokers import broker as broker
from tests.support.line import Line, a_request, the_line
from tests.support.processes import PATIENCE, environment, run
from tests.support.projected import SAMPLES
from worker.relay.chores import seal

pytestmark = pytest.mark.asyncio

WINDOW = conference_window()
LOG = uuid4()


async def test_the_newest_heads_are_on_the_topic_and_prove_the_log(
    broker: KnownBroker, database_url: str, tmp_path: Path
) -> None:
    async with the_line(
        broker.address,
        database_url,
        transactions=broker.can(Can.TRANSACTIONS),
        kafka_session_seconds=broker.session_seconds,
        seal_seconds=0.2,
    ) as line:
        first = a_request("demo2026", WINDOW)
        await line.sync(first)
        await sealed(line)
        await line.sync(a_request("demo2026", WINDOW, event_id=first.spreaview_event_id))
        await line.sync(a_request("demo2026", WINDOW))
        seals = await sealed(line)
        file = tmp_path / "seals"
        env = environment(kafka_bootstrap_servers=broker.address, database_url=database_url)
        kept = await asyncio.to_thread(run, "seals", "export", "--output", str(file), env=env)
        assert kept.returncode == 0, kept.stderr
        assert {what(s) for s in read_seals(file)} == {what(s) for s in seals}
        found = await verify(line.engine, seals=seals)
        assert (found.found.total(), found.checked["seals"]) == (0, 2)


def what(seal: Seal) -> tuple[UUID, int, str]:
    """The content of a seal without its time: a new leader seals again."""
    return seal.stream_id, seal.version, seal.hash


async def sealed(line: Line) -> list[Seal]:
    """Wait until the topic has a seal of every current head."""
    log_id = (await line.log.identity()).log_id
    expected = {what(s) async for s in heads(line.engine, log_id)}
    async with asyncio.timeout(40):
        while True:
            seals = await published_seals(line.addresses.kafka)
            if {what(s) for s in seals} == expected:
                return seals


async def test_an_event_appended_during_sealing_is_sealed_once(
    module_kafka: str, engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = EventLog.head

    async def moves(log: EventLog) -> int:
        head = await look(log)
        await log.append(Commit(uuid4(), 0, [NewEvent(uuid4(), SAMPLES["RoomImported"])]))
        return head

    monkeypatch.setattr(EventLog, "head", moves)
    async with producing(KafkaConnection(module_kafka)) as producer:
        reached = await seal(engine, producer)
    assert reached == await look(log) == 1


@pytest.mark.parametrize(
    ("seal_seconds", "verdict"),
    [(0.001, Verdict.WARNING), (3600.0, Verdict.OK)],
    ids=["old", "young"],
)
async def test_the_doctor_warns_if_an_old_log_was_never_sealed(
    own_kafka: str, database_url: str, engine: AsyncEngine, seal_seconds: float, verdict: Verdict
) -> None:
    log = EventLog(engine)
    await log.append(Commit(uuid4(), 0, [NewEvent(uuid4(), SAMPLES["RoomImported"])]))
    kafka = KafkaConnection(own_kafka)
    await declare_topics(kafka, partitions=1, replication_factor=1, retention_days=30)
    async with asyncio.timeout(PATIENCE):
        while (await log.behind(0)).seconds <= 3 * 0.001:
            pass
    settings = Settings(
        database_url=database_url, kafka_bootstrap_servers=own_kafka, seal_seconds=seal_seconds
    )
    (check,) = (each for each in CHECKS if each.name == "seals")
    (found,) = await check.look(Installation(settings, resolve(settings), engine))
    assert (found.verdict, check.see) == (verdict, "The log is not sealed")
    if verdict is Verdict.WARNING:
        assert found.sentence.startswith("1 event not sealed")


def a_seal(stream: UUID, version: int, log_id: UUID = LOG) -> Seal:
    return Seal(log_id, stream, version, f"{version:064x}", version, datetime.now(UTC))


async def test_adding_keeps_old_seals_and_appends_only_new_ones(tmp_path: Path) -> None:
    file, one, other = tmp_path / "seals", uuid4(), uuid4()
    first = a_seal(one, 3)
    assert add_seals(file, [first]) == 1
    assert file.stat().st_mode & 0o077 == 0
    assert add_seals(file, [a_seal(one, 3)]) == 0
    another = msgspec.structs.replace(first, hash="f" * 64)
    assert add_seals(file, [another, a_seal(other, 1)]) == 2
    assert [(s.stream_id, s.hash) for s in read_seals(file)] == [
        (one, first.hash),
        (one, another.hash),
        (other, f"{1:064x}"),
    ]


async def test_after_a_restore_only_the_seals_of_the_newest_log_are_added(tmp_path: Path) -> None:
    file, stream = tmp_path / "seals", uuid4()
    before = a_seal(uuid4(), 4, log_id=uuid4())
    assert add_seals(file, [before, a_seal(stream, 1)]) == 1
    assert [seal.stream_id for seal in read_seals(file)] == [stream]


async def test_a_cut_off_last_line_is_removed(tmp_path: Path) -> None:
    file, stream = tmp_path / "seals", uuid4()
    add_seals(file, [a_seal(stream, 1), a_seal(uuid4(), 2)])
    file.write_bytes(file.read_bytes()[:-40])
    add_seals(file, [a_seal(stream, 5)])
    assert [seal.version for seal in read_seals(file)] == [1, 5]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"what I wrote on Sunday\n", "line 1"),
        (b"what I wrote on Sunday", "its last line"),
        (encode_seal(a_seal(uuid4(), 1, uuid4())) + b"\n", "another log"),
    ],
)
async def test_a_file_with_other_content_is_refused_and_not_changed(
    tmp_path: Path, content: bytes, why: str
) -> None:
    file = tmp_path / "seals"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=why):
        add_seals(file, [a_seal(uuid4(), 1)])
    assert file.read_bytes() == content


async def test_a_pipe_gets_every_seal(tmp_path: Path) -> None:
    """Nothing is read from it, so there is nothing to compare with."""
    pipe, seals = tmp_path / "pipe", [a_seal(uuid4(), 1), a_seal(uuid4(), 2)]
    os.mkfifo(pipe)
    read = asyncio.create_task(asyncio.to_thread(pipe.read_bytes))
    assert await asyncio.to_thread(add_seals, pipe, seals) == 2
    assert await read == b"".join(encode_seal(each) + b"\n" for each in seals)


async def test_a_line_without_a_seal_is_named(tmp_path: Path) -> None:
    (tmp_path / "seals").write_text('{"no": "seal"}\n')
    with pytest.raises(ValueError, match="line 1"):
        list(read_seals(tmp_path / "seals"))
