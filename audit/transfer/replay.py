"""Replaying the log, or a part of it, in order, to a topic or to a file.

A replayed event is the CloudEvent that subscribers got, in today's form: upcast, and without the
personal data erased in the meantime. Its attribute `replay` has the name of the replay, so that
subscribers do not mistake it for a new event.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import msgspec

from eventstore.log import EventLog
from eventstore.model import Recorded
from messaging.cloudevents import Record, log_source, structured
from messaging.publisher import CommittedPosition, OpenPublisher, TransactionalPublisher
from worker.relay.relay import record_of

REPLAY = "ce_replay"
"""Header of a replayed record: the name of the replay."""

_ONLY = "replayevent"
"""Attribute in the lines of a replay of one SpreaView event: its id."""
_PAGE = 500
_LINES_BEGIN = b'{"specversion": "1.0", "id": "'
"""The beginning of every line: an unfinished last line must begin like this, too."""


class ReplaySelection(NamedTuple):
    """The part of the log to replay."""

    after: int = 0
    """Replay the events beyond this position."""
    until: int | None = None
    """The last position, inclusive; None is the head of the log when the replay begins."""
    spreaview_event_id: UUID | None = None
    """Replay this SpreaView event only; None replays all."""


class ReplayIdentity(NamedTuple):
    """The facts by which a replay is recognised and continued: all of them must be equal."""

    log_id: UUID
    name: str
    """Every event that is sent carries it."""
    spreaview_event_id: UUID | None = None
    """The only SpreaView event; None replays all."""

    @property
    def note(self) -> str:
        """The note of the position that a topic's replay commits."""
        only = f"/{self.spreaview_event_id}" if self.spreaview_event_id is not None else ""
        return f"{self.log_id}/{self.name}{only}"


class ReplayResult(NamedTuple):
    """The outcome of a replay."""

    name: str
    events: int
    """The number of events sent."""
    position: int
    """The last position that was read: a later replay may continue after it."""

    def to_json(self) -> dict[str, object]:
        """The result as JSON values; `replay` is the name."""
        return {"replay": self.name, "events": self.events, "position": self.position}


class Sender(NamedTuple):
    """The target of a replay."""

    name: str
    """The name of the replay: every event that is sent carries it."""
    send: Callable[[Sequence[Recorded], int], Awaitable[None]]
    """Takes events and the position up to which the log was read; returns once they are safe."""


