"""Moments and spans of a SpreaView event's past."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from contracts.events import CUT_TYPES
from contracts.identity import OUTCOME, message_id
from eventstore.log import EventLog
from eventstore.model import Recorded


class NotInThePastError(LookupError):
    """The log does not know what was asked for; the text is a sentence for the person who asked."""


class Moment(NamedTuple):
    """What was in the log up to here, both ends inclusive; None does not limit."""

    position: int | None = None
    time: datetime | None = None

    def includes(self, recorded: Recorded) -> bool:
        """Whether an event was in the log by then."""
        if self.position is not None and recorded.position > self.position:
            return False
        return self.time is None or recorded.recorded_at <= self.time


NOW = Moment()


class Span(NamedTuple):
    """The time between two instants, both inclusive; None does not limit."""

    since: datetime | None = None
    until: datetime | None = None

    def includes(self, time: datetime) -> bool:
        """Whether a time lies in the span."""
        if self.since is not None and time < self.since:
            return False
        return self.until is None or time <= self.until


ALWAYS = Span()


def parse_time(text: str) -> datetime:
    """An ISO 8601 time; without an offset it is UTC. Raises `ValueError`."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


async def parse_moment(log: EventLog, event_id: UUID, text: str) -> Moment:
    """A moment as people write it: `@1234`, the id of a sync, or a time.

    Raises:
        NotInThePastError: it is none of these, or the event has no such sync with an outcome.
    """
    if text.startswith("@") and text[1:].isdecimal():
        return Moment(position=int(text[1:]))
    try:
        sync_id = UUID(text)
    except ValueError:
        try:
            return Moment(time=parse_time(text))
        except ValueError as error:
            raise NotInThePastError(
                f"{text!r} is neither the id of a sync, nor a time such as 2026-05-28T09:00Z, nor "
                "a position such as @1234."
            ) from error
    return await after_sync(log, event_id, sync_id)


async def after_sync(log: EventLog, event_id: UUID, sync_id: UUID) -> Moment:
    """Right after a run's outcome. Raises `NotInThePastError`."""
    outcome = await outcome_of(log, sync_id)
    if outcome.stream_id != event_id:
        raise NotInThePastError(
            f"Sync {sync_id} belongs to another SpreaView event: {outcome.stream_id}."
        )
    return Moment(position=outcome.position)


async def outcome_of(log: EventLog, sync_id: UUID) -> Recorded:
    """The terminal event of a run. Raises `NotInThePastError` if there is none (yet)."""
    outcome = await log.event(message_id(sync_id, OUTCOME))
    if outcome is not None:
        return outcome
    if await log.event(message_id(sync_id, 0)) is not None:
        raise NotInThePastError(f"Sync {sync_id} has begun and has no outcome yet.")
    raise NotInThePastError(f"The log knows no sync {sync_id}.")


async def require_stream(log: EventLog, event_id: UUID) -> None:
    """Raises `NotInThePastError` if nothing was ever recorded of a SpreaView event."""
    if not await log.stream_version(event_id):
        raise NotInThePastError(f"The log knows no SpreaView event {event_id}.")


async def outcomes(
    log: EventLog, event_id: UUID, until: Moment = NOW
) -> AsyncIterator[list[Recorded]]:
    """The past in steps between which a read model may stand: starts, whole outcomes, erasures.

    An outcome that the moment cuts in two is left out: no read model ever showed a half. In memory
    are a page of the log and one outcome. Raises `NotInThePastError` for an unknown event.
    """
    await require_stream(log, event_id)
    pending: list[Recorded] = []
    async for recorded in log.read_stream(event_id):
        if not until.includes(recorded):
            return
        pending.append(recorded)
        if recorded.type in CUT_TYPES:
            yield pending
            pending = []
