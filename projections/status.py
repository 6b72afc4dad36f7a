"""How the read models are: which streams have stopped, lag, or are ahead of the log."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from projections import upkeep
from projections.generations import enter_live, live_generation
from projections.lag import Lag, oldest_lag
from projections.version import CODE_VERSION


class StoppedStream(NamedTuple):
    """A stream that does not go on by itself."""

    stream_id: UUID
    version: int
    """What is applied."""
    error: str
    stopped_at: datetime
    code_version: str
    position: int | None
    """Of the event that could not be applied; None where it is not an event that stops it."""
    type: str | None
    """Its type."""
    behind: int
    """Events that wait for it."""

    def to_json(self) -> dict[str, object]:
        """The fields by name; the time and the id as text."""
        return {
            **self._asdict(),
            "stream_id": str(self.stream_id),
            "stopped_at": str(self.stopped_at),
        }


class AheadStream(NamedTuple):
    """A stream of which more is applied, or something else, than the log has."""

    stream_id: UUID
    version: int
    """What is applied."""
    log_version: int
    """What the log has; 0 if it does not know the stream."""
    stopped: bool
    """Whether it is marked as stopped already, for this or another reason."""

    def to_json(self) -> dict[str, object]:
        """The fields by name; the id as text."""
        return {**self._asdict(), "stream_id": str(self.stream_id)}


@dataclass(frozen=True)
class ProjectionsStatus:
    """The read models of the live generation, against the log."""

    generation: str
    filled_by: str | None
    """Version of the code that filled it."""
    code_version: str
    """Of this program."""
    streams: int
    head: int
    """Position of the newest event in the log."""
    lag: Lag
    events_behind: int
    """Events to be applied, but for those of stopped streams."""
    stopped: list[StoppedStream]
    ahead: list[AheadStream]
    stuck_seconds: float
    """A lag that is older is not that of a projector at work."""

    @property
    def is_stuck(self) -> bool:
        """Whether what waits has waited for too long."""
        return self.lag.seconds > self.stuck_seconds

    @property
    def is_well(self) -> bool:
        """Whether nobody has to do anything."""
        return not (self.stopped or self.ahead or self.is_stuck)

    def to_json(self) -> dict[str, object]:
        """The answer of `projections status --json`."""
        return {
            "well": self.is_well,
            "generation": self.generation,
            "filled_by": self.filled_by,
            "code_version": self.code_version,
            "head": self.head,
            "streams": self.streams,
            "lagging_streams": self.lag.streams,
            "behind_events": self.events_behind,
            "behind_seconds": round(self.lag.seconds, 3),
            "stands_still": self.is_stuck,
            "stopped": [stream.to_json() for stream in self.stopped],
            "ahead": [stream.to_json() for stream in self.ahead],
        }


async def projections_status(
    engine: AsyncEngine, *, stuck_seconds: float = math.inf
) -> ProjectionsStatus:
    """Look at every stream. Raises as `enter_live`."""
    lag = await oldest_lag(engine)
    ahead = await ahead_streams(engine)
    async with engine.begin() as connection:
        await enter_live(connection)
        generation = await live_generation(connection)
        totals = (await connection.execute(upkeep.TOTALS)).one()
        stopped = await connection.execute(upkeep.STOPPED_STREAMS)
        return ProjectionsStatus(
            generation=generation.schema,
            filled_by=generation.code_version,
            code_version=CODE_VERSION,
            streams=totals.streams,
            head=totals.head,
            lag=lag,
            events_behind=totals.behind,
            stopped=[StoppedStream(*row) for row in stopped],
            ahead=ahead,
            stuck_seconds=stuck_seconds,
        )


async def ahead_streams(engine: AsyncEngine) -> list[AheadStream]:
    """Streams whose last applied event is not in the log: it was restored, or replaced."""
    async with engine.begin() as connection:
        await enter_live(connection)
        return [AheadStream(*row) for row in await connection.execute(upkeep.AHEAD_STREAMS)]
