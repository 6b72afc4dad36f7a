"""Settings of topics on Apache Kafka, changed as an administrator does."""

import asyncio

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource


async def set_topic(kafka: str, topic: str, config: str) -> None:
    """Give a topic a setting, as `name=value`; the others stay."""
    name, _, value = config.partition("=")
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": kafka})
    (done,) = admin.incremental_alter_configs([resource]).values()
    await asyncio.to_thread(done.result)
