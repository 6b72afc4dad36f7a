"""The broker of `tests/support/relay_world.py`, and the relay's connection to that world."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from aiokafka.errors import InvalidTxnState, KafkaTimeoutError, ProducerFenced

from eventstore.wakeup import WakeUp
from messaging.cloudevents import Record
from messaging.connection import KafkaConnection
from messaging.producer import Producer
from messaging.publisher import CommittedPosition, TransactionalPublisher
from tests.support.relay_world import ID_OF, KEY_OF, World
from worker.relay.relay import Relay
from worker.relay.rewind import rewind


def position_of(record: Record) -> int:
    return int(dict(record.headers)["ce_position"])


@dataclass
class FakeProducer:
    """The producer under `TransactionalPublisher.opened`, with its broker's transactions."""

    world: World
    is_transactional: bool
    epoch: int = 0
    records: list[int] = field(default_factory=list)
    committed: CommittedPosition | None = None
    has_unanswered: bool = False

    async def start(self) -> None:
        await self.world.step("start", self._init)

    def _init(self) -> None:
        self.world.epoch += 1
        self.epoch = self.owner.epoch = self.world.epoch

    def __post_init__(self) -> None:
        self.owner = self.world.me

    async def begin_transaction(self) -> None:
        assert self.is_transactional
        self.records, self.committed = [], None
        self.owner.is_disturbed = False

    async def send_all(
        self, topic: str, records: Sequence[Record], progress: Callable[[], None]
    ) -> None:
        """Send as `Producer.send_all`: an error stops its partition, and is raised at the end."""
        failed: dict[bytes, Exception] = {}
        for record in records:
            if record.key not in failed:
                try:
                    await self._send(position_of(record))
                except KafkaTimeoutError as error:
                    failed[record.key] = error
        for failure in failed.values():
            raise failure

    async def _send(self, position: int) -> None:
        await self.world.step("record", lambda: self._take_in(position))

    def _take_in(self, position: int) -> None:
        if self.is_transactional:
            self._is_not_fenced()
            self._is_not_disturbed()
            self.records.append(position)
        else:
            self.world.topic.append(position)

    async def send_offsets_to_transaction(self, offsets: dict[Any, Any], group_id: str) -> None:
        def keep() -> None:
            self._is_not_fenced()
            self._is_not_disturbed()
            (found,) = offsets.values()
            self.committed = CommittedPosition(found.offset, found.metadata)

        await self.world.step("offsets", keep)

    async def commit_transaction(self) -> None:
        await self.world.step("commit", self._commit, hold=self.lose_answer)

    def lose_answer(self) -> None:
        """Keep the commit for later: it was sent and not answered."""
        self.has_unanswered = True
        self.world.late.append(self)

    @property
    def is_current(self) -> bool:
        """Whether no newer producer fences it."""
        return self.epoch == self.world.epoch

    def arrive(self) -> None:
        """Let a commit that was given up end the transaction that is open now, if there is one."""
        if self.records or self.committed:
            self._commit()
            self.owner.is_disturbed = True

    def _commit(self) -> None:
        self._is_not_fenced()
        self.world.topic += self.records
        if self.committed is not None:
            self.world.committed = self.committed
            if self.owner.name == "O":
                self.world.rewound = (len(self.world.topic), self.committed.position)
        self.records, self.committed = [], None

    def _is_not_fenced(self) -> None:
        if self.world.fencing and not self.is_current:
            raise ProducerFenced

    def _is_not_disturbed(self) -> None:
        if self.owner.is_disturbed:
            raise InvalidTxnState

    async def close(self) -> None:
        """Keep an open transaction open until the next one begins."""


class KnownPublisher(TransactionalPublisher):
    """A publisher that reads the topic and its committed position from a world."""

    world: World

    async def committed(self) -> CommittedPosition | None:
        if not self.transactions:
            return None
        return await self.world.step("committed", lambda: self.world.committed)

    async def published_beyond(self, source: str, position: int) -> Mapping[int, UUID]:
        def look() -> tuple[int, ...]:
            found: list[int] = []
            for key in set(KEY_OF.values()):
                partition = [p for p in self.world.topic if KEY_OF[p] == key]
                known = [n for n, p in enumerate(partition) if p <= position]
                found += partition[known[-1] + 1 :] if known else partition
            return tuple(sorted(found))

        return {number: ID_OF[number] for number in await self.world.step("tail", look)}


def a_world(
    *,
    transactions: bool,
    events: int,
    faults: int,
    batch: int,
    relays: str = "AB",
    rewind_to: int | None = None,
    fencing: bool = True,
    cuts: bool = True,
    world_type: type[World] = World,
    publisher_type: type[KnownPublisher] = KnownPublisher,
    producer_type: type[FakeProducer] = FakeProducer,
) -> World:
    """Create a world with relays, an appender, and possibly an operator."""
    world = world_type(
        transactions=transactions, events=events, faults=faults, fencing=fencing, cuts=cuts
    )

    def new_producer(*, transactional_id: str | None, **_: object) -> Producer:
        return cast("Producer", producer_type(world, transactional_id is not None))

    publisher = publisher_type(
        KafkaConnection(""), "topic", "group", transactions, new_producer=new_producer
    )
    publisher.world = world
    for name in relays:
        relay = Relay(world, world, publisher, world, cast("WakeUp", world), batch=batch)
        world.begin(name, world.run(relay))
    if rewind_to is not None:
        operator = rewind(world, world, publisher, world, to=rewind_to, restored=False)
        world.begin("O", operator)
    return world
