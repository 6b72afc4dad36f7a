"""A real Apache Kafka for the tests, wherever it can be had.

In this order: the address in SPREAVIEW_TEST_KAFKA; a container by testcontainers, where a Docker
engine runs; the broker from Maven Central, where Java ≥ 17 and Maven are. Where there is none of
these the tests say so and skip, unless SPREAVIEW_TEST_REQUIRE_KAFKA=1 makes that a failure.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from cli.sandbox.guardian import guarded
from cli.sandbox.kafka import answers
from cli.sandbox.ports import free_port

POM = Path(__file__).parent / "kafka" / "pom.xml"
START_SECONDS = 90.0


class NoKafkaError(Exception):
    """Why there is no Apache Kafka here."""


@pytest_asyncio.fixture(scope="session")
async def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of an Apache Kafka broker, for the whole test run."""
    try:
        async with _broker(tmp_path_factory.mktemp("apache-kafka")) as address:
            yield address
    except NoKafkaError as error:
        if os.environ.get("SPREAVIEW_TEST_REQUIRE_KAFKA") == "1":
            pytest.fail(f"Apache Kafka is required here: {error}")
        pytest.skip(f"no Apache Kafka: {error}")


@asynccontextmanager
async def _broker(folder: Path) -> AsyncIterator[str]:
    if address := os.environ.get("SPREAVIEW_TEST_KAFKA"):
        yield address
    elif _docker_runs():
        async with _container() as address:
            yield address
    else:
        jars = await asyncio.to_thread(_jars)
        async with _java_broker(jars, folder) as address:
            yield address


def _docker_runs() -> bool:
    if shutil.which("docker") is None:
        return False
    asked = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"],
        capture_output=True,
        timeout=20,
        check=False,
    )
    return asked.returncode == 0


@asynccontextmanager
async def _container() -> AsyncIterator[str]:
    from testcontainers.community.kafka import KafkaContainer

    container = KafkaContainer().with_kraft()
    await asyncio.to_thread(container.start)
    try:
        yield container.get_bootstrap_server()
    finally:
        await asyncio.to_thread(container.stop)


def _jars() -> Path:
    """The folder with the broker's libraries, fetched once into the user's cache."""
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise NoKafkaError(f"there is neither Docker nor {tool}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spreaview-sync"
    version = POM.read_text("utf-8").split("kafka_2.13</artifactId>")[1].split("version>")[1][:-2]
    jars = cache / f"kafka-{version}"
    if jars.is_dir():
        return jars
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NoKafkaError(f"the cache {cache} cannot be made: {error}") from error
    with tempfile.TemporaryDirectory(dir=cache) as unfinished:
        fetched = subprocess.run(
            [
                *("mvn", "--batch-mode", "--quiet", "--file", str(POM)),
                *("dependency:copy-dependencies", f"-DoutputDirectory={unfinished}/jars"),
            ],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if fetched.returncode != 0:
            raise NoKafkaError(f"Maven could not fetch it: {fetched.stdout[-500:]}")
        try:
            (Path(unfinished) / "jars").rename(jars)
        except OSError:  # another test run was first
            if not jars.is_dir():
                raise
    return jars


@asynccontextmanager
async def _java_broker(jars: Path, folder: Path) -> AsyncIterator[str]:
    client, controller = free_port(), free_port()
    command = await asyncio.to_thread(_prepare, jars, folder, client, controller)
    async with guarded("Apache Kafka", command, log_path=folder / "kafka.log") as server:
        deadline = time.monotonic() + START_SECONDS
        while not await answers(client):
            if not server.is_running or time.monotonic() > deadline:
                raise server.failure()
            await asyncio.sleep(0.2)
        yield f"127.0.0.1:{client}"


def _prepare(jars: Path, folder: Path, client: int, controller: int) -> list[str]:
    """Format the storage; the command that runs the broker."""
    properties = folder / "server.properties"
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{client}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": f"{folder}/data",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
    }
    properties.write_text("\n".join(f"{k}={v}" for k, v in settings.items()), "utf-8")
    java = str(Path(shutil.which("java") or "java").resolve())
    base = [java, "-Xmx512m", "-cp", f"{jars}/*", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    cluster = ("--cluster-id", uuid4().hex[:22], "--config", str(properties))
    formatted = subprocess.run(
        [*base, "kafka.tools.StorageTool", "format", "--standalone", *cluster],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert formatted.returncode == 0, formatted.stdout + formatted.stderr
    return [*base, "kafka.Kafka", str(properties)]
