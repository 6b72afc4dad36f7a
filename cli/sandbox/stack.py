"""The whole sandbox: a local server for every address that the settings leave out."""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from cli.connections import Addresses, database
from cli.runfile import addresses_of
from cli.sandbox.answers import SavedAnswer
from cli.sandbox.errors import PortTakenError
from cli.sandbox.kafka import kafka
from cli.sandbox.postgres import postgres
from cli.sandbox.sessionize import local_sessionize
from cli.servers import database_errors
from cli.settings import Settings, SettingsError
from eventstore.checkpoints import Checkpoints
from eventstore.migrate import migrate
from messaging.connection import KafkaConnection
from projections.prepare import prepare
from worker.relay.checkpoint import CHECKPOINT

logger = logging.getLogger(__name__)

_OWN_SERVERS = {
    "read_database_url": None,
    "direct_database_url": None,
    "kafka_manage_topics": True,
    "kafka_transactions": False,
}
"""Settings that describe servers, as they are for those of the sandbox."""


def for_own_servers(settings: Settings) -> Settings:
    """The settings of a sandbox that starts its own servers; unchanged if servers are named.

    An environment may hold settings that describe other servers, such as those of production.
    """
    if settings.database_url is not None or settings.kafka_bootstrap_servers is not None:
        return settings
    return settings.model_copy(update=_OWN_SERVERS)


@asynccontextmanager
async def sandbox(
    settings: Settings, answers: Mapping[str, SavedAnswer] | None = None
) -> AsyncIterator[Addresses]:
    """Start the servers without an address and migrate the database; yields all addresses.

    `settings` must be those of `for_own_servers`. The database is kept under `DATA_DIR`. The local
    broker loses its records when it ends, so the relay publishes the log again from its beginning.

    Raises:
        SettingsError: a port of the settings is taken; or only one of database and broker has an
            address. They belong together: the relay's checkpoint in the database is a position in
            that broker's topic.
        cli.sandbox.errors.SandboxError: a server does not start; the text holds the end of its log.
        CommandError: the database cannot be migrated, for example because the disk is full.
    """
    if (settings.database_url is None) != (settings.kafka_bootstrap_servers is None):
        raise SettingsError(
            "SPREAVIEW_DATABASE_URL and SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS belong together: set "
            "both, or neither to have a local sandbox"
        )
    async with AsyncExitStack() as stack:
        database_url, servers = settings.database_url, settings.kafka_bootstrap_servers
        if database_url is None:
            data = settings.data_dir / "postgres"
            with _named("SPREAVIEW_POSTGRES_PORT", settings.postgres_port):
                database_url = await stack.enter_async_context(
                    postgres(data, port=settings.postgres_port)
                )
        if servers is not None:
            brokers = settings.kafka_connection(servers)
        else:
            log_path = settings.data_dir / "kafka.log"
            with _named("SPREAVIEW_KAFKA_PORT", settings.kafka_port):
                broker = kafka(port=settings.kafka_port, log_path=log_path)
                brokers = KafkaConnection(await stack.enter_async_context(broker))
        sessionize_base_url = settings.sessionize_base_url
        if sessionize_base_url is None:
            sessionize_base_url = await stack.enter_async_context(local_sessionize(answers))
        remedy = (
            "check SPREAVIEW_DATABASE_URL and the server, then run this again."
            if settings.database_url is not None
            else f"free some space if the disk is full; {settings.data_dir}/postgres/server.log "
            "has the reason in the server's words."
        )
        with database_errors(database_url, remedy=remedy):
            await _prepare(database_url, with_new_broker=servers is None)
        addresses = addresses_of(settings, database_url, brokers)
        yield addresses._replace(sessionize_base_url=sessionize_base_url)


@contextmanager
def _named(variable: str, port: int | None) -> Iterator[None]:
    """Name the variable of a port that is taken."""
    try:
        yield
    except PortTakenError as error:
        if port is None:
            raise
        raise SettingsError(
            f"{variable}: another process listens on port {port}. Remedy: stop that one, set "
            f"{variable} to a free port, or unset it: a free port is chosen then"
        ) from error


async def _prepare(database_url: str, *, with_new_broker: bool) -> None:
    async with database(database_url, pool_size=2) as engine:
        await migrate(engine)
        await prepare(engine)
        if with_new_broker:
            await Checkpoints(engine).reset(CHECKPOINT)
