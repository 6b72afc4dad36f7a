"""`migrate`: the log's tables, the read models, and the settings of existing topics."""

import asyncio
import logging

from aiokafka.errors import KafkaError

from cli.command import new_app, run
from cli.options import Json
from cli.render.answer import Answer, sentence
from cli.servers import open_database
from cli.settings import Settings
from contracts.outage_text import describe_outage
from eventstore.migrate import Migrated
from eventstore.migrate import migrate as migrate_log
from messaging.topics import alter_topics
from projections.added_columns import add_columns
from projections.prepare import prepare

logger = logging.getLogger(__name__)

app = new_app()

_KAFKA_SECONDS = 15.0


@app.command()
def migrate(as_json: Json = False) -> None:
    """Bring the database to this version.

    Run it once, and after every update. It changes nothing if the database is up to date, and
    reports from which version to which it has migrated. If a broker is set, existing topics get the
    settings that this version needs.
    """
    run(migrate_database, as_json=as_json)


async def migrate_database(settings: Settings) -> Answer:
    """Make or update the log's tables, then the read models."""
    async with open_database(settings, pool_size=2, any_version=True) as engine:
        # The columns come first: a projector of this version starts as soon as the log is migrated.
        await add_columns(engine)
        migrated = await migrate_log(engine)
        await prepare(engine)
    await _alter_topics(settings)
    value = {"migrated": True, "from": migrated.before, "to": migrated.after}
    return sentence(value, _describe(migrated))


def _describe(migrated: Migrated) -> str:
    if migrated.before is None:
        return f"The database was empty and is migrated to {migrated.after}."
    if migrated.before == migrated.after:
        return f"The database is up to date at {migrated.after}."
    return f"The database is migrated from {migrated.before} to {migrated.after}."


async def _alter_topics(settings: Settings) -> None:
    """Have the broker stamp the records of existing topics, if the settings name a broker.

    The database is migrated even if Kafka does not answer: a service alters the topics when it
    starts.
    """
    if settings.kafka_bootstrap_servers is None or not settings.kafka_manage_topics:
        return
    kafka = settings.kafka_connection(settings.kafka_bootstrap_servers)
    try:
        async with asyncio.timeout(_KAFKA_SECONDS):
            await alter_topics(kafka)
    except (KafkaError, TimeoutError) as error:
        logger.warning(
            "the topics at %s were not checked, a service does so when it starts: %s",
            *(kafka, describe_outage(error)),
        )
