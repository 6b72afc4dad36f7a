"""A world for the relay that can play every order of events, without a clock and sockets.

The coroutines of the relay and the rewind are driven by hand: each await ends in `World.step`,
which gives control to the schedule before it has an effect. The collaborators are simulated: the
log, its checkpoints, the session that holds the leadership, and the broker.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID, uuid5

import asyncpg
import msgspec
from aiokafka.errors import KafkaError, KafkaTimeoutError

from contracts import samples
from contracts.codec import take_apart
from contracts.events import RoomImported
from eventstore import checkpoints, leadership
from eventstore.checkpoints import Checkpoint, Unpublished
from eventstore.leadership import Leader
from eventstore.log import LogIdentity
from eventstore.model import Recorded
from eventstore.wakeup import WakeUp
from messaging.publisher import CommittedPosition
from tests.support.schedules import LATE, LOST, UNCONFIRMED, DeadError, Move, Pending
from worker.relay.checkpoint import CHECKPOINT, REWOUND
from worker.relay.relay import Relay, can_pass
from worker.relay.rewind import RewindError

T = TypeVar("T")

LOG_ID = UUID(int=1)
RELAY_LOGGER = "worker.relay.relay"
STREAMS = (UUID(int=2), UUID(int=3))
# A fault is played only where it can make a difference: elsewhere it leads to the same world as the
# same fault a moment earlier.
CUT_AT = frozenset({"start", "read_all", "write"})
"""Right after a use of the session, in `lead` or `write`: a cut relay continues as before."""
CRASH_AT = frozenset({"start", "committed", "record", "read_all", "write"})
"""Right after an effect that others can see."""
FAILS = {
    "record": (LOST, UNCONFIRMED),  # in a transaction, the same as a lost commit
    "commit": (LOST, UNCONFIRMED, LATE),
    "write": (UNCONFIRMED, LATE),  # a lost write is the same as a cut session
}
LOOKS = frozenset({"read_all", "wait", "depose"})
"""Steps whose result depends on the length of the log."""


def _recorded(number: int) -> Recorded:
    """Return an event; the events of two streams alternate, and their positions have holes."""
    room = next(event for event in samples.EVENTS if isinstance(event, RoomImported))
    plain = take_apart(room)
    return Recorded(
        position=10 * number,
        stream_id=STREAMS[number % 2],
        version=(number + 1) // 2,
        message_id=uuid5(LOG_ID, str(number)),
        type=plain.type,
        schema_version=plain.schema_version,
        stored_data=msgspec.json.encode(plain.data).decode(),
        stored_metadata="{}",
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
        hash=b"",
        personal=None,
    )


EVENTS = [_recorded(number) for number in range(1, 6)]
KEY_OF = {event.position: event.stream_id for event in EVENTS}
ID_OF = {event.position: event.message_id for event in EVENTS}


@dataclass
class Actor:
    """A process that is driven by hand."""

    name: str
    coroutine: Coroutine[Any, Any, object]
    pending: Pending | None = None
    is_dead: bool = False
    session: "Session | None" = None
    epoch: int = -1
    is_disturbed: bool = False
    """Whether a late commit has ended its transaction."""
    has_read: int = 0
    """Length of the log at its last look."""
    trace: list[object] = field(default_factory=list)
    """Its results since its state last depended on the world alone."""
    result: object = None


class Session:
    """A session of the database; it is the leadership while it holds the lock."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.is_alive = True
        self.late: tuple[str, Checkpoint] | None = None
        """The write of a statement that its client has given up."""

    def end(self) -> None:
        self.is_alive = False
        self.late = None
        if self._world.holder is self:
            self._world.holder = None

    def leave(self) -> None:
        """Note that the client is gone. The server notices it after reading everything."""
        if self.late is None:
            self.end()

    def arrive(self) -> None:
        """Execute the late write, and end the session."""
        if self.late is not None:
            self._world.keep(*self.late)
        self.end()

    async def execute(self, statement: str, *arguments: Any, timeout: float) -> None:
        """Execute a statement of `Leader`."""
        world = self._world
        if statement == checkpoints.WRITE_CHECKPOINT:
            name, checkpoint = arguments[0], Checkpoint(*arguments[1:])

            def hold() -> None:
                self.late = (name, checkpoint) if self.is_alive else None
                raise TimeoutError

            await world.step(
                "write", lambda: self._do(lambda: world.keep(name, checkpoint)), hold=hold
            )
        elif statement == checkpoints.FORGET_UNPUBLISHED:
            await world.step("forget", lambda: self._do(lambda: None))
        elif statement == leadership.UNLOCK_SHARED:
            self._do(lambda: None)
        else:
            raise AssertionError(statement)

    async def fetchval(self, statement: str, *arguments: Any, timeout: float) -> bool:
        """Grant the lock: this world has no erasures."""
        assert statement == leadership.TRY_LOCK_SHARED
        self._do(lambda: None)
        return True

    def _do(self, effect: Callable[[], None]) -> None:
        if not self.is_alive:
            raise asyncpg.ConnectionDoesNotExistError("the session was ended")
        effect()


