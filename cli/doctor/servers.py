"""Checks of the connections: PostgreSQL, its pooler and its replica, Kafka, Sessionize."""

import asyncio
from collections.abc import Sequence
from functools import partial

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.brokers import with_known_features
from cli.connections import DatabaseAddress, database, http_client, plain_connection
from cli.doctor.findings import Check, Result, Server, ok, problem, warning
from cli.doctor.installation import Installation
from cli.doctor.texts import split_remedy
from cli.errors import CommandError
from cli.runfile import resolve_replica
from cli.servers import database_errors
from cli.services import VERSION
from cli.status.headings import MANAGED, POOLER, SERVERS
from contracts.outage_text import describe_outage
from contracts.wording import counted
from eventstore.connection import VARIABLE
from eventstore.log import EventLog
from eventstore.pooler import PoolerError, refuse_pooler
from eventstore.schema_version import check_version
from eventstore.server_facts import server_facts
from messaging.access import bootstrap_servers
from messaging.access import check as check_access
from messaging.connection import PREFIX, KafkaConnection
from messaging.features import broker_features

_OLDEST_MAJOR = 15
_ANSWER_SECONDS = 2.0
"""For Sessionize: less than the time of a check, so that the check ends with a sentence."""
_HERE = frozenset({"localhost", "::1"})


async def postgresql(installation: Installation) -> Sequence[Result]:
    """PostgreSQL answers, takes writes, and the connection is encrypted."""
    async with installation.engine.connect() as connection:
        found = await server_facts(connection)
    results = []
    if found.is_replica:
        results.append(
            problem(
                f"{VARIABLE} leads to a replica, which takes no writes",
                f"set {VARIABLE} to the primary",
                see=POOLER,
            )
        )
    if found.major < _OLDEST_MAJOR:
        results.append(
            warning(f"PostgreSQL {found.version} is older than {_OLDEST_MAJOR}", "update it")
        )
    if not (found.is_local or found.is_encrypted):
        results.append(
            warning(
                "the connection to PostgreSQL is not encrypted",
                f"add sslmode=verify-full and sslrootcert to {VARIABLE}",
                see=MANAGED,
            )
        )
    how = "encrypted" if found.is_encrypted else "on this machine"
    return results or [ok(f"PostgreSQL {found.version} answers; the connection is {how}")]


async def sessions(installation: Installation) -> Sequence[Result]:
    """The address for locks leads to the primary of the log, and has sessions of its own."""
    address = installation.addresses.for_sessions
    try:
        await refuse_pooler(partial(plain_connection, address), address.variable)
    except PoolerError as error:
        sentence, _, remedy = str(error).partition(". Remedy: ")
        return [problem(sentence, remedy)]
    except Exception as error:  # another server than the one that answers
        return [_unreachable(address, error)]
    if address.variable == VARIABLE:
        return [ok("no transaction pooler; locks have sessions of their own")]
    return [await _same_log(installation, address, "the direct address leads to the same log")]


async def replica(installation: Installation) -> Sequence[Result]:
    """The replica answers, is a copy of this log, and is not far behind."""
    address = resolve_replica(installation.settings)
    if installation.settings.read_database_url is None:
        return [ok("no replica is set")]
    result = await _same_log(installation, address, "the replica answers and follows the primary")
    return [result]


async def _same_log(installation: Installation, address: DatabaseAddress, well: str) -> Result:
    ours = await EventLog(installation.engine).head()
    log_id = await EventLog(installation.engine).log_id()
    try:
        async with database(address.url, 1, address.variable) as other:
            await check_version(other, f"the database of {address.variable}")
            return await _compare(other, log_id, ours, address.variable, well)
    except Exception as error:  # whatever it is, it concerns this address only
        return _unreachable(address, error)


