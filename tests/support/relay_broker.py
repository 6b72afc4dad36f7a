"""The broker of `tests/support/relay_world.py`, and the relay's connection to that world."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aiokafka.errors import InvalidTxnState, KafkaTimeoutError, ProducerFenced

import messaging.publisher
import worker.relay.relay
import worker.relay.rewind
from eventstore.leadership import Connect
from messaging.cloudevents import Record
from messaging.connection import KafkaConnection
from messaging.publisher import CommittedPosition, OpenPublisher, TransactionalPublisher
from tests.support.relay_world import KEY_OF, World
from worker.relay.relay import Relay
from worker.relay.rewind import rewind


@dataclass
class Producer:
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

    async def send(self, position: int) -> None:
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
        await self.world.step("commit", self._commit, hold=self._hold)

    def _hold(self) -> None:
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
    """A publisher that reads its committed position from the current world."""

    async def committed(self) -> CommittedPosition | None:
        world = current()
        return await world.step("committed", lambda: world.committed)

    async def published_beyond(self, source: str, position: int) -> frozenset[int]:
        world = current()

        def look() -> tuple[int, ...]:
            found: list[int] = []
            for key in set(KEY_OF.values()):
                partition = [p for p in world.topic if KEY_OF[p] == key]
                known = [n for n, p in enumerate(partition) if p <= position]
                found += partition[known[-1] + 1 :] if known else partition
            return tuple(sorted(found))

        return frozenset(await world.step("tail", look))


_worlds: list[World] = []


def current() -> World:
    return _worlds[-1]


async def send(self: OpenPublisher, records: Sequence[Record], progress: object) -> None:
    """Send as `OpenPublisher._send`: an error stops its partition, and is raised at the end."""
    producer = cast("Producer", self._producer)
    failed: dict[bytes, Exception] = {}
    for record in records:
        if record.key not in failed:
            try:
                await producer.send(int(dict(record.headers)["ce_position"]))
            except KafkaTimeoutError as error:
                failed[record.key] = error
    for failure in failed.values():
        raise failure


async def at_once() -> None:
    """Return without waiting: the scheduler chooses the next actor."""


def installed(patch: pytest.MonkeyPatch) -> None:
    """Replace the collaborators of the relay, the rewind and the publisher with the world."""
    patch.setattr(worker.relay.relay, "leading", lambda *a: current().leading(*a))
    patch.setattr(worker.relay.rewind, "deposing", lambda *a: current().deposing(*a))
    patch.setattr(worker.relay.relay, "WakeUp", lambda _: current())
    patch.setattr(
        worker.relay.relay,
        "retry_until_success",
        lambda *a, **k: current().retry_until_success(*a, **k),
    )
    patch.setattr(worker.relay.relay, "give_way", at_once)
    patch.setattr(worker.relay.relay, "log_working", lambda _: None)
    patch.setattr(OpenPublisher, "_send", send)
    patch.setattr(
        messaging.publisher,
        "Producer",
        lambda transactional_id, **_: Producer(current(), transactional_id is not None),
    )


def a_world(
    patch: pytest.MonkeyPatch,
    *,
    transactions: bool,
    events: int,
    faults: int,
    batch: int,
    relays: str = "AB",
    rewind_to: int | None = None,
    fencing: bool = True,
    cuts: bool = True,
    publisher_type: type[KnownPublisher] = KnownPublisher,
) -> World:
    """Create a world with relays, an appender, and possibly an operator."""
    world = World(
        transactions=transactions, events=events, faults=faults, fencing=fencing, cuts=cuts
    )
    _worlds[:] = [world]
    patch.setattr(worker.relay.relay, "logger", world)
    connect = cast("Connect", None)
    publisher = publisher_type(KafkaConnection(""), "topic", "group", transactions)
    for name in relays:
        relay = Relay(world, world, publisher, connect, poll_seconds=1, batch=batch)
        world.begin(name, relay.run())
    if rewind_to is not None:
        operator = rewind(world, world, publisher, connect, to=rewind_to, restored=False)
        world.begin("O", operator)
    return world
