"""Apache Kafka in a container, by testcontainers, where a container engine runs."""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from docker.errors import DockerException  # type: ignore[import-untyped]  # has no types
from testcontainers.core.container import DockerContainer

from tests.support.kafka.broker import (
    LOOPBACK,
    STOP_SECONDS,
    NoKafkaError,
    new_cluster_id,
    until_it_answers,
)
from tests.support.kafka.jars import kafka_version
from tests.support.ports import free_port

IMAGE = f"apache/kafka:{kafka_version()}"

_INSIDE, _CONTROLLER, _OUTSIDE = 19092, 9093, 9092


@asynccontextmanager
async def container_broker() -> AsyncIterator["ContainerBroker"]:
    """A broker that runs when the block begins; its container is removed when the block ends.

    The Kafka module of testcontainers runs another vendor's image only, so this is the general
    container. Its companion (Ryuk) removes it if this process dies.

    Raises:
        NoKafkaError: no engine answers, it cannot have the image, or the broker stays silent.
    """
    port, cluster_id = free_port(), new_cluster_id()
    container = _container(port, cluster_id)
    broker = ContainerBroker(container, f"{LOOPBACK}:{port}", cluster_id)
    try:
        await broker.create()
        yield broker
    finally:
        await asyncio.to_thread(container.stop)


class ContainerBroker:
    """A broker in a container. Fulfils `Broker`: the container keeps its data and its port."""

    def __init__(self, container: DockerContainer, address: str, cluster_id: str) -> None:
        self._container = container
        self._address = address
        self._cluster_id = cluster_id

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`."""
        return self._address

    async def create(self) -> None:
        """Fetch the image if need be and start the container. Raises as `container_broker`."""
        try:
            await asyncio.to_thread(self._container.start)
        except DockerException as error:
            raise NoKafkaError(f"the engine cannot run {IMAGE}: {error}") from error
        await self._answers()

    async def start(self) -> None:
        """Start the stopped container again."""
        await asyncio.to_thread(self._container.get_wrapped_container().start)
        await self._answers()

    async def stop(self) -> None:
        """Ask it to end, and insist after a while."""
        container = self._container.get_wrapped_container()
        await asyncio.to_thread(container.stop, timeout=int(STOP_SECONDS))

    async def kill(self) -> None:
        """End it with SIGKILL."""
        container = self._container.get_wrapped_container()
        await asyncio.to_thread(container.kill)
        await asyncio.to_thread(container.wait)

    async def _answers(self) -> None:
        try:
            await until_it_answers(self._address, self._cluster_id, lambda: None)
        except TimeoutError as error:
            raise NoKafkaError(f"{IMAGE} does not answer at {self._address}") from error


def _container(port: int, cluster_id: str) -> DockerContainer:
    """A container that is not started yet. Raises NoKafkaError if no engine answers."""
    with warnings.catch_warnings():
        # Its client leaves a socket open when no engine answers.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            container = DockerContainer(IMAGE, env=_environment(port, cluster_id))
        except DockerException:
            container = None
        gc.collect()
    if container is None:
        raise NoKafkaError("no Docker engine answers")
    # Its own method for this would listen on every interface.
    cast("dict[str, object]", container.ports)[f"{_OUTSIDE}/tcp"] = (LOOPBACK, port)
    return container


def _environment(port: int, cluster_id: str) -> dict[str, str]:
    """The image's settings. The broker calls itself for transactions, hence a listener inside."""
    plain = ("INSIDE", "OUTSIDE", "CONTROLLER")
    return {
        "CLUSTER_ID": cluster_id,
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": f"1@localhost:{_CONTROLLER}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INSIDE",
        "KAFKA_LISTENERS": (
            f"INSIDE://localhost:{_INSIDE},OUTSIDE://:{_OUTSIDE},"
            f"CONTROLLER://localhost:{_CONTROLLER}"
        ),
        "KAFKA_ADVERTISED_LISTENERS": f"INSIDE://localhost:{_INSIDE},OUTSIDE://{LOOPBACK}:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": ",".join(f"{name}:PLAINTEXT" for name in plain),
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "4",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_HEAP_OPTS": "-Xmx512m",
    }
