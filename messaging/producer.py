"""A producer that notes unanswered requests."""

from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, NodeNotReadyError


class Producer(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka is untyped
    """An aiokafka producer that notes whether the broker left one of its requests unanswered.

    The client repeats such a request, and the first copy may still arrive. A broker cannot tell
    a late `EndTxn` from the one of the transaction that is open by then, and commits that one early
    (KAFKA-17754). Only a new producer under the same transactional id shuts out the late copy.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.has_unanswered = False
        send = self.client.send

        async def noting_failures(*arguments: Any, **options: Any) -> Any:
            try:
                return await send(*arguments, **options)
            except NodeNotReadyError:
                raise  # it was not sent
            except KafkaError:
                self.has_unanswered = True
                raise

        self.client.send = noting_failures