class LateCommit(Protocol):
    """A commit that may still arrive."""

    @property
    def is_current(self) -> bool:
        """Whether its producer is not fenced. A fenced one has no effect."""

    def arrive(self) -> None:
        """Commit the open transaction of its producer."""


class FaultLog(logging.Handler):
    """Keeps the errors that the relay logs."""

    def __init__(self, met: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._met = met

    def emit(self, record: logging.LogRecord) -> None:
        self._met.append(record.getMessage())


class World:
    """The log, the copy in the database, the broker, and the running actors."""

    def __init__(
        self, *, transactions: bool, events: int, faults: int, fencing: bool, cuts: bool
    ) -> None:
        self.cuts = cuts
        self.transactions = transactions
        self.fencing = fencing
        self.still_to_append = events
        self.faults = faults
        self.length = 0
        self.checkpoint: Checkpoint | None = None
        self.committed: CommittedPosition | None = None
        self.topic: list[int] = []
        """Positions as readers of committed data see them."""
        self.epoch = 0
        self.late: list[LateCommit] = []
        """Commits that were given up, and may still arrive."""
        self.rewound_from: Checkpoint | None = None
        """The checkpoint in the database to which an operator rewound the relay."""
        self.rewound: tuple[int, int] | None = None
        """Length of the topic when the operator rewound the relay, and the position."""
        self.holder: Session | None = None
        self.actors: dict[str, Actor] = {}
        self.running: Actor | None = None
        self.met: list[str] = []
        """Faults that the relay has met or logged; there must be none."""
        self._fault_log = FaultLog(self.met)
        logging.getLogger(RELAY_LOGGER).addHandler(self._fault_log)

    # The awaits of the relay.

    async def step(
        self,
        kind: str,
        effect: Callable[[], T],
        is_ready: Callable[[], bool] = lambda: True,
        hold: Callable[[], None] = lambda: None,
    ) -> T:
        """Let the scheduler choose the next actor; then have the effect, or fail as it chose.

        `hold` is called with a copy on the way that was given up; it may raise.
        """
        me = self.me
        if me.is_dead:
            raise DeadError
        how = await Pending(kind, is_ready)
        error = KafkaTimeoutError() if kind != "write" else TimeoutError()
        if how in (LOST, LATE):
            me.trace.append((kind, how))
            hold()
        if how == LOST:
            raise error
        result = effect()
        me.trace.append((kind, how, result if isinstance(result, tuple | UUID | None) else ""))
        if how == UNCONFIRMED:
            raise error
        return result

    @property
    def me(self) -> Actor:
        assert self.running is not None
        return self.running

    @property
    def leader(self) -> Leader:
        """The leadership of the running actor."""
        return Leader(cast("asyncpg.Connection", self.me.session))

    def keep(self, name: str, checkpoint: Checkpoint) -> None:
        if name == REWOUND:
            self.rewound_from = checkpoint
            return
        self.checkpoint = checkpoint
        if self.rewound_from is not None and self.rewound is None:
            self.rewound = (len(self.topic), checkpoint.position)

    async def identity(self) -> LogIdentity:
        return LogIdentity(LOG_ID, b"")

    async def unpublished(self) -> list[Unpublished]:
        return []

    async def message_id_at(self, position: int) -> UUID | None:
        return next((e.message_id for e in self.log if e.position == position), None)

    async def last_event(self, position: int) -> tuple[int, UUID] | None:
        before = [(e.position, e.message_id) for e in self.log if e.position <= position]
        found = before[-1] if before else None
        self.me.trace.append(found)
        return found

    async def read_all(self, after: int, *, limit: int) -> list[Recorded]:
        self.me.trace = [after]  # the rest of its state is its session and its epoch

        def look() -> list[Recorded]:
            self.me.has_read = self.length
            return [e for e in self.log if e.position > after][:limit]

        found = await self.step("read_all", look)
        self.me.trace.append(len(found))
        return found

    async def read(self, name: str) -> Checkpoint | None:
        assert name in (CHECKPOINT, REWOUND)
        is_rewound = name == REWOUND
        return await self.step("read", lambda: self.rewound_from if is_rewound else self.checkpoint)

    @property
    def log(self) -> Sequence[Recorded]:
        return EVENTS[: self.length]

    @asynccontextmanager
    async def leading(self, wake_up: WakeUp) -> AsyncIterator[Leader]:
        """Lead as `eventstore.leadership.Leadership` does: its task group wraps errors."""
        self.me.trace, self.me.has_read, self.me.epoch = [], 0, -1
        session = Session(self)
        await self.step("lead", lambda: self._take(session), lambda: self.holder is None)
        try:
            yield Leader(cast("asyncpg.Connection", session))
        except asyncio.CancelledError:
            lost = asyncpg.ConnectionDoesNotExistError("the heartbeat met it")
            raise ExceptionGroup("", [lost]) from None
        except Exception as error:
            raise ExceptionGroup("", [error]) from None
        finally:
            session.leave()
            self.me.session = None

    @asynccontextmanager
    async def deposing(self) -> AsyncIterator[Leader]:
        session = Session(self)
        await self.step("depose", lambda: self._take(session))
        try:
            yield Leader(cast("asyncpg.Connection", session))
        finally:
            session.end()
            self.me.session = None

    def _take(self, session: Session) -> None:
        if self.holder is not None:
            self.holder.end()
        self.holder = self.me.session = session

    async def wait(self) -> None:
        """Wait as `WakeUp` does."""
        me = self.me
        await self.step("wait", lambda: None, lambda: self.length > me.has_read)

    async def gather(self, streams: Iterable[UUID]) -> None:
        """Do nothing: pauses change nothing but the time."""

    async def listen(self, connection: object) -> None:
        """Do nothing: `wait` knows the length of the log."""

    async def run(self, relay: Relay) -> None:
        """Run a relay as `Relay.run` does, without a pause between two attempts."""
        while True:
            try:
                await relay.lead()
            except Exception as error:
                if not can_pass(error):
                    self.met.append(repr(error))

    # The scheduler.

    def begin(self, name: str, coroutine: Coroutine[Any, Any, object]) -> None:
        self.actors[name] = actor = Actor(name, coroutine)
        self._drive(actor, lambda: coroutine.send(None))

    def moves(self) -> list[Move]:
        """Return every possible next move."""
        found: list[Move] = []
        alive = [actor for actor in self.actors.values() if actor.pending is not None]

        def others_relay(name: str) -> bool:
            return any(actor.name in "AB" for actor in alive if actor.name != name)

        for actor in alive:
            assert actor.pending is not None
            name, kind = actor.name, actor.pending.kind
            session_is_lost = actor.session is not None and not actor.session.is_alive
            is_ready = actor.pending.is_ready()
            if is_ready:
                found.append(Move(name))
            if session_is_lost and name in "AB":
                found.append(Move(name, "notice"))
            if self.faults:
                is_alive = actor.session is not None and actor.session.is_alive
                if self.cuts and is_alive and kind in CUT_AT:
                    found.append(Move(name, "cut"))
                if actor.session is not None and kind in CRASH_AT and others_relay(name):
                    found.append(Move(name, "crash"))
                if not (self.transactions and kind == "record"):
                    found += [Move(name, how) for how in FAILS.get(kind, ())]
        if self.holder is not None and self.holder.late is not None:
            found += [Move("D", "arrive"), Move("D", "end")]
        if any(late.is_current for late in self.late):
            found.append(Move("K", "arrive"))
        looks = any(a.pending and a.pending.kind in LOOKS for a in alive)
        if self.still_to_append and (looks or not found):  # elsewhere it makes no difference
            found.append(Move("W"))
        return found

    def do(self, move: Move) -> None:
        if move.actor == "W":
            self.still_to_append -= 1
            self.length += 1
            return
        if move.actor == "K":
            self.late = [late for late in self.late if late.is_current]
            self.late.pop().arrive()
            return
        if move.actor == "D":
            assert self.holder is not None
            (self.holder.arrive if move.how == "arrive" else self.holder.end)()
            return
        actor = self.actors[move.actor]
        self.faults -= move.how not in ("go", "notice")
        if move.how == "cut":
            assert actor.session is not None
            actor.session.end()
        elif move.how == "crash":
            self._kill(actor)
        elif move.how == "notice":
            self._drive(actor, lambda: actor.coroutine.throw(asyncio.CancelledError()))
        else:
            self._drive(actor, lambda: actor.coroutine.send(move.how))

    def _drive(self, actor: Actor, resume: Callable[[], Pending]) -> None:
        self.running = actor
        actor.pending = None
        try:
            actor.pending = resume()
        except StopIteration as end:
            actor.result = end.value
        except DeadError:
            pass
        except (RewindError, KafkaError, OSError, TimeoutError, asyncpg.PostgresError) as error:
            actor.result = error  # the operator's command failed
        self.running = None

    def _kill(self, actor: Actor) -> None:
        actor.is_dead = True
        self._drive(actor, lambda: actor.coroutine.throw(DeadError()))

    def close(self) -> None:
        logging.getLogger(RELAY_LOGGER).removeHandler(self._fault_log)
        for actor in self.actors.values():
            if actor.pending is not None:
                self._kill(actor)

    def key(self) -> object:
        """Return a key: two worlds with the same key have the same future."""
        actors = [self._key_of(actor) for actor in self.actors.values()]
        return (
            self.length,
            self.faults,
            self.rewound,
            self.rewound_from and self.rewound_from.position,
            self.checkpoint and self.checkpoint.position,
            self.committed and self.committed.position,
            tuple(self.topic),
            sum(late.is_current for late in self.late),
            self.holder
            and self.holder.late
            and (self.holder.late[0], self.holder.late[1].position),
            *sorted(actors, key=hash),
        )

    def _key_of(self, actor: Actor) -> tuple[object, ...]:
        if actor.pending is None:
            return (actor.name not in "AB", actor.is_dead, type(actor.result))
        return (
            actor.name not in "AB",  # one relay is as the other
            actor.pending.kind,
            actor.session and actor.session.is_alive,
            actor.epoch == self.epoch,
            actor.is_disturbed,
            actor.has_read,
            tuple(actor.trace),
        )
