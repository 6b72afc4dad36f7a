"""Moments and spans of a SpreaView event's past."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from contracts.events import CUT_TYPES
from contracts.identity import OUTCOME, message_id
from contracts.instants import utc_text
from eventstore.log import EventLog
from eventstore.model import Recorded


class NotInThePastError(LookupError):
    """The log does not know the event, run or entity asked for. The message is for the user."""


class Moment(NamedTuple):
    """The log up to a position and a time, both inclusive; None does not limit."""

    position: int | None = None
    time: datetime | None = None

    def includes(self, recorded: Recorded) -> bool:
        """Whether the log had the event by this moment."""
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
    """The moment that a user names: `@1234`, the id of a sync, or a time.

    Raises:
        NotInThePastError: the text has none of these forms, or the event has no such sync with an
            outcome.
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
    """The moment right after a run's outcome. Raises `NotInThePastError`."""
    outcome = await outcome_of(log, sync_id)
    if outcome.stream_id != event_id:
        raise NotInThePastError(
            f"Sync {sync_id} belongs to another SpreaView event: {outcome.stream_id}."
        )
    return Moment(position=outcome.position)


async def outcome_of(log: EventLog, sync_id: UUID) -> Recorded:
    """The terminal event of a run. Raises `NotInThePastError` if it is unknown or still open."""
    outcome = await log.event(message_id(sync_id, OUTCOME))
    if outcome is not None:
        return outcome
    if await log.event(message_id(sync_id, 0)) is not None:
        raise NotInThePastError(f"Sync {sync_id} has begun and has no outcome yet.")
    raise NotInThePastError(f"The log knows no sync {sync_id}.")


async def require_recorded(log: EventLog, moment: Moment) -> None:
    """Raise `NotInThePastError` for a moment that the log has not reached yet."""
    if moment.position:
        head = await log.head()
        if moment.position > head:
            raise NotInThePastError(
                f"Position {moment.position} is beyond the head of the log, which is at {head}. "
                f"Remedy: name a position from 0 to {head}."
            )
    if moment.time is not None and moment.time > (now := await log.clock()):
        raise NotInThePastError(
            f"{utc_text(moment.time)} is in the future: the database's clock shows "
            f"{utc_text(now, 'seconds')}. Remedy: name a time up to now."
        )


async def require_stream(log: EventLog, event_id: UUID) -> None:
    """Raise `NotInThePastError` if the log has no event of a SpreaView event."""
    if not await log.stream_version(event_id):
        raise NotInThePastError(f"The log knows no SpreaView event {event_id}.")


async def outcomes(
    log: EventLog, event_id: UUID, until: Moment = NOW
) -> AsyncIterator[list[Recorded]]:
    """The events up to a moment, in the steps of the read models: starts, outcomes, erasures.

    An outcome that the moment cuts in two is left out, because read models never show a half of
    one. Memory holds a page of the log and one outcome.

    Raises:
        NotInThePastError: the log does not know the event, or has not reached the moment.
        UnreadableEventError: an event was changed, or a newer program wrote it.
    """
    await require_stream(log, event_id)
    await require_recorded(log, until)
    pending: list[Recorded] = []
    async for recorded in log.read_stream(event_id):
        if not until.includes(recorded):
            return
        _ = recorded.event  # a reader of the plain data would not notice that it is damaged
        pending.append(recorded)
        if recorded.type in CUT_TYPES:
            yield pending
            pending = []
