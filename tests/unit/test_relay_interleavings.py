"""The relay in every order of its steps, with faults at each of them.

Two relays alternate while they are killed, cut off, and fail; a relay that was cut off continues
until it notices. An unanswered commit, in Kafka or in PostgreSQL, may still arrive later. The code
is real, its world (`tests/support/relay_world.py`) is simulated: `Relay.lead`, `rewind`,
`TransactionalPublisher.opened`, `OpenPublisher.send` and `Leader` are driven by hand, one await
after the other. The bounds: 2 or 3 events of two streams, batches of 1 or 2, 1 or 2 faults. Within
these bounds every order is played, without a limit on changes of turn. A known state is not played
again. The expected numbers count states, schedules and ends; they change with the relay's steps.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from eventstore.checkpoints import Checkpoint
from eventstore.leadership import Leader
from eventstore.wakeup import WakeUp
from messaging.cloudevents import Record
from messaging.publisher import CommittedPosition, OpenPublisher
from tests.support.relay_broker import FakeProducer, KnownPublisher, a_world, position_of
from tests.support.relay_world import EVENTS, KEY_OF, LOG_ID, RELAY_LOGGER, World
from tests.support.schedules import Explored, explore
from worker.relay.checkpoint import CHECKPOINT, REWOUND

pytestmark = pytest.mark.asyncio

ONCE: dict[str, Any] = {"transactions": True, "events": 3, "faults": 2, "batch": 2}
AT_LEAST_ONCE = {**ONCE, "transactions": False}
NEVER_DEPOSED = {**AT_LEAST_ONCE, "cuts": False}
REWINDING = {**ONCE, "faults": 1, "batch": 1, "relays": "A", "rewind_to": 10}
REWINDING_WITHOUT_TRANSACTIONS = {**REWINDING, "transactions": False, "batch": 2}


@pytest.fixture(autouse=True)
def _only_faults(caplog: pytest.LogCaptureFixture) -> None:
    """Leave out the relay's log lines about expected errors."""
    caplog.set_level(logging.ERROR, logger=RELAY_LOGGER)


def positions(world: World) -> list[int]:
    return [event.position for event in world.log]


def copies(world: World) -> set[int]:
    kept = (world.checkpoint, world.committed) if world.transactions else (world.checkpoint,)
    return {0 if copy is None else copy.position for copy in kept}


def once(world: World) -> None:
    """Each event is published once, in order, and none is skipped."""
    assert world.topic == positions(world)[: len(world.topic)], f"published {world.topic}"


def at_least_once(world: World) -> None:
    """In each stream, no event is published before an earlier one."""
    first = list(dict.fromkeys(world.topic))
    for key in set(KEY_OF.values()):
        of_log = [p for p in positions(world) if KEY_OF[p] == key]
        of_topic = [p for p in first if KEY_OF[p] == key]
        assert of_topic == of_log[: len(of_topic)], f"published {world.topic}"


def once_in_each_stream(world: World) -> None:
    """In each stream, each event is published once, in order, and none is skipped."""
    at_least_once(world)
    assert len(world.topic) == len(set(world.topic)), f"published {world.topic}"


def complete(world: World) -> None:
    assert set(world.topic) == set(positions(world)), f"published {world.topic}"
    assert copies(world) == {positions(world)[-1]}, f"published {world.topic}, not marked so"


def rewound(world: World) -> None:
    """After the events published before, all events after the operator's position follow again.

    A failed command may have been done in part: then the repetition starts later, or is missing.
    No event is skipped either way.
    """
    log = positions(world)
    number, to = world.rewound or (len(world.topic), 0)
    before, again = world.topic[:number], world.topic[number:]
    assert before == log[:number], f"published {before}"
    assert again == log[len(log) - len(again) :], f"published {before}, then {again}"
    may_lack = max(number, log.index(to) + 1 if to in log else 0)
    assert len(log) - len(again) <= may_lack, f"published {before}, then {again}"
    if isinstance(world.actors["O"].result, Checkpoint):
        assert again == [p for p in log if p > to], f"published {before}, then {again}"
        assert copies(world) == {log[-1]}, "a copy lags behind"
    assert max(copies(world)) == log[-1]


def again(world: World) -> None:
    """The events after the operator's position are published again."""
    complete(world)
    if isinstance(world.actors["O"].result, Checkpoint):
        number, to = world.rewound or (len(world.topic), 0)
        beyond = {p for p in positions(world) if p > to}
        assert beyond <= set(world.topic[number:]), f"published {world.topic}, rewound at {number}"


def anything(world: World) -> None:
    """Accept every prefix: only the end is checked."""


async def test_each_event_is_published_once_despite_faults() -> None:
    found = await explore(lambda: a_world(**ONCE), once, complete)
    assert found == Explored(states=13378, schedules=31822, ends=16)


async def test_without_transactions_nothing_is_skipped() -> None:
    found = await explore(lambda: a_world(**AT_LEAST_ONCE), at_least_once, complete)
    assert found == Explored(states=13423, schedules=27638, ends=80)


