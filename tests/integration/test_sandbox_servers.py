"""The sandbox's servers answer on loopback, keep their data and end with their block."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from cli.sandbox import ports
from cli.sandbox.errors import PortTakenError, SandboxError
from cli.sandbox.kafka import kafka
from cli.sandbox.postgres import postgres
from tests.support.owners import (
    FAST,
    PATIENCE,
    STARTER,
    ask,
    is_alive,
    is_listening,
    port_of,
    printed,
    started,
)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def name_of(process: psutil.Process) -> str:
    """The name of a process; empty if the process has ended."""
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""


@pytest.mark.asyncio
async def test_postgres_answers_on_loopback_only_and_ends_with_its_block(tmp_path: Path) -> None:
    others = set(psutil.Process().children(recursive=True))  # servers of the whole test run
    async with postgres(tmp_path / "data", settings=FAST) as url:
        assert url == f"postgresql://postgres@127.0.0.1:{port_of(url)}/spreaview"
        assert await ask(url, "SELECT current_database()") == "spreaview"
        assert await ask(url, "SHOW server_encoding") == "UTF8"
        assert await ask(url, "SELECT datcollate FROM pg_database LIMIT 1") == "C"
        assert await ask(url, "SHOW listen_addresses") == "127.0.0.1"
        assert await ask(url, "SHOW unix_socket_directories") == ""
        assert await ask(url, "SHOW max_connections") == "200"
        assert await ask(url, "SHOW fsync") == "off"
        family = set(psutil.Process().children(recursive=True)) - others
        assert [p for p in family if name_of(p) == "postgres"]
    assert not [p for p in family if is_alive(p) and name_of(p) == "postgres"]
    assert not await is_listening(port_of(url))


@pytest.mark.asyncio
async def test_data_and_databases_survive_a_restart(tmp_path: Path) -> None:
    async with postgres(tmp_path / "data", database='a "name"/x') as url:
        assert await ask(url, "SELECT current_database()") == 'a "name"/x'
        await ask(url, "CREATE TABLE kept AS SELECT 'this' AS what")
    async with postgres(tmp_path / "data", database='a "name"/x') as url:
        assert await ask(url, "SELECT what FROM kept") == "this"
        assert await ask(url, "SHOW fsync") == "on"


@pytest.mark.asyncio
async def test_an_interrupted_initdb_is_repeated(tmp_path: Path) -> None:
    half = tmp_path / "data" / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n", "ascii")
    async with postgres(tmp_path / "data", settings=FAST) as url:
        assert await ask(url, "SELECT 1") == 1
    assert not half.exists()


@pytest.mark.asyncio
async def test_a_folder_in_use_is_refused_without_disturbing_its_server(tmp_path: Path) -> None:
    async with postgres(tmp_path / "postgres", settings=FAST) as url:
        with pytest.raises(SandboxError, match=f"{tmp_path / 'postgres'} is in use.*Remedy"):
            async with postgres(tmp_path / "postgres", settings=FAST):
                pass
        async with started(STARTER, tmp_path) as process:
            assert f"{tmp_path / 'postgres'} is in use" in await printed(process)
        assert await ask(url, "SELECT 1") == 1


@pytest.mark.asyncio
async def test_a_failed_start_reports_the_end_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match='invalid value for parameter "shared_buffers"'):
        async with postgres(tmp_path / "data", settings={"shared_buffers": "a lot"}):
            pass


@pytest.mark.asyncio
async def test_an_impossible_folder_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SandboxError, match=r"cannot use the folder .*file/data.*Remedy"):
        async with postgres(tmp_path / "file" / "data"):
            pass


@pytest.mark.asyncio
async def test_kafka_answers_at_once_and_ends_with_its_block(tmp_path: Path) -> None:
    async with kafka(log_path=tmp_path / "kafka.log") as address:
        admin = AIOKafkaAdminClient(bootstrap_servers=address)
        await admin.start()
        configs = {"message.timestamp.type": "LogAppendTime", "retention.ms": "86400000"}
        await admin.create_topics([NewTopic("topic", 3, 1, topic_configs=configs)])
        await admin.close()
        producer = AIOKafkaProducer(bootstrap_servers=address)
        await producer.start()
        await producer.send_and_wait("topic", b"value", partition=2)
        await producer.stop()
        consumer = AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")
        consumer.assign([TopicPartition("topic", 2)])
        await consumer.start()
        record = await asyncio.wait_for(consumer.getone(), PATIENCE)
        await consumer.stop()
        assert record.value == b"value"
    assert not await is_listening(port_of(address))


@pytest.mark.asyncio
async def test_a_given_port_that_is_taken_is_an_error(tmp_path: Path, taken_port: int) -> None:
    with pytest.raises(PortTakenError, match="PostgreSQL did not start: its port is taken"):
        async with postgres(tmp_path / "data", port=taken_port, settings=FAST):
            pass
    with pytest.raises(PortTakenError, match="the Kafka broker did not start: its port is taken"):
        async with kafka(port=taken_port, log_path=tmp_path / "kafka.log"):
            pass


@pytest.mark.asyncio
async def test_a_free_port_taken_by_another_process_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process is a server of the same kind, so it could be mistaken for ours."""
    free_port = ports.free_port
    async with (
        postgres(tmp_path / "other", settings=FAST) as other_url,
        kafka(log_path=tmp_path / "other.log") as other_address,
    ):
        offered = [port_of(other_url), free_port()]
        monkeypatch.setattr(ports, "free_port", lambda: offered.pop(0))
        async with postgres(tmp_path / "data", settings=FAST) as url:
            assert port_of(url) != port_of(other_url)
        offered = [port_of(other_address), free_port()]
        async with kafka(log_path=tmp_path / "kafka.log") as address:
            assert address != other_address
