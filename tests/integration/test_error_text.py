"""Errors that a real database raises are described without the values that they quote."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.error_text import describe_error

pytestmark = pytest.mark.asyncio

NAME = "Noor Example"
TABLE = """
    CREATE TEMPORARY TABLE t (name text UNIQUE, sort int NOT NULL CHECK (sort < 9)) ON COMMIT DROP
"""


@pytest.mark.parametrize(
    ("statement", "description"),
    [
        ("INSERT INTO t VALUES (:name, NULL)", "NotNullViolationError: null value"),
        ("INSERT INTO t VALUES (:name, 9)", "CheckViolationError: new row"),
        ("INSERT INTO t VALUES (:name, 1), (:name, 2)", "UniqueViolationError: duplicate key"),
        ("SELECT CAST(CAST(:name AS text) AS date)", "InvalidDatetimeFormatError: invalid input"),
        ("SELECT CAST(:name AS int)", "DataError: invalid input for query argument $1…"),
    ],
)
async def test_a_value_is_in_no_description(
    engine: AsyncEngine, statement: str, description: str
) -> None:
    async with engine.connect() as connection:
        await connection.execute(text(TABLE))
        with pytest.raises(DBAPIError) as raised:
            await connection.execute(text(statement), {"name": NAME})
    assert raised.value.orig is not None
    assert NAME in str(raised.value.orig.__cause__), "the driver quotes it"
    assert describe_error(raised.value).startswith(description)
    assert NAME not in describe_error(raised.value)