async def _compare(
    other: AsyncEngine, log_id: object, ours: int, variable: str, well: str
) -> Result:
    if await EventLog(other).log_id() != log_id:
        return problem(
            f"{variable} leads to another log than {VARIABLE}",
            f"set both to the same database; a replica must be one of its copies: {variable}",
        )
    missing = ours - await EventLog(other).head()
    if missing > 0:
        behind = counted(missing, "position")
        return warning(f"the replica is {behind} behind the primary", "check its replication")
    return ok(well)


def _unreachable(address: DatabaseAddress, error: Exception) -> Result:
    try:
        with database_errors(address.url, address.variable, remedy=f"check {address.variable}."):
            raise error
    except CommandError as known:
        sentence, remedy = split_remedy(str(known))
        return problem(sentence, remedy or f"check {address.variable}")
    except Exception as unknown:
        return problem(f"{address.variable}: {describe_outage(unknown)}", "check that server")


async def kafka(installation: Installation) -> Sequence[Result]:
    """Kafka accepts the connection, has transactions, and the connection is encrypted."""
    connection = installation.kafka
    await check_access(connection)
    await with_known_features(installation.addresses)  # refuses a broker that lacks transactions
    results = []
    elsewhere = [host for host, _ in bootstrap_servers(connection) if not _is_here(host)]
    if elsewhere and not connection.protocol.has_tls:
        results.append(
            warning(
                f"the connection to Kafka is not encrypted: {connection.protocol}",
                f"set {PREFIX}SECURITY_PROTOCOL to SSL or SASL_SSL",
                see=MANAGED,
            )
        )
    are_off = not installation.addresses.kafka_transactions
    if are_off and not await installation.is_sandbox() and await _has_transactions(connection):
        results.append(
            warning(
                "the broker has transactions, and the settings turn them off",
                f"unset {PREFIX}TRANSACTIONS",
            )
        )
    how = "encrypted" if connection.protocol.has_tls else str(connection.protocol)
    return results or [ok(f"Kafka answers; the connection is {how}")]


async def _has_transactions(connection: KafkaConnection) -> bool:
    return (await broker_features(connection)).knows_transactions


async def sessionize(installation: Installation) -> Sequence[Result]:
    """Sessionize answers, with any status: no schedule is requested."""
    url = installation.addresses.sessionize_base_url
    host = httpx.URL(url).netloc.decode()
    try:
        async with (
            asyncio.timeout(_ANSWER_SECONDS),
            http_client(VERSION) as client,
            client.stream("GET", url) as response,
        ):
            status = response.status_code
    except CommandError as error:
        sentence, remedy = split_remedy(str(error))
        return [problem(sentence, remedy)]
    except (httpx.HTTPError, OSError) as error:  # a TimeoutError is an OSError
        reason = describe_outage(error)
        return [
            problem(
                f"Sessionize at {host} does not answer: {reason}",
                "check the network, its proxy and DNS, and SPREAVIEW_SESSIONIZE_BASE_URL",
            )
        ]
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return [warning(f"Sessionize at {host} answers with status {status}", "wait and try again")]
    return [ok(f"Sessionize at {host} answers")]


def _is_here(host: str) -> bool:
    return host in _HERE or host.startswith("127.")


CHECKS = (
    Check(
        "PostgreSQL",
        SERVERS,
        postgresql,
        reaches=Server.DATABASE,
        failures=(
            *("PostgreSQL is down", "PostgreSQL refuses the user"),
            "the database does not exist",
        ),
    ),
    Check(
        "sessions",
        POOLER,
        sessions,
        (Server.DATABASE, Server.LOG),
        failures=("a transaction pooler stands before the database",),
    ),
    Check("replica", POOLER, replica, (Server.DATABASE, Server.LOG)),
    Check(
        "Kafka",
        SERVERS,
        kafka,
        reaches=Server.KAFKA,
        failures=("Kafka is down", "Kafka refuses the user"),
    ),
    Check("Sessionize", SERVERS, sessionize),
)
