"""Parity: compare the rows of two generations by hashes that PostgreSQL computes.

Both generations are read in one database snapshot. Only streams that have the same version in both
and have stopped in neither are compared. The same code makes the same rows from the same log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.codec import PERSONAL_FIELDS
from projections.generations import Generation
from projections.tables import TABLE_COLUMNS

KEYS: Mapping[str, tuple[str, ...]] = {
    "event_speakers": ("spreaview_event_id", "speaker_id"),
    "rooms": ("spreaview_event_id", "room_id"),
    "session_speakers": ("spreaview_event_id", "session_id", "speaker_id"),
    "sessions": ("spreaview_event_id", "session_id"),
    "skipped_sessions": ("spreaview_event_id", "sessionize_id"),
    "stream_progress": ("spreaview_event_id",),
    "sync_runs": ("spreaview_event_id", "sync_id"),
}
"""Key columns by table. A table that is missing here is reported as not compared."""

_PERSONAL = frozenset(chain.from_iterable(PERSONAL_FIELDS.values()))
_HIDDEN = "(personal)"
_PREPARE = "SET LOCAL work_mem = '64MB'"

_SAME = """
    CREATE TEMPORARY TABLE compared ON COMMIT DROP AS
    SELECT spreaview_event_id
    FROM {old}.stream_progress o JOIN {new}.stream_progress n USING (spreaview_event_id, version)
    WHERE o.error IS NULL AND n.error IS NULL
"""

# Two sums of independent 64-bit hashes: independent of the order of rows, not of duplicates.
# The hash of a record is quick, but linear in those of its fields. So it is hashed again as text:
# otherwise two rows that swap a value would keep the sum.
_HASH = """
    SELECT count(*), coalesce(sum(hashtextextended(record, 1)), 0),
           coalesce(sum(hashtextextended(record, 2)), 0)
    FROM (
        SELECT hash_record_extended(t, 1)::text || hash_record_extended(t, 2)::text AS record
        FROM {schema}.{table} t WHERE EXISTS (
            SELECT FROM pg_temp.compared c WHERE c.spreaview_event_id = t.spreaview_event_id)
        OFFSET 0
    ) AS hashed
"""

_DIFFERENT = """
    WITH o AS (SELECT {keys}, to_jsonb(t) AS row FROM {old}.{table} t
               JOIN pg_temp.compared USING (spreaview_event_id)),
         n AS (SELECT {keys}, to_jsonb(t) AS row FROM {new}.{table} t
               JOIN pg_temp.compared USING (spreaview_event_id))
    SELECT o.row::text AS old, n.row::text AS new,
           count(*) FILTER (WHERE o.row IS NULL) OVER () AS added,
           count(*) FILTER (WHERE n.row IS NULL) OVER () AS removed,
           count(*) OVER () AS different
    FROM o FULL JOIN n USING ({keys})
    WHERE o.row IS DISTINCT FROM n.row
    ORDER BY {keys}
    LIMIT {limit}
