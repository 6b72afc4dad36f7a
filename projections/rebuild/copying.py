"""Copy the rows of streams that a generation does not have yet.

No row of such a stream exists, so its last rows are all that is written: by COPY, one per table,
with the values that `projections.write` would leave there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

import asyncpg
import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.codec import PERSONAL_FIELDS
from projections.changes import Changes, Row
from projections.statements import MOVE_PROGRESS

_OF_A_RUN = ("sync_id", "spreaview_event_id", "organization_id", "status", "position")
_OF_ITS_START = (
    "requested_at", *PERSONAL_FIELDS["SyncStarted"], "started_at", "window_starts_on",
    "window_ends_on", "time_zone", "api_id_masked",
)  # fmt: skip
_OF_ITS_END = (
    "finished_at", "counts", "warnings", "withheld", "failure_code", "failure_message",
    "failure_remedy", "retryable",
)  # fmt: skip
_encoder = msgspec.json.Encoder()


class CopiedTable(NamedTuple):
    """A table of a generation, as COPY fills it."""

    name: str
    columns: Sequence[str]
    converters: Sequence[tuple[str, Callable[[object], object] | None]]
    """By column: makes the driver's value; None if the value of the event is the driver's."""


def copied_tables(columns: Iterable[tuple[str, str, str]]) -> list[CopiedTable]:
    """Return the tables to copy to, from the table, name and type of each column of a generation.

    Generations that different versions have created may have different columns.
    """
    tables: dict[str, list[tuple[str, str]]] = {}
    for table, name, kind in columns:
        tables.setdefault(table, []).append((name, kind))
    return [
        CopiedTable(
            table,
            [name for name, _ in columns_of],
            [(name, _CONVERTERS[kind]) for name, kind in columns_of],
        )
        for table, columns_of in tables.items()
        if table != "stream_progress"
    ]


async def copy_rows(
    connection: AsyncConnection,
    driver: asyncpg.Connection,
    schema: str,
    tables: Iterable[CopiedTable],
    changes: Changes,
) -> None:
    """Write the changes of streams of which the generation has only the progress rows.

    `driver` is the driver's connection below `connection`.

    Raises:
        TypeError, ValueError, OverflowError: the driver cannot convert a value.
        asyncpg.PostgresError: the database refuses a row.
    """
    rows = last_rows(changes)
    for table in tables:
        if of_table := rows[table.name]:
            await driver.copy_records_to_table(
                table.name,
                schema_name=schema,
                columns=table.columns,
                records=_records(table, of_table),
            )
    progress = list(changes.progress.values())
    await connection.execute(MOVE_PROGRESS, {"rows": _encoder.encode(progress).decode()})


def last_rows(changes: Changes) -> Mapping[str, Sequence[Row]]:
    """Return the rows by table that changes leave if no row of their streams existed before.

    Changes of rows that do not exist change nothing.
    """
    return {
        "sync_runs": list(_runs(changes)),
        "rooms": list(changes.rooms.rows.values()),
        "event_speakers": list(changes.speakers.rows.values()),
        "sessions": list(changes.sessions.rows.values()),
        "session_speakers": [row for rows in changes.session_speakers.values() for row in rows],
        "skipped_sessions": [row for row in changes.skips.values() if row is not None],
    }


def _runs(changes: Changes) -> Iterator[Row]:
    """As PUT_STARTED_RUNS followed by PUT_ENDED_RUNS."""
    for sync_id in changes.started_runs | changes.ended_runs:
        started, ended = changes.started_runs.get(sync_id), changes.ended_runs.get(sync_id)
        row = _part(started or ended or {}, _OF_A_RUN)
        if started is not None:
            row |= _part(started, _OF_ITS_START)
        if ended is not None:
            row |= _part(ended, (*_OF_ITS_END, "status", "position"))
        yield row


def _part(row: Row, columns: Iterable[str]) -> Row:
    return {name: row.get(name) for name in columns}


def _records(table: CopiedTable, rows: Iterable[Row]) -> Iterator[tuple[object, ...]]:
    for row in rows:
        yield tuple(
            [
                value if convert is None or value is None else convert(value)
                for name, convert in table.converters
                for value in (row.get(name),)
            ]
        )


def _integer(value: object) -> object:
    if type(value) is not int:  # the driver takes true for 1
        raise TypeError(f"an integer is required, not {type(value).__name__}")
    return value


def _time(value: object) -> object:
    time = msgspec.convert(value, datetime)
    if time.tzinfo is None:  # the driver takes it for a local time
        raise ValueError("a time has no time zone")
    return time


def _date(value: object) -> object:
    return msgspec.convert(value, date)


def _json(value: object) -> object:
    return _encoder.encode(value).decode()


_CONVERTERS: Mapping[str, Callable[[object], object] | None] = {
    "uuid": None,
    "text": None,
    "boolean": None,
    "bigint": _integer,
    "integer": _integer,
    "timestamp with time zone": _time,
    "date": _date,
    "jsonb": _json,
}
"""By type of a column."""
