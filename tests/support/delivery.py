"""A model of the way from append to topic, small enough to be looked at in every state.

Each step stands for one thing that happens to a server at once, named after the code that does it:

    lock, commit     eventstore.append: LOCK_LOG gives the position its turn, the commit shows it
    lead             eventstore.leadership.leading: the session's advisory lock
    open             messaging.outlet.Outlet.opened: a new epoch fences the old, aborts what it left
    resume           worker.relay.Relay._resume: the later of the two copies of the checkpoint
    read             EventLog.read_all: what is visible beyond the position, in order
    send, confirm    messaging.outlet.OpenOutlet.send: the records, then offsets and commit
    write            Leader.write: on the connection of the leadership, gone with it
    crash, lose      a process dies; a session ends, and its process does not know

A `Model` with a guarantee taken away has to be found out: see `tests/unit/test_delivery_model.py`.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

LONGEST_BATCH = 2


class Relay(NamedTuple):
    """A process that relays: how far it is, and what it remembers."""

    at: str = "idle"
    epoch: int = 0
    after: int = 0
    batch: tuple[int, ...] = ()
    sent: int = 0


class State(NamedTuple):
    """Everything: servers and processes."""

    appenders: tuple[tuple[str, int, int], ...]
    """Per appender: where it stands, the position it was given, events still to append."""
    next_position: int = 1
    lock: int | None = None
    """Which appender has it."""
    log: frozenset[int] = frozenset()
    """Positions that are visible."""
    relays: tuple[Relay, ...] = (Relay(), Relay())
    leader: int | None = None
    """Whose session has the leadership, as PostgreSQL knows it."""
    stored: int = 0
    """The checkpoint in the database."""
    epoch: int = 0
    mark: int = 0
    """The checkpoint in Kafka."""
    topic: tuple[int, ...] = ()
    """What readers of committed data have read."""
    faults: int = 0
    """That may still happen."""


class Model(NamedTuple):
    """The rules. As they stand they are those of the code; each may be taken away."""

    transactions: bool = True
    lock: bool = True
    fencing: bool = True
    heeds_kafka: bool = True
    confirms_first: bool = True

    def steps(self, s: State) -> Iterator[tuple[str, State]]:
        """Everything that can happen next."""
        for n in range(len(s.appenders)):
            yield from self._appender(s, n)
        for n in range(len(s.relays)):
            yield from self._relay(s, n)
            if s.faults and s.relays[n].at != "idle":
                yield f"{n} crash", _idle(s._replace(faults=s.faults - 1), n)
        if s.faults and s.leader is not None:
            yield f"{s.leader} lose", s._replace(faults=s.faults - 1, leader=None)

    def _appender(self, s: State, n: int) -> Iterator[tuple[str, State]]:
        at, position, left = s.appenders[n]
        if at == "idle" and left and (s.lock is None or not self.lock):
            given = s._replace(next_position=s.next_position + 1, lock=n)
            yield f"append {n} lock", _appender(given, n, ("locked", s.next_position, left))
        elif at == "locked":
            shown = s._replace(log=s.log | {position}, lock=None)
            yield f"append {n} commit", _appender(shown, n, ("idle", 0, left - 1))

    def _relay(self, s: State, n: int) -> Iterator[tuple[str, State]]:
        relay = s.relays[n]
        match relay.at:
            case "idle":
                if s.leader is None:
                    yield f"{n} lead", _relay(s._replace(leader=n), n, at="leads")
            case "leads":
                epoch = s.epoch + 1
                opened = s._replace(epoch=epoch)
                yield f"{n} open", _relay(opened, n, at="open", epoch=epoch, after=s.mark)
            case "open":
                yield f"{n} resume", self._resume(s, n)
            case "ready":
                if batch := tuple(sorted(p for p in s.log if p > relay.after))[:LONGEST_BATCH]:
                    at = "read" if self.confirms_first else "sent"
                    yield f"{n} read", _relay(s, n, at=at, batch=batch, sent=0)
            case "read":
                yield f"{n} send", self._send(s, n)
            case "sent":
                yield f"{n} write", self._write(s, n)

    def _resume(self, s: State, n: int) -> State:
        heeded = self.transactions and self.heeds_kafka
        after = max(s.stored, s.relays[n].after) if heeded else s.stored
        if after != s.stored and s.leader != n:
            return _idle(s, n)
        return _relay(s._replace(stored=after), n, at="ready", after=after)

    def _send(self, s: State, n: int) -> State:
        relay = s.relays[n]
        after = "sent" if self.confirms_first else "ready"
        if not self.transactions:  # one record after the other, by whoever believes that it leads
            topic = (*s.topic, relay.batch[relay.sent])
            is_last = relay.sent + 1 == len(relay.batch)
            at = after if is_last else "read"
            return _relay(s._replace(topic=topic), n, at=at, sent=relay.sent + 1)
        if self.fencing and relay.epoch != s.epoch:
            return _idle(s, n)
        # What a transaction holds before its commit is nothing to readers of committed data.
        sent = s._replace(topic=s.topic + relay.batch, mark=relay.batch[-1])
        return _relay(sent, n, at=after)

    def _write(self, s: State, n: int) -> State:
        if s.leader != n:
            return _idle(s, n)
        last = s.relays[n].batch[-1]
        at = "ready" if self.confirms_first else "read"
        return _relay(s._replace(stored=last), n, at=at, after=last)

    def wrong(self, s: State) -> str | None:
        """What readers must never see."""
        first = tuple(dict.fromkeys(s.topic))
        if self.transactions and first != s.topic:
            return "repeated"
        if list(first) != sorted(first):
            return "inverted"
        if first and {p for p in s.log if p < first[-1]} - set(first):
            return "skipped"
        return None


def explore(model: Model, *, events: int, faults: int) -> tuple[int, str | None, list[str]]:
    """Look at every state that can come about.

    Returns:
        How many states; what was wrong in one, or None; and the shortest way there.
    """
    begin = State(appenders=(("idle", 0, events), ("idle", 0, events)), faults=faults)
    came_from: dict[State, tuple[State, str] | None] = {begin: None}
    waiting = deque([begin])
    while waiting:
        state = waiting.popleft()
        wrong = model.wrong(state)
        following = list(model.steps(state))
        if wrong is None and not following and not _is_done(model, state):
            wrong = "unended"
        if wrong:
            return len(came_from), wrong, _way(came_from, state)
        for name, after in following:
            if after not in came_from:
                came_from[after] = (state, name)
                waiting.append(after)
    return len(came_from), None, []


def _is_done(model: Model, s: State) -> bool:
    head = s.next_position - 1
    at_head = s.stored == head and (s.mark == head or not model.transactions)
    return at_head and set(s.topic) == set(range(1, s.next_position))


def _way(came_from: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    way: list[str] = []
    while (before := came_from[state]) is not None:
        state = before[0]
        way.append(before[1])
    return way[::-1]


def _appender(s: State, n: int, appender: tuple[str, int, int]) -> State:
    return s._replace(appenders=(*s.appenders[:n], appender, *s.appenders[n + 1 :]))


def _relay(
    s: State,
    n: int,
    *,
    at: str,
    epoch: int | None = None,
    after: int | None = None,
    batch: tuple[int, ...] | None = None,
    sent: int | None = None,
) -> State:
    old = s.relays[n]
    new = Relay(
        at,
        old.epoch if epoch is None else epoch,
        old.after if after is None else after,
        old.batch if batch is None else batch,
        old.sent if sent is None else sent,
    )
    return s._replace(relays=(*s.relays[:n], new, *s.relays[n + 1 :]))


def _idle(s: State, n: int) -> State:
    """It begins anew, knowing nothing; its session ends, if it still had the leadership."""
    released = s._replace(leader=None) if s.leader == n else s
    return released._replace(relays=(*s.relays[:n], Relay(), *s.relays[n + 1 :]))
