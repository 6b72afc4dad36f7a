"""The rights of each role of `deploy/roles.sql`, and the rights that a login lacks of them."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.codec import PERSONAL_FIELDS
from contracts.views import VIEWS
from projections.tables import COLUMNS

PREFIX = "spreaview_"
GENERATION = "GENERATION"
"""Stands for the schema of each generation."""

_READ, _ADD = ("SELECT",), ("SELECT", "INSERT")
_CHANGE, _ALL = (*_ADD, "UPDATE"), (*_ADD, "UPDATE", "DELETE")
_REPLACE = (*_ADD, "DELETE")
_FOR_ALL = {"event_store.schema_version": _READ}
_PLACES = {"event_store.confirmed_places": _READ}
_LOG = (
    *("events", "streams", "inbox", "personal_data", "sources", "snapshots", "checkpoints"),
    *("unpublished", "erased_subjects", "erasures"),
)
_READ_LOG = {f"event_store.{table}": _READ for table in _LOG}
_READ_VIEWS = {f"spreaview.{view}": _READ for view in VIEWS}
_READ_ROWS = {f"{GENERATION}.{table}": _READ for table in COLUMNS}
_AUDIT = (
    _FOR_ALL | _PLACES | _READ_LOG | _READ_VIEWS | _READ_ROWS | {"projections.generations": _READ}
)

TABLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "worker": _FOR_ALL
    | _PLACES
    | {
        "event_store.log": _READ,
        "event_store.events": _ADD,
        "event_store.inbox": _ADD,
        "event_store.erased_subjects": _ADD,
        "event_store.erasures": _ADD,
        "event_store.personal_data": _REPLACE,
        "event_store.streams": _CHANGE,
        "event_store.checkpoints": _CHANGE,
        "event_store.snapshots": _ALL,
        "event_store.sources": _REPLACE,
        "event_store.unpublished": _ALL,
    },
    "projector": _FOR_ALL
    | _PLACES
    | {
        "event_store.events": _READ,
        "event_store.streams": _READ,
        "event_store.personal_data": _READ,
        "event_store.erased_subjects": _READ,
        "projections.generations": _READ,
    }
    | {f"{GENERATION}.{table}": _ALL for table in COLUMNS},
    "reader": _FOR_ALL | _READ_VIEWS,
    "auditor": _AUDIT,
    "api": _AUDIT,
}
"""Rights on tables and views, by role."""

_SPEAKERS = f"{GENERATION}.event_speakers"
_LOG_ID = {("event_store.log", column): "SELECT" for column in ("log_id", "created_at")}

TABLE_COLUMNS: Mapping[str, Mapping[tuple[str, str], str]] = {
    "worker": {
        ("event_store.sources", "kept_at"): "UPDATE",
        ("projections.generations", "number"): "SELECT",
        ("projections.generations", "schema"): "SELECT",
        (_SPEAKERS, "spreaview_event_id"): "SELECT",
        (_SPEAKERS, "organization_id"): "SELECT",
        (_SPEAKERS, "speaker_id"): "SELECT",
        **{(_SPEAKERS, c): "UPDATE" for c in (*PERSONAL_FIELDS["SpeakerImported"], "status")},
    },
    "projector": {("event_store.log", "log_id"): "SELECT"},
    "auditor": _LOG_ID,
    "api": _LOG_ID | {("event_store.log", "fingerprint_key"): "SELECT"},
}
"""Rights on single columns, by role."""

WHO = text("""
    SELECT current_user AS name,
           coalesce((SELECT pg_has_role(current_user, nspowner, 'USAGE')
                     FROM pg_namespace WHERE nspname = 'event_store'), false) AS is_owner,
           ARRAY(SELECT rolname::text FROM pg_roles
                 WHERE rolname = ANY(CAST(:names AS text[]))
                   AND pg_has_role(current_user, oid, 'USAGE') ORDER BY 1) AS member_of
""")

SCHEMAS = text("""
    SELECT nspname FROM pg_namespace WHERE nspname ~ '^spreaview_g[0-9]+$' ORDER BY nspname
""")

# A missing table counts as a missing right. Without USAGE on the schema, only that is named.
LACKING = text("""
    SELECT DISTINCT CASE
        WHEN NOT has_schema_privilege(s.oid, 'USAGE') THEN format('USAGE ON SCHEMA %s', n.schema)
        WHEN n.of_column IS NULL THEN format('%s ON %s.%s', n.privilege, n.schema, n.name)
        ELSE format('%s (%s) ON %s.%s', n.privilege, n.of_column, n.schema, n.name) END
    FROM unnest(CAST(:schemas AS text[]), CAST(:names AS text[]), CAST(:columns AS text[]),
                CAST(:privileges AS text[])) AS n (schema, name, of_column, privilege)
    JOIN pg_namespace s ON s.nspname = n.schema
    LEFT JOIN pg_class c ON c.relnamespace = s.oid AND c.relname = n.name
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = n.of_column
    WHERE NOT has_schema_privilege(s.oid, 'USAGE') OR c.oid IS NULL
       OR CASE WHEN n.of_column IS NULL THEN NOT has_table_privilege(c.oid, n.privilege)
               ELSE NOT coalesce(has_column_privilege(c.oid, a.attnum, n.privilege), false) END
    ORDER BY 1
""")


class Login(NamedTuple):
    """The login of this process."""

    name: str
    is_owner: bool
    """Whether it has the rights of the owner of the log."""
    roles: list[str]
    """The roles of `deploy/roles.sql` that it is a member of, without the prefix."""


class Right(NamedTuple):
    """One right on a table, or on a column of it."""

    schema: str
    name: str
    column: str | None
    privilege: str


async def this_login(connection: AsyncConnection) -> Login:
    """Return the login of a connection, and its roles."""
    names = [f"{PREFIX}{role}" for role in TABLES]
    row = (await connection.execute(WHO, {"names": names})).one()
    return Login(row.name, row.is_owner, [name.removeprefix(PREFIX) for name in row.member_of])


async def lacking_rights(connection: AsyncConnection, role: str) -> list[str]:
    """Return the rights of a role that this login lacks, as GRANT names them."""
    schemas = list((await connection.execute(SCHEMAS)).scalars())
    needed = list(rights_of(role, schemas))
    found = await connection.execute(
        LACKING,
        {
            "schemas": [right.schema for right in needed],
            "names": [right.name for right in needed],
            "columns": [right.column for right in needed],
            "privileges": [right.privilege for right in needed],
        },
    )
    return list(found.scalars())


def rights_of(role: str, generations: list[str]) -> Iterator[Right]:
    """Yield every right of a role, with the schemas of the generations."""
    for table, privileges in TABLES[role].items():
        for schema, name in _named(table, generations):
            yield from (Right(schema, name, None, privilege) for privilege in privileges)
    for (table, column), privilege in TABLE_COLUMNS.get(role, {}).items():
        for schema, name in _named(table, generations):
            yield Right(schema, name, column, privilege)


def _named(table: str, generations: list[str]) -> Iterator[tuple[str, str]]:
    schema, _, name = table.partition(".")
    for one in generations if schema == GENERATION else [schema]:
        yield one, name
