"""Verifying that readers see the newest state: views, the live generation, stopped streams."""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from audit.verify.catalogue import expected_catalogue, normalised
from audit.verify.findings import FindingKind, Place
from audit.verify.report import VerificationReport
from audit.verify.statements import VIEWS
from projections.statements import LIVE_SCHEMA
from projections.tables import COLUMNS

SHOWN_VIEWS = text("""
    SELECT c.relname AS view, pg_get_viewdef(c.oid) AS definition,
           ARRAY(SELECT a.attname::text FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
           ARRAY(SELECT DISTINCT s.nspname::text
                 FROM pg_rewrite w
                 JOIN pg_depend d ON d.objid = w.oid AND d.classid = 'pg_rewrite'::regclass
                                 AND d.refclassid = 'pg_class'::regclass
                 JOIN pg_class t ON t.oid = d.refobjid AND t.oid <> c.oid
                 JOIN pg_namespace s ON s.oid = t.relnamespace
                 WHERE w.ev_class = c.oid) AS schemas
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'spreaview' AND c.relkind = 'v'
    ORDER BY c.relname
""")

SCHEMA_EXISTS = text("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = :schema)")

NOT_LIVE = text("SELECT count(*) FROM projections.generations WHERE NOT live")

MAY_READ_PROGRESS = text("""
    SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid
    WHERE n.nspname = :schema AND c.relname = 'stream_progress'
""")

BEHIND = text("""
    SELECT s.stream_id, coalesce(p.version, 0) AS version, s.version AS head,
           e.recorded_at < clock_timestamp() - CAST(:age AS interval) AS is_old
    FROM (SELECT stream_id, max(version) AS version FROM event_store.events GROUP BY stream_id) s
    LEFT JOIN spreaview.stream_progress p ON p.spreaview_event_id = s.stream_id
    JOIN event_store.events e
      ON e.stream_id = s.stream_id AND e.version = coalesce(p.version, 0) + 1
    WHERE coalesce(p.version, 0) < s.version
    ORDER BY s.stream_id
""")

_GENERATION = "spreaview_g"
_MIGRATE = "Run: spreaview-sync migrate"


async def check_views(connection: AsyncConnection, report: VerificationReport) -> frozenset[str]:
    """Check that each public view shows the live generation. Returns those with all columns."""
    schemas = list((await connection.execute(LIVE_SCHEMA)).scalars())
    live = schemas[0] if len(schemas) == 1 else None
    if live is None:
        what = f"{len(schemas)} generations of read models are live instead of one. {_MIGRATE}"
        report.add(FindingKind.READ_SIDE, what)
    elif not (await connection.execute(SCHEMA_EXISTS, {"schema": live})).scalar_one():
        what = f"the live generation {live} does not exist. Run: spreaview-sync projections rebuild"
        report.add(FindingKind.READ_SIDE, what)
    shown = {row.view: row for row in await connection.execute(SHOWN_VIEWS)}
    usable = set[str]()
    for name, expected in expected_catalogue().items():
        if not name.startswith("view spreaview."):
            continue
        view = name.removeprefix("view spreaview.")
        report.checked["public views"] += 1
        row = shown.get(view)
        if row is None:
            report.add(FindingKind.READ_SIDE, f"the view {view} is missing. {_MIGRATE}")
            continue
        generations = {schema for schema in row.schemas if schema.startswith(_GENERATION)}
        if live is not None and generations - {live}:
            what = (
                f"the view {view} shows {', '.join(sorted(generations))}, but the live generation "
                f"is {live}: readers see another state. {_MIGRATE}"
            )
            report.add(FindingKind.READ_SIDE, what)
        if normalised(name, row.definition) != expected:
            what = f"the view {view} has another definition. {_MIGRATE}"
            report.add(FindingKind.READ_SIDE, what)
        if view in VIEWS and set(COLUMNS[view]) <= set(row.columns):
            usable.add(view)
    return frozenset(usable)


async def check_progress(
    connection: AsyncConnection,
    report: VerificationReport,
    views: frozenset[str],
    behind: timedelta,
) -> None:
    """Find streams that have stopped, or whose newest events are not applied for `behind`."""
    stopped = await _check_stopped(connection, report)
    if "stream_progress" not in views:
        return
    for row in await connection.execute(BEHIND, {"age": behind}):
        missing = row.head - row.version
        if not row.is_old:
            report.unchecked["events that are not applied yet"] += missing
        elif row.stream_id not in stopped:
            what = (
                f"the views show version {row.version}, but the log has version {row.head}. Start "
                f"the projector, or run: spreaview-sync projections repair {row.stream_id}"
            )
            report.add(FindingKind.READ_SIDE, what, Place(row.stream_id, row.version))
    if not_live := (await connection.execute(NOT_LIVE)).scalar_one():
        report.unchecked["rows of generations that are not live: nobody reads them"] += not_live


async def _check_stopped(connection: AsyncConnection, report: VerificationReport) -> set[object]:
    stopped = set[object]()
    for schema in list((await connection.execute(LIVE_SCHEMA)).scalars()):
        found = await connection.execute(MAY_READ_PROGRESS, {"schema": schema})
        may_read = found.scalar_one_or_none()
        if not may_read:
            if may_read is False:
                report.unchecked["stopped streams: this role may not read the generation"] += 1
            continue
        quoted = '"' + schema.replace('"', '""') + '"'
        statement = f"""
            SELECT spreaview_event_id, version FROM {quoted}.stream_progress
            WHERE error IS NOT NULL ORDER BY spreaview_event_id
        """  # noqa: S608 (an identifier)
        for row in await connection.execute(text(statement)):
            stopped.add(row.spreaview_event_id)
            what = (
                f"it has stopped after version {row.version}. Run: spreaview-sync projections "
                f"retry {row.spreaview_event_id}"
            )
            report.add(FindingKind.READ_SIDE, what, Place(row.spreaview_event_id, row.version))
    return stopped