async def replay(
    log: EventLog,
    selection: ReplaySelection,
    sender: Sender,
    *,
    pace: float | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> ReplayResult:
    """Send a part of the log again, page by page, in the order of positions.

        identity = ReplayIdentity(log_id, "audit-2026")
        await replay(log, ReplaySelection(), to_lines(file.write, identity))

    Args:
        log: the log to read.
        selection: the part of the log to send.
        sender: where the events go.
        pace: 2.0 replays twice as fast as the events were recorded; None is full speed.
        on_progress: called with each position reached.
    """
    until = await log.head() if selection.until is None else selection.until
    clock = _Clock(pace)
    number, after = 0, selection.after
    while page := [e for e in await log.read_all(after, limit=_PAGE) if e.position <= until]:
        chosen = [e for e in page if selection.spreaview_event_id in (None, e.stream_id)]
        due = [e for e in chosen if clock.seconds_until(e) <= 0]
        if chosen and not due:
            # Read the page again after the wait: somebody may be erased meanwhile.
            await asyncio.sleep(clock.seconds_until(chosen[0]))
            continue
        after = (page if len(due) == len(chosen) else due)[-1].position
        await sender.send(due, after)
        on_progress(after)
        number += len(due)
    return ReplayResult(sender.name, number, after)


class _Clock:
    """The schedule of the replayed events; the first one is due immediately."""

    def __init__(self, pace: float | None) -> None:
        self._pace = pace
        self._first: datetime | None = None
        self._began = 0.0

    def seconds_until(self, event: Recorded) -> float:
        """The time until an event is due; 0 or less if it is due now."""
        if self._pace is None:
            return 0.0
        now = time.monotonic()
        if self._first is None:
            self._first, self._began = event.recorded_at, now
        due = (event.recorded_at - self._first).total_seconds() / self._pace
        return self._began + due - now


@asynccontextmanager
async def to_topic(
    publisher: TransactionalPublisher, identity: ReplayIdentity
) -> AsyncIterator[tuple[Sender, int]]:
    """Send to a topic: each event once on a broker with transactions, even after a crash.

    Yields the sender, and the position that an interrupted replay has reached. After a request
    without an answer the publisher is opened again, and the replay continues from there.

    Raises:
        ValueError: that replay was of another log, or of other SpreaView events.
        aiokafka.errors.KafkaError, TimeoutError: the broker does not answer.
    """
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(publisher.opened())
        reached = _reached(opened, identity)

        async def send(events: Sequence[Recorded], position: int) -> None:
            nonlocal opened, reached
            if opened.is_spent:
                await stack.aclose()
                opened = await stack.enter_async_context(publisher.opened())
                reached = max(reached, _reached(opened, identity))
            records = [
                _marked(record_of(event, identity.log_id), identity.name)
                for event in events
                if event.position > reached
            ]
            position = max(reached, position)
            await opened.send(records, CommittedPosition(position, identity.note))
            reached = position

        yield Sender(identity.name, send), reached


def _reached(opened: OpenPublisher, identity: ReplayIdentity) -> int:
    if opened.committed is None:
        return 0
    if opened.committed.note != identity.note:
        raise _different("the topic", identity)
    return opened.committed.position


def _different(where: str, identity: ReplayIdentity) -> ValueError:
    return ValueError(
        f"{where} holds a replay {identity.name!r} of another log, or with another --event-id.\n"
        "Remedy: choose another --name, and another file or topic."
    )


def to_lines(write: Callable[[str], object], identity: ReplayIdentity) -> Sender:
    """Write one CloudEvent per line, as JSON."""

    async def send(events: Sequence[Recorded], _: int) -> None:
        write("".join(f"{line}\n" for line in _lines(events, identity)))

    return Sender(identity.name, send)


class ReplayedFile(NamedTuple):
    """The content of the file of an interrupted replay."""

    position: int = 0
    """The last position in it."""
    whole_bytes: int = 0
    """The size of its whole lines: beyond lies a line that was cut off."""
    size: int = 0
    """The size of the file before it was read."""


def replayed_file(path: Path, identity: ReplayIdentity) -> ReplayedFile:
    """How far the file of an interrupted replay goes.

    Raises:
        ValueError: the file has other content, or another replay: by name, log or SpreaView event.
    """
    source, whole, position = log_source(identity.log_id), 0, 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for number, line in enumerate(file, start=1):
            content = _read(line)
            if (
                content is None
                and not line.endswith(b"\n")
                and _LINES_BEGIN.startswith(line[: len(_LINES_BEGIN)])
            ):
                break
            if content is None:
                raise ValueError(
                    f"{path}, line {number}, is not part of a replay: name another file"
                )
            if content.name != identity.name:
                raise ValueError(f"{path} holds another replay, not {identity.name!r}")
            if (content.source, content.only) != (source, identity.spreaview_event_id):
                raise _different(str(path), identity)
            if not line.endswith(b"\n"):
                break
            whole, position = whole + len(line), content.position
    return ReplayedFile(position, whole, size)


class _Line(msgspec.Struct):
    source: str
    position: int
    name: str = msgspec.field(name="replay")
    only: UUID | None = msgspec.field(name=_ONLY, default=None)


def _read(line: bytes) -> _Line | None:
    try:
        return msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError:
        return None


def _lines(events: Iterable[Recorded], identity: ReplayIdentity) -> Iterable[str]:
    marks = {"replay": identity.name}
    if identity.spreaview_event_id is not None:
        marks[_ONLY] = str(identity.spreaview_event_id)
    for event in events:
        record = record_of(event, identity.log_id)
        yield json.dumps(structured(record) | marks, ensure_ascii=False)


def _marked(record: Record, name: str) -> Record:
    return record._replace(headers=[*record.headers, (REPLAY, name.encode())])