"""


class RowDifference(NamedTuple):
    """One row that differs. Personal values are hidden."""

    key: Mapping[str, object]
    kind: str
    """`added`, `removed` or `changed`."""
    fields: Mapping[str, tuple[object, object]]
    """Old and new values of a changed row by column; null if one side lacks the column."""

    def to_json(self) -> dict[str, object]:
        """The fields by name; the values are JSON already, as PostgreSQL wrote them."""
        return self._asdict()


@dataclass(frozen=True)
class TableParity:
    """One table in both generations."""

    table: str
    rows: tuple[int, int]
    """Rows compared in the old and in the new generation."""
    equal: bool
    added: int = 0
    removed: int = 0
    changed: int = 0
    first: Sequence[RowDifference] = ()
    """The first differences, up to the requested number."""

    def to_json(self) -> dict[str, object]:
        """The fields by name, the row counts as `old` and `new`."""
        return {
            "table": self.table,
            "rows": {"old": self.rows[0], "new": self.rows[1]},
            "equal": self.equal,
            "added": self.added,
            "removed": self.removed,
            "changed": self.changed,
            "first": [row.to_json() for row in self.first],
        }


@dataclass(frozen=True)
class Parity:
    """The result of comparing two generations."""

    streams: int
    """Streams compared."""
    not_compared: int
    """Streams that have different versions, or have stopped."""
    tables: Sequence[TableParity]
    tables_not_compared: Sequence[str]
    """Tables that only one generation has, or whose keys are unknown."""

    @property
    def equal(self) -> bool:
        """Whether all compared rows are equal in every column."""
        return all(table.equal for table in self.tables) and not self.tables_not_compared

    def to_json(self) -> dict[str, object]:
        """The comparison as part of `RebuildResult.to_json`."""
        return {
            "equal": self.equal,
            "streams": self.streams,
            "streams_not_compared": self.not_compared,
            "tables_not_compared": list(self.tables_not_compared),
            "tables": [table.to_json() for table in self.tables],
        }


async def compare(engine: AsyncEngine, old: Generation, new: Generation, *, first: int) -> Parity:
    """Compare all rows of two generations; report the `first` differences of each table."""
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        async with connection.begin():
            await connection.execute(text(_PREPARE))
            await connection.execute(text(_SAME.format(old=old.schema, new=new.schema)))
            await connection.execute(text("ANALYZE pg_temp.compared"))
            found = await connection.execute(text("SELECT count(*) FROM pg_temp.compared"))
            streams = int(found.scalar_one())
            found = await connection.execute(
                text(
                    f"SELECT count(*) FROM {old.schema}.stream_progress "  # noqa: S608 (our names)
                    f"FULL JOIN {new.schema}.stream_progress USING (spreaview_event_id)"
                )
            )
            all_streams = int(found.scalar_one())
            columns = [await _columns(connection, g.schema) for g in (old, new)]
            common = sorted(set(columns[0]) & set(columns[1]) & set(KEYS))
            tables = [
                await _compare_table(
                    connection, table, old, new, columns[0][table] == columns[1][table], first
                )
                for table in common
            ]
    not_compared = sorted((set(columns[0]) | set(columns[1])) - set(common))
    return Parity(streams, all_streams - streams, tables, not_compared)


async def _columns(connection: AsyncConnection, schema: str) -> dict[str, list[tuple[str, str]]]:
    columns: dict[str, list[tuple[str, str]]] = {}
    for row in await connection.execute(TABLE_COLUMNS, {"schema": schema}):
        columns.setdefault(row.relname, []).append((row.attname, row.type))
    return columns


async def _compare_table(
    connection: AsyncConnection,
    table: str,
    old: Generation,
    new: Generation,
    same_columns: bool,
    first: int,
) -> TableParity:
    hashes = [
        tuple((await connection.execute(text(_HASH.format(schema=g.schema, table=table)))).one())
        for g in (old, new)
    ]
    rows = (int(hashes[0][0]), int(hashes[1][0]))
    if same_columns and hashes[0] == hashes[1]:
        return TableParity(table, rows, equal=True)
    keys = KEYS[table]
    found = await connection.execute(
        text(
            _DIFFERENT.format(
                old=old.schema,
                new=new.schema,
                table=table,
                keys=", ".join(keys),
                limit=max(1, first),
            )
        )
    )
    different = found.all()
    if not different:
        return TableParity(table, rows, equal=True)
    head = different[0]
    return TableParity(
        table,
        rows,
        equal=False,
        added=head.added,
        removed=head.removed,
        changed=head.different - head.added - head.removed,
        first=[_difference(keys, row.old, row.new) for row in different[:first]],
    )


def _difference(keys: Sequence[str], old: str | None, new: str | None) -> RowDifference:
    before = msgspec.json.decode(old, type=dict[str, object]) if old else {}
    after = msgspec.json.decode(new, type=dict[str, object]) if new else {}
    key = {name: (before or after)[name] for name in keys}
    if not (before and after):
        return RowDifference(key, "removed" if before else "added", {})
    fields = {
        name: (_HIDDEN, _HIDDEN) if name in _PERSONAL else (before.get(name), after.get(name))
        for name in [*before, *(name for name in after if name not in before)]
        if name not in before or name not in after or before[name] != after[name]
    }
    return RowDifference(key, "changed", fields)
