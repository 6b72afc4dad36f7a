"""The stack under chaos: servers behind proxies, processes, and the double of Sessionize."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from cli.commands.token import write_token
from projections.http.tokens import Scope
from tests.support.apache_kafka import own_broker_behind
from tests.support.chaos.database import Database, database_server
from tests.support.chaos.disk import Disk, small_disk
from tests.support.chaos.health import (
    PERIOD_SECONDS,
    STUCK_SECONDS,
    Health,
    held_ports,
    watching_health,
)
from tests.support.chaos.kafka_proxy import KafkaProxy, kafka_proxy
from tests.support.chaos.members import Member, members
from tests.support.chaos.proxy import Proxy, proxy
from tests.support.chaos.recorder import Recorder
from tests.support.frozen import PROGRAM, Frozen
from tests.support.kafka.jvm import JvmBroker
from tests.support.ports import free_ports
from tests.support.processes import COMMAND, ROOT, environment
from tests.support.sessionize.double import Double, sessionize_double

ROLES = ("worker", "projector")
HEALTH_PORT = "SPREAVIEW_HEALTH_PORT"
HTTP_PORT = "SPREAVIEW_HTTP_PORT"
TOKENS_FILE = "SPREAVIEW_API_TOKENS_FILE"
EACH = 2
"""Processes of a role."""

SESSION_SECONDS = 3
"""After this time without a heartbeat a member loses its partitions."""

_CLEAN_SECONDS = 20.0


@dataclass
class Servers:
    """The servers of the processes, and the proxies in front of them."""

    disk: Disk
    database: Database
    kafka: JvmBroker
    to_database: Proxy
    to_kafka: KafkaProxy


@dataclass
class Stack(Servers):
    """All running servers and processes."""

    env: dict[str, str]
    """The settings of every process."""
    recorder: Recorder
    double: Double
    members: dict[str, Member]
    """By name: `worker-0`, `worker-1`, `projector-0`, `projector-1`, `api-0`."""
    health: Health
    apis: Mapping[str, int]
    """Port of each member that serves HTTP."""
    token: str
    """Opens every route of them."""


@asynccontextmanager
async def servers(folder: Path) -> AsyncIterator[Servers]:
    """Run PostgreSQL and Apache Kafka behind proxies; skip or fail if there is no Kafka.

    Args:
        folder: an existing folder for data and logs.
    """
    ports = await asyncio.to_thread(free_ports, 3)
    kafka_folder = folder / "kafka"
    kafka_folder.mkdir()
    async with (
        proxy(ports[0]) as to_database,
        kafka_proxy(ports[1]) as to_kafka,
        own_broker_behind(kafka_folder, to_kafka.port) as kafka,
        small_disk() as disk,
        database_server(folder / "postgres", ports[2]) as database,
    ):
        to_database.target = database.port
        to_kafka.target = kafka.behind_proxy
        await disk.prepare(_neighbour_of(database))
        yield Servers(disk, database, kafka, to_database, to_kafka)


@asynccontextmanager
async def running(
    servers: Servers,
    folder: Path,
    *,
    fault: str | None = None,
    each: int = EACH,
    version: Frozen | None = None,
    apis: Sequence[str | None] = (None,),
    **settings: Any,
) -> AsyncIterator[Stack]:
    """Run workers, projectors and HTTP sides on a migrated database.

    Args:
        servers: where everything is kept.
        folder: an existing folder for logs.
        fault: one of `tests.support.chaos.faulty`, built into every worker and projector.
        each: workers, and projectors.
        version: an earlier version, which migrates the database and is run; None: this one.
        apis: one HTTP side for each, with this fault built in.
        settings: beside those that make a run short.
    """
    recorder = Recorder()
    async with sessionize_double(recorder) as double:
        quick = {
            "relay_poll_seconds": 0.3,
            "sweep_seconds": 2,
            "fetch_seconds": 3,
            "graceful_timeout": 5,
            "database_pool": 8,
            "kafka_partitions": 6,
            "kafka_session_seconds": SESSION_SECONDS,
            "health_period_seconds": PERIOD_SECONDS,
            "stuck_seconds": STUCK_SECONDS,
            "log_format": "json",
        }
        env = environment(
            database_url=f"postgresql://postgres@{servers.to_database.address}/spreaview",
            kafka_bootstrap_servers=servers.to_kafka.address,
            sessionize_base_url=double.base_url,
            data_dir=str(folder / "data"),
            **{name: str(value) for name, value in (quick | settings).items()},
        )
        program = _program(fault)
        if version is not None:
            env, program = env | version.env, PROGRAM
        await migrate(env, program)
        commands = {
            f"{role}-{number}": [*program, role] for role in ROLES for number in range(each)
        }
        commands |= {f"api-{n}": [*_program(fault), "api"] for n, fault in enumerate(apis)}
        tokens = folder / "tokens.json"
        token = write_token(tokens, "chaos", list(Scope), None)
        served = [f"api-{number}" for number in range(len(apis))]
        with held_ports(list(commands)) as ports, held_ports(served) as http_ports:
            own = {name: env | {HEALTH_PORT: str(port)} for name, port in ports.items()}
            for name, port in http_ports.items():
                own[name] |= {HTTP_PORT: str(port), TOKENS_FILE: str(tokens)}
            async with members(commands, own, folder) as started, watching_health(ports) as health:
                yield Stack(
                    **vars(servers),
                    env=env,
                    recorder=recorder,
                    double=double,
                    members=started,
                    health=health,
                    apis=http_ports,
                    token=token,
                )


def _program(fault: str | None) -> Sequence[str]:
    if fault is None:
        return COMMAND
    return sys.executable, "-m", "tests.support.chaos.faulty", fault


async def made_anew(servers: Servers) -> None:
    """Empty the database, and delete every topic and group of an earlier stack."""
    await servers.disk.prepare(_neighbour_of(servers.database))
    async with asyncio.timeout(_CLEAN_SECONDS):
        while not await asyncio.to_thread(_cleaned, servers.kafka.address):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def _neighbour_of(database: Database) -> str:
    """Return the URL of another database of the server."""
    return database.url.replace("/spreaview", "/postgres")


def _cleaned(address: str) -> bool:
    """Delete every topic and group that can be deleted; return whether none is left."""
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    topics = [name for name in admin.list_topics(timeout=10).topics if name[:2] != "__"]
    groups = [group.group_id for group in admin.list_consumer_groups().result(10).valid]
    deleted = [*admin.delete_topics(topics).values()] if topics else []
    deleted += [*admin.delete_consumer_groups(groups).values()] if groups else []
    for future in deleted:
        with suppress(KafkaException):  # the broker has not yet noticed that its members are gone
            future.result(10)
    return not deleted


async def migrate(env: Mapping[str, str], program: Sequence[str] = COMMAND) -> None:
    """Run `migrate` with these settings."""
    process = await asyncio.create_subprocess_exec(
        *program,
        "migrate",
        env=dict(env),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
