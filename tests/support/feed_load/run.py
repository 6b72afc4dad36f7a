"""One run: clients follow a growing log while the server is killed; then the log is restored."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
from sqlalchemy import text

from cli.commands.token import write_token
from cli.connections import database
from eventstore.restored import confirm_place
from projections.http.tokens import Scope
from tests.support.chaos.members import Member, members
from tests.support.feed_load.clients import Report
from tests.support.feed_load.growing import GrowingLog
from tests.support.feed_load.process import ClientsProcess, clients_process
from tests.support.ports import free_port
from tests.support.processes import COMMAND, environment

_LOOPBACK = "127.0.0.1"
_READY_SECONDS = 60.0
_MIB = 1024 * 1024
_SHOWN = 5


class Size(NamedTuple):
    """Size of a run."""

    clients: int
    """One of them never reads."""
    kills: int
    seconds: float
    """Time from one kill to the next."""
    sessions: int = 20
    """Events of an outcome, about."""
    per_second: float = 2.0
    """Imports per second; each has two commits."""
    burst: int = 20
    """Runs that follow one another without pause, to measure the work of the server."""
    patience: float = 120.0
    """Seconds in which every client has to catch up."""
    feed_bytes: int | None = None
    """Memory for the newest events, if not the usual; little of it has clients read the log."""


@dataclass
class Figures:
    """The result of a run."""

    wrong: list[str] = field(default_factory=list)
    """A sentence for each broken guarantee."""
    numbers: dict[str, float] = field(default_factory=dict)

    def table(self) -> str:
        """The figures as text."""
        rows = [f"  {name:<52}{value:>14,.3f}" for name, value in self.numbers.items()]
        return "\n".join(["the feed under load", *rows, *self.wrong])


async def run(
    database_url: str, size: Size, folder: Path, *, program: Sequence[str] = COMMAND
) -> Figures:
    """Run the whole programme on a migrated database of its own.

    Args:
        database_url: a database that nobody else uses; it is replaced during the run.
        size: how much.
        folder: an existing folder for logs.
        program: the command, without `api`.
    """
    figures = Figures()
    numbers = figures.numbers
    numbers |= {"clients": size.clients, "kills of the server": size.kills}
    async with database(database_url, pool_size=4) as engine:
        log = GrowingLog(engine)
        await log.run(size.sessions)
        await engine.dispose()
        await _copy(database_url)
        async with (
            _serving(database_url, folder, program, size) as (api, port, token),
            clients_process(port, size.clients, token) as clients,
        ):
            await _catch_up(clients, log, size, figures)
            numbers["memory after the first connections, MiB"] = _memory(api)
            await _kills(api, clients, log, size, figures)
            await _burst(api, clients, log, size, figures)
            numbers["memory at the end, MiB"] = _memory(api)
            await _restore(api, clients, log, size, database_url, figures)
            await _stop(api, figures)
    return figures


async def _kills(
    api: Member, clients: ClientsProcess, log: GrowingLog, size: Size, figures: Figures
) -> None:
    for _ in range(size.kills):
        await log.grow(size.seconds, sessions=size.sessions, per_second=size.per_second)
        await _killed(api)
        await log.run(size.sessions)  # while there is no server
        await clients.ask(reconnect_idle=True)
        await _catch_up(clients, log, size, figures)
    before, cpu = len(log.commits), _cpu(api)
    await log.grow(size.seconds, sessions=size.sessions, per_second=size.per_second)
    report = await _catch_up(clients, log, size, figures)
    numbers = figures.numbers
    numbers["CPU of the server per commit and client, µs"] = (
        1e6 * (_cpu(api) - cpu) / (len(log.commits) - before) / size.clients
    )
    numbers["events of the log"] = len((await log.positions())[""])
    numbers["deliveries"] = report.deliveries
    numbers["connections"] = report.connections
    numbers["deliveries with a known latency"] = report.measured
    for name, mille in (("median", 500), ("p99", 990), ("most", 1000)):
        numbers[f"commit to delivery, {name}, ms"] = report.latencies[mille] * 1000
    if report.resets:
        figures.wrong.append(f"{report.resets} clients got a reset of the same log")


async def _burst(
    api: Member, clients: ClientsProcess, log: GrowingLog, size: Size, figures: Figures
) -> None:
    before, began = await clients.ask(), time.monotonic()
    cpu = _cpu(api)
    for _ in range(size.burst):
        await log.run(size.sessions)
    after = await _catch_up(clients, log, size, figures)
    deliveries = after.deliveries - before.deliveries
    numbers = figures.numbers
    numbers["burst: deliveries"] = deliveries
    numbers["burst: seconds"] = time.monotonic() - began
    numbers["burst: CPU seconds of the server"] = _cpu(api) - cpu
    numbers["burst: deliveries per CPU second"] = deliveries / (_cpu(api) - cpu)
    numbers["burst: CPU seconds of the clients"] = after.cpu_seconds - before.cpu_seconds


async def _restore(
    api: Member,
    clients: ClientsProcess,
    log: GrowingLog,
    size: Size,
    database_url: str,
    figures: Figures,
) -> None:
    """Kill the server, restore the database from its copy, and let the log grow again."""
    await _killed(api)
    await _put_back(database_url)
    await log.restored()
    async with database(database_url, pool_size=1) as engine, engine.begin() as connection:
        await confirm_place(connection)  # nobody was erased since
    await log.run(size.sessions)
    await clients.ask(reconnect_idle=True)
    report = await _catch_up(clients, log, size, figures)
    figures.numbers["restored log: resets of the client with the fewest"] = report.least_resets
    if report.least_resets == 0:
        figures.wrong.append("a client did not get a reset of the restored log")


async def _stop(api: Member, figures: Figures) -> None:
    began = time.monotonic()
    await api.close()
    figures.numbers["SIGTERM with open streams, seconds to the end"] = time.monotonic() - began
    figures.wrong += api.bad_ends
    figures.wrong += [f"the server ended with {code}" for code in api.ended_by_itself]


async def _catch_up(
    clients: ClientsProcess, log: GrowingLog, size: Size, figures: Figures
) -> Report:
    """Wait until the clients have every event, and check that they have each once, in order."""
    expected = await log.positions()
    report = await clients.ask(
        reach={query: each[-1] for query, each in expected.items()},
        within=size.patience,
        expected=expected,
        commits=log.commits,
    )
    figures.wrong += report.wrong[:_SHOWN]
    return report


async def _killed(api: Member) -> None:
    """Kill the server; return when another process has started."""
    pid = api.pid
    await api.kill()
    async with asyncio.timeout(_READY_SECONDS):
        while api.pid in (pid, None):  # noqa: ASYNC110 (the member has no event)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def _serving(
    database_url: str, folder: Path, program: Sequence[str], size: Size
) -> AsyncIterator[tuple[Member, int, str]]:
    """Run `api` without Kafka while the block runs."""
    tokens = folder / "tokens.json"
    token = write_token(tokens, "load", [Scope.READ], None)
    port = await asyncio.to_thread(free_port)
    memory = {} if size.feed_bytes is None else {"feed_bytes": str(size.feed_bytes)}
    env = environment(
        **memory,
        database_url=database_url,
        kafka_bootstrap_servers=f"{_LOOPBACK}:1",
        http_port=str(port),
        api_tokens_file=str(tokens),
        data_dir=str(folder / "data"),
    )
    async with members({"api": [*program, "api"]}, {"api": env}, folder) as started:
        async with httpx.AsyncClient() as client, asyncio.timeout(_READY_SECONDS):
            while True:
                with suppress(httpx.TransportError):
                    await client.get(f"http://{_LOOPBACK}:{port}/live")
                    break
                await asyncio.sleep(0.05)
        yield started["api"], port, token


async def _copy(database_url: str) -> None:
    """Copy the database."""
    name = database_url.rpartition("/")[2]
    await _administer(database_url, f"CREATE DATABASE {name}_kept TEMPLATE {name}")


async def _put_back(database_url: str) -> None:
    """Replace the database by its copy, as a restore does."""
    name = database_url.rpartition("/")[2]
    await _administer(
        database_url,
        f"DROP DATABASE {name} WITH (FORCE)",
        f"ALTER DATABASE {name}_kept RENAME TO {name}",
    )


async def _administer(database_url: str, *statements: str) -> None:
    server = database_url.rpartition("/")[0]
    async with database(f"{server}/postgres", pool_size=1) as engine, engine.connect() as plain:
        connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
        for statement in statements:
            await connection.execute(text(statement))


def _memory(api: Member) -> float:
    assert api.pid is not None
    return float(psutil.Process(api.pid).memory_info().rss / _MIB)


def _cpu(api: Member) -> float:
    assert api.pid is not None
    times = psutil.Process(api.pid).cpu_times()
    return float(times.user + times.system)
