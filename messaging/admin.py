"""Opens aiokafka's admin client; an error names its cause, and closing takes a bounded time."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError

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


@contextmanager
def naming_group(group_id: str) -> Iterator[None]:
    """Name the group in the error if this user lacks the rights on it; aiokafka's admin does not.

    Raises:
        GroupAuthorizationFailedError: the user lacks the rights.
    """
    try:
        yield
    except GroupAuthorizationFailedError as error:
        raise GroupAuthorizationFailedError(group_id) from error
