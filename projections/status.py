"""The state of the read models: streams that have stopped, lag, or are ahead of the log."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.instants import utc_text
from projections.generations import live_generation, select_live_generation
from projections.grants import roles_without_rights
from projections.statements import IS_AHEAD
from projections.version import CODE_VERSION

OLDEST_LAG = text("""
    SELECT count(*) OVER () AS streams, s.stream_id, coalesce(p.version, 0) AS version,
           clock_timestamp() - e.recorded_at AS age
    FROM event_store.streams s
    LEFT JOIN stream_progress p ON p.spreaview_event_id = s.stream_id
    JOIN event_store.events e
      ON e.stream_id = s.stream_id AND e.version = coalesce(p.version, 0) + 1
    WHERE p.error IS NULL AND coalesce(p.version, 0) < s.version
    ORDER BY e.position
    LIMIT 1
""")

_AHEAD = f"""
    SELECT p.spreaview_event_id, p.version, coalesce(s.version, 0) AS log_version,
           p.error IS NOT NULL AS stopped
    FROM stream_progress p
    LEFT JOIN event_store.streams s ON s.stream_id = p.spreaview_event_id
    WHERE {IS_AHEAD}
"""  # noqa: S608 (of constants)

AHEAD_STREAMS = text(f"{_AHEAD} ORDER BY p.spreaview_event_id")

AHEAD_AMONG = text(f"{_AHEAD} AND p.spreaview_event_id = ANY(CAST(:stream_ids AS uuid[]))")

STOPPED_STREAMS = text("""
    SELECT p.spreaview_event_id, p.version, p.error, p.stopped_at, p.code_version,
           e.position, e.type, greatest(coalesce(s.version, 0) - p.version, 0) AS behind
    FROM stream_progress p
    LEFT JOIN event_store.streams s ON s.stream_id = p.spreaview_event_id
    LEFT JOIN event_store.events e ON e.position = p.stopped_by
    WHERE p.error IS NOT NULL
    ORDER BY p.stopped_at
""")

TOTALS = text("""
    SELECT (SELECT count(*) FROM event_store.streams) AS streams,
           (SELECT coalesce(max(position), 0) FROM event_store.events) AS head,
           (SELECT coalesce(sum(greatest(s.version - coalesce(p.version, 0), 0)), 0)::bigint
            FROM event_store.streams s
            LEFT JOIN stream_progress p ON p.spreaview_event_id = s.stream_id
            WHERE p.error IS NULL) AS behind
""")

# Rows whose last event an earlier version applied, without a column that it did not have.
UNFILLED_ROWS = text("""
    SELECT count(*) FROM sessions t
    JOIN event_store.events e ON e.position = t.position AND e.type = 'SessionImported'
    WHERE t.topics IS DISTINCT FROM nullif(e.data->'topics', 'null')
""")


STOPPED = text("SELECT count(*) FROM stream_progress WHERE error IS NOT NULL")

# The newest completed run of each stream, by the index on its runs.
REMOVALS_HELD = text("""
    SELECT coalesce(sum(r.held), 0)::bigint AS held
    FROM stream_progress p
    CROSS JOIN LATERAL (
        SELECT CAST(counts->'sessions'->>'withheld' AS bigint) AS held FROM sync_runs
        WHERE spreaview_event_id = p.spreaview_event_id AND status = 'completed'
        ORDER BY position DESC LIMIT 1
    ) r
