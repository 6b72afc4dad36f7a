"""The whole sandbox: a local server for every address that the settings leave out."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from cli.connections import Addresses, database
from cli.sandbox.kafka import kafka
from cli.sandbox.postgres import postgres
from cli.sandbox.sessionize import local_sessionize
from cli.settings import Settings, SettingsError
from eventstore.checkpoints import Checkpoints
from eventstore.migrate import migrate
from messaging.connection import KafkaConnection
from projections.prepare import prepare
from worker.relay.checkpoint import CHECKPOINT

logger = logging.getLogger(__name__)


@asynccontextmanager
async def sandbox(settings: Settings) -> AsyncIterator[Addresses]:
    """Start the servers without an address and migrate the database; yields all addresses.

    The database is kept under `DATA_DIR`. The local broker loses its records when it ends, so the
    relay publishes the log again from its beginning.

    Raises:
        SettingsError: only one of database and broker has an address. They belong together: the
            relay's checkpoint in the database is a position in that broker's topic.
        cli.sandbox.errors.SandboxError: a server does not start; the text holds the end of its log.
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
            database_url = await stack.enter_async_context(postgres(data))
        if servers is not None:
            brokers = settings.kafka_connection(servers)
        else:
            log_path = settings.data_dir / "kafka.log"
            brokers = KafkaConnection(await stack.enter_async_context(kafka(log_path=log_path)))
        sessionize_base_url = settings.sessionize_base_url
        if sessionize_base_url is None:
            sessionize_base_url = await stack.enter_async_context(local_sessionize())
        async with database(database_url, pool_size=2) as engine:
            await migrate(engine)
            await prepare(engine)
            if settings.kafka_bootstrap_servers is None:
                await Checkpoints(engine).reset(CHECKPOINT)
        has_transactions = settings.kafka_bootstrap_servers is not None
        yield Addresses(
            database_url,
            brokers,
            sessionize_base_url,
            kafka_transactions=has_transactions and settings.kafka_transactions,
        )
