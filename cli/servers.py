"""The database of a command that people wait for: what keeps it from answering is one sentence."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.connections import database, without_password
from contracts.error_text import describe_error
from eventstore.errors import is_database_outage
from projections.generations import NoGenerationError

_NOT_MIGRATED = ("42P01", "3F000")
"""Undefined table, undefined schema."""
_NOT_ALLOWED = "42501"
_REMEDY = "check SPREAVIEW_DATABASE_URL and the server, then run this again."


@asynccontextmanager
async def answering_database(
    url: str, pool_size: int, remedy: str = _REMEDY
) -> AsyncIterator[AsyncEngine]:
    """An engine; a database that does not answer, is not migrated or refuses ends with 1.

    So does a file that cannot be read or written. Who reads standard output may go away: that is
    no matter of the database.
    """
    try:
        async with database(url, pool_size) as engine:
            yield engine
    except BrokenPipeError:
        raise
    except Exception as error:
        said = _said(url, error, remedy)
        if said is None:
            raise
        print(f"spreaview-sync: {said}", file=sys.stderr)
        raise typer.Exit(1) from error


def _said(url: str, error: Exception, remedy: str) -> str | None:
    if isinstance(error, NoGenerationError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be used: {error.strerror}"
    code = getattr(getattr(error, "orig", error), "sqlstate", None)
    where = without_password(url)
    if code in _NOT_MIGRATED:
        return f"the database at {where} is not migrated; run: spreaview-sync migrate"
    if code == _NOT_ALLOWED:
        return (
            f"PostgreSQL at {where} refuses: {describe_error(error)}\n"
            "Remedy: grant the role that, or set SPREAVIEW_DATABASE_URL to one that may."
        )
    if is_database_outage(error):
        return f"PostgreSQL at {where} does not answer: {describe_error(error)}\nRemedy: {remedy}"
    return None