async def test_without_transactions_a_restart_repeats_nothing() -> None:
    """Relays are killed at any moment or get no answer. No relay is deposed without noticing."""
    found = await explore(lambda: a_world(**NEVER_DEPOSED), once_in_each_stream, complete)
    assert found == Explored(states=1071, schedules=590, ends=11)


@pytest.mark.parametrize(
    ("batch", "explored"),
    [
        (1, Explored(states=4683, schedules=5467, ends=61)),  # a batch reaches one partition only
        (2, Explored(states=6042, schedules=6510, ends=105)),
    ],
)
async def test_without_transactions_rewound_events_are_published_again(
    batch: int, explored: Explored
) -> None:
    facts = {**REWINDING_WITHOUT_TRANSACTIONS, "batch": batch}
    assert await explore(lambda: a_world(**facts), anything, again) == explored


async def test_rewound_events_are_published_again_once() -> None:
    found = await explore(lambda: a_world(**REWINDING), anything, rewound)
    assert found == Explored(states=8735, schedules=12035, ends=38)


# The same search finds seeded bugs in the relay.


class Early(FakeProducer):
    """A producer that writes the checkpoint of a batch before it sends the batch."""

    async def send_all(
        self, topic: str, records: Sequence[Record], progress: Callable[[], None]
    ) -> None:
        if records:
            position = position_of(records[-1])
            message_id = next(e.message_id for e in EVENTS if e.position == position)
            await self.world.leader.write(CHECKPOINT, Checkpoint(LOG_ID, position, message_id))
        await super().send_all(topic, records, progress)


@pytest.mark.parametrize("transactions", [True, False])
async def test_the_explorer_finds_a_checkpoint_written_before_its_events(
    transactions: bool,
) -> None:
    facts: dict[str, Any] = {**ONCE, "transactions": transactions, "producer_type": Early}
    with pytest.raises(AssertionError, match="published"):
        await explore(lambda: a_world(**facts), at_least_once, complete)


class Forgetful(KnownPublisher):
    """A publisher that ignores Kafka's copy."""

    async def committed(self) -> CommittedPosition | None:
        return None


class Hasty(KnownPublisher):
    """A publisher that reads Kafka's copy before the older producer is fenced."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[OpenPublisher]:
        committed = await self.committed()
        async with super().opened() as publisher:
            publisher.committed = committed
            yield publisher


@pytest.mark.parametrize(
    "fault",
    [{"publisher_type": Forgetful}, {"publisher_type": Hasty}, {"fencing": False}],
    ids=["Kafka's copy ignored", "Kafka's copy read too early", "no fencing"],
)
async def test_the_explorer_finds_a_repeated_event(fault: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="published"):
        await explore(lambda: a_world(**ONCE, **fault), once, complete)


class Kept(FakeProducer):
    """A producer that does not notice an unanswered commit."""

    def lose_answer(self) -> None:
        self.world.late.append(self)


async def test_the_explorer_finds_a_producer_kept_after_an_unanswered_commit() -> None:
    """The late copy of that commit ends the next transaction early (KAFKA-17754)."""
    with pytest.raises(AssertionError, match="published"):
        await explore(lambda: a_world(**ONCE, producer_type=Kept), once, complete)


class Blind(KnownPublisher):
    """A publisher that does not read the end of the topic."""

    async def published_beyond(self, source: str, position: int) -> Mapping[int, UUID]:
        return {}


async def test_the_explorer_finds_a_relay_that_does_not_read_the_end_of_the_topic() -> None:
    facts: dict[str, Any] = {**NEVER_DEPOSED, "publisher_type": Blind}
    with pytest.raises(AssertionError, match="published"):
        await explore(lambda: a_world(**facts), once_in_each_stream, complete)


class Unrewound(World):
    """A world whose database forgets that an operator rewound the relay."""

    async def read(self, name: str) -> Checkpoint | None:
        return None if name == REWOUND else await super().read(name)


async def test_the_explorer_finds_a_relay_that_skips_rewound_events() -> None:
    facts: dict[str, Any] = {**REWINDING_WITHOUT_TRANSACTIONS, "world_type": Unrewound}
    with pytest.raises(AssertionError, match="published"):
        await explore(lambda: a_world(**facts), anything, again)


class Unsure(Leader):
    """A leader that writes only a changed checkpoint, so that it does not notice its deposition."""

    def __init__(self, world: World, leader: Leader) -> None:
        self._world = world
        self._leader = leader

    async def write(self, name: str, checkpoint: Checkpoint) -> None:
        if self._world.checkpoint != checkpoint:
            await self._leader.write(name, checkpoint)

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        yield  # the lock would also show the deposition


class Undeposed(World):
    """A world whose leaders are unsure."""

    @asynccontextmanager
    async def leading(self, wake_up: WakeUp) -> AsyncIterator[Leader]:
        async with super().leading(wake_up) as leader:
            yield Unsure(self, leader)


async def test_the_explorer_finds_a_deposed_relay_that_publishes() -> None:
    """The relay opened its publisher late, and so fenced the operator's."""
    facts: dict[str, Any] = {**REWINDING, "world_type": Undeposed}
    with pytest.raises(AssertionError, match=r"published .*, then"):
        await explore(lambda: a_world(**facts), anything, rewound)
