"""Replaying the log, or a part of it, in order, to a topic or to a file.

A replayed event is the CloudEvent that subscribers got, in today's form: upcast, and without the
personal data erased in the meantime. Its attribute `replay` has the name of the replay, so that
subscribers do not mistake it for a new event.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import msgspec

from eventstore.log import EventLog
from eventstore.model import Recorded
from messaging.cloudevents import Record, structured
from messaging.publisher import CommittedPosition, OpenPublisher
from worker.relay.relay import record_of

REPLAY = "ce_replay"
"""Header of a replayed record: the name of the replay."""

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

        await replay(log, ReplaySelection(), to_lines(file.write, log_id, "audit-2026"))

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


def to_kafka(publisher: OpenPublisher, log_id: UUID, name: str) -> Sender:
    """Send to a topic: each event once on a broker with transactions, even after a crash.

    The outlet's mark has the position after which to continue.
    """

    async def send(events: Sequence[Recorded], position: int) -> None:
        records = [_marked(record_of(event, log_id), name) for event in events]
        await publisher.send(records, CommittedPosition(position, f"{log_id}/{name}"))

    return Sender(name, send)


def to_lines(write: Callable[[str], object], log_id: UUID, name: str) -> Sender:
    """Write one CloudEvent per line, as JSON."""

    async def send(events: Sequence[Recorded], _: int) -> None:
        write("".join(f"{line}\n" for line in _lines(events, log_id, name)))

    return Sender(name, send)


class ReplayedFile(NamedTuple):
    """The content of the file of an interrupted replay."""

    position: int = 0
    """The last position in it."""
    whole_bytes: int = 0
    """The size of its whole lines: beyond lies a line that was cut off."""


def replayed_file(path: Path, name: str) -> ReplayedFile:
    """How far the file of an interrupted replay goes.

    Raises:
        ValueError: the file has other content, or another replay.
    """
    whole, position = 0, 0
    with path.open("rb") as file:
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
            if content.name != name:
                raise ValueError(f"{path} holds another replay, not {name!r}")
            if not line.endswith(b"\n"):
                break
            whole, position = whole + len(line), content.position
    return ReplayedFile(position, whole)


class _Line(msgspec.Struct):
    name: str = msgspec.field(name="replay")
    position: int


def _read(line: bytes) -> _Line | None:
    try:
        return msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError:
        return None


def _lines(events: Iterable[Recorded], log_id: UUID, name: str) -> Iterable[str]:
    for event in events:
        record = record_of(event, log_id)
        yield json.dumps(structured(record) | {"replay": name}, ensure_ascii=False)


def _marked(record: Record, name: str) -> Record:
    return record._replace(headers=[*record.headers, (REPLAY, name.encode())])