""")


class Lag(NamedTuple):
    """The streams with events that are not applied yet, without the stopped ones."""

    streams: int
    stream_id: UUID | None
    """The stream that has waited longest."""
    version: int
    """The applied version of that stream."""
    seconds: float
    """Age of its first event that is not applied."""


class StoppedStream(NamedTuple):
    """A stream that stopped at an event that cannot be applied, or because it is ahead."""

    stream_id: UUID
    version: int
    """The applied version."""
    error: str
    stopped_at: datetime
    code_version: str
    position: int | None
    """Position of the event that could not be applied; None if no single event is the cause."""
    type: str | None
    """Type of that event."""
    behind: int
    """Events of this stream that are not applied."""

    def to_json(self) -> dict[str, object]:
        """The fields by name; the time and the id as text."""
        return {
            **self._asdict(),
            "stream_id": str(self.stream_id),
            "stopped_at": utc_text(self.stopped_at),
        }


class AheadStream(NamedTuple):
    """A stream whose last applied event is not in the log: the log was restored or replaced."""

    stream_id: UUID
    version: int
    """The applied version."""
    log_version: int
    """The version in the log; 0 if the stream is unknown there."""
    stopped: bool
    """Whether the stream has stopped already, for this or another reason."""

    def to_json(self) -> dict[str, object]:
        """The fields by name; the id as text."""
        return {**self._asdict(), "stream_id": str(self.stream_id)}


@dataclass(frozen=True)
class ProjectionsStatus:
    """The read models of the live generation, compared with the log."""

    generation: str
    filled_by: str | None
    """Version of the code that filled the generation."""
    code_version: str
    """Version of this program's projections."""
    streams: int
    head: int
    """Position of the newest event in the log."""
    lag: Lag
    events_behind: int
    """Events that are not applied yet, except in stopped streams."""
    stopped: list[StoppedStream]
    ahead: list[AheadStream]
    without_rights: list[str]
    """Roles that may use another generation but not the live one."""
    stuck_seconds: float
    """A projector at work does not lag longer than this."""
    unfilled_rows: int = 0
    """Rows without a value that an earlier version of the projections left out."""

    @property
    def is_stuck(self) -> bool:
        """Whether the oldest lag is too long for a projector at work."""
        return self.lag.seconds > self.stuck_seconds

    @property
    def is_well(self) -> bool:
        """Whether no operator needs to act."""
        return not (self.stopped or self.ahead or self.is_stuck or self.without_rights)

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
            "without_rights": self.without_rights,
            "unfilled_rows": self.unfilled_rows,
        }


async def oldest_lag(engine: AsyncEngine) -> Lag:
    """Return how many streams lag, and the oldest lag. Raises as `select_live_generation`."""
    async with engine.begin() as connection:
        await select_live_generation(connection)
        row = (await connection.execute(OLDEST_LAG)).one_or_none()
    if row is None:
        return Lag(0, None, 0, 0.0)
    return Lag(row.streams, row.stream_id, row.version, row.age.total_seconds())


async def projections_status(
    engine: AsyncEngine, *, stuck_seconds: float = math.inf
) -> ProjectionsStatus:
    """Report the state of every stream. Raises as `select_live_generation`."""
    lag = await oldest_lag(engine)
    ahead = await ahead_streams(engine)
    async with engine.begin() as connection:
        await select_live_generation(connection)
        generation = await live_generation(connection)
        totals = (await connection.execute(TOTALS)).one()
        stopped = await connection.execute(STOPPED_STREAMS)
        unfilled = 0
        if generation.code_version != CODE_VERSION:
            unfilled = (await connection.execute(UNFILLED_ROWS)).scalar_one()
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
            without_rights=await roles_without_rights(connection),
            stuck_seconds=stuck_seconds,
            unfilled_rows=unfilled,
        )


class ProjectionFigures(NamedTuple):
    """The state of the read models in numbers, which cost little to read often."""

    lag: Lag
    events_behind: int
    """Events that are not applied yet, except in stopped streams."""
    stopped: int
    generation: str
    filled_by: str
    """Version of the code that filled the generation; empty if unknown."""


async def projection_figures(engine: AsyncEngine) -> ProjectionFigures:
    """Return the state of the read models in numbers. Raises as `select_live_generation`."""
    lag = await oldest_lag(engine)
    async with engine.begin() as connection:
        await select_live_generation(connection)
        generation = await live_generation(connection)
        totals = (await connection.execute(TOTALS)).one()
        stopped = (await connection.execute(STOPPED)).scalar_one()
    filled_by = generation.code_version or ""
    return ProjectionFigures(lag, totals.behind, stopped, generation.schema, filled_by)


async def removals_held(engine: AsyncEngine) -> int:
    """Return how many sessions the last runs have held back. Raises as `select_live_generation`."""
    async with engine.begin() as connection:
        await select_live_generation(connection)
        held: int = (await connection.execute(REMOVALS_HELD)).scalar_one()
    return held


async def ahead_streams(engine: AsyncEngine) -> list[AheadStream]:
    """Return the streams that are ahead of the log. Raises as `select_live_generation`."""
    async with engine.begin() as connection:
        await select_live_generation(connection)
        return [AheadStream(*row) for row in await connection.execute(AHEAD_STREAMS)]
