"""Naming the right that a role lacks, from PostgreSQL's refusal and the refused statement."""

import re

from sqlalchemy.exc import DBAPIError

from contracts.error_text import raised_by_the_driver

NOT_ALLOWED = "42501"
"""The SQLSTATE code of a missing right."""

_CHANGES = {
    "INSERT": r"INSERT\s+INTO",
    "UPDATE": r"(?:UPDATE|LOCK\s+TABLE)",
    "DELETE": r"DELETE\s+FROM",
}
"""How a statement names the table that it changes, by the right that this needs."""


def missing_right(error: BaseException) -> str | None:
    """The right that a refused statement lacks, as GRANT names it; None if it is unclear.

    `SELECT ON event_store.events` or `USAGE ON SCHEMA event_store`. PostgreSQL's message ends with
    the name of the object, in every language, but names neither its schema nor the right.
    """
    if not isinstance(error, DBAPIError) or getattr(error.orig, "sqlstate", None) != NOT_ALLOWED:
        return None
    statement = error.statement or ""
    message, _, _ = str(raised_by_the_driver(error)).partition("\n")
    refused = re.escape(message.rpartition(" ")[2].strip("\"'«»„“”"))
    if (table := re.search(rf"\b\w+\.{refused}\b", statement)) is not None:
        return f"{_right(statement, re.escape(table[0]))} ON {table[0]}"
    if re.search(rf"\b{refused}\.\w", statement) or "for schema" in message:
        return f"USAGE ON SCHEMA {refused}"
    return None


def _right(statement: str, table: str) -> str:
    for right, words in _CHANGES.items():
        if re.search(rf"\b{words}\s+{table}\b", statement) is not None:
            return right
    return "SELECT"
