"""Opens aiokafka's admin client; an error names its cause, and closing takes a bounded time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient

from messaging.access import explaining
from messaging.closing import close_admin
from messaging.connection import KafkaConnection


@asynccontextmanager
async def open_admin(kafka: KafkaConnection) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open an admin client, and close it at the end of the block, even without a broker.

    async with open_admin(kafka) as admin: topics = await admin.list_topics()

    Raises:
        KafkaAccessError: a broker answers, and refuses us or is refused.
        aiokafka.errors.KafkaError: no broker answers.
    """
    admin = AIOKafkaAdminClient(**kafka.arguments())
    try:
        async with explaining(kafka):
            await admin.start()
        yield admin
    finally:
        await close_admin(admin)
