"""Describing an error: what went wrong, without the database values that it quotes."""

import tomllib
from pathlib import Path

import asyncpg
import httpx
import pytest
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError
from sqlalchemy.exc import DBAPIError, StatementError

from cli.settings import SettingsError
from contracts.error_text import OUR_PACKAGES, describe_error

NAME = "Noor Example"


def from_the_server(kind: type[asyncpg.PostgresError], message: str) -> asyncpg.PostgresError:
    error = kind(message)
    error.detail = f"Failing row contains ({NAME})."
    error.hint = f"Remove {NAME}."
    return error


def wrapped(error: Exception) -> DBAPIError:
    """The error as SQLAlchemy raises it: the adapter's error, with the driver's as its cause."""
    adapted = Exception(f"{type(error)}: {error}")
    adapted.__cause__ = error
    return DBAPIError(f"INSERT INTO t VALUES ('{NAME}')", {"name": NAME}, adapted)


DATABASE_ERRORS = [
    (
        from_the_server(asyncpg.NotNullViolationError, 'null value in column "bio"'),
        'NotNullViolationError: null value in column "bio"',
    ),
    (
        from_the_server(
            asyncpg.InvalidTextRepresentationError,
            f'invalid input syntax for type integer: "{NAME}"',
        ),
        "InvalidTextRepresentationError: invalid input syntax for type integer…",
    ),
    (
        from_the_server(
            asyncpg.NumericValueOutOfRangeError, f'value "{NAME}" is out of range for type integer'
        ),
        "NumericValueOutOfRangeError: value…",
    ),
    (
        from_the_server(
            asyncpg.NumericValueOutOfRangeError, f"Wert »{NAME}« ist außerhalb des Bereichs"
        ),
        "NumericValueOutOfRangeError: Wert…",
    ),
    (
        asyncpg.DataError(f"invalid input for query argument $1: '{NAME}' (expected an integer)"),
        "DataError: invalid input for query argument $1…",
    ),
    (asyncpg.DivisionByZeroError("division by zero"), "DivisionByZeroError: division by zero"),
]


@pytest.mark.parametrize(("error", "text"), DATABASE_ERRORS, ids=[t for _, t in DATABASE_ERRORS])
def test_a_database_error_is_described_without_the_values_it_quotes(
    error: Exception, text: str
) -> None:
    assert describe_error(error) == text
    assert describe_error(wrapped(error)) == text


def test_a_statement_that_failed_before_it_reached_the_driver_is_left_out() -> None:
    cause = TypeError("cannot be encoded")
    error = StatementError(str(cause), "INSERT INTO t VALUES (:name)", {"name": NAME}, cause)

    assert NAME in str(error)
    assert describe_error(error) == "TypeError: cannot be encoded"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TimeoutError(), "TimeoutError"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (KafkaConnectionError("no broker"), "KafkaConnectionError: no broker"),
        (MessageSizeTooLargeError("1 MB"), "[Error 10] MessageSizeTooLargeError: 1 MB"),
        (ValueError("x" * 2000), f"ValueError: {'x' * 988}"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_any_other_error_is_described_by_its_type_and_message(error: Exception, text: str) -> None:
    assert describe_error(error) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError(NAME), "KeyError: …"),
        (ValueError(f"not a number: {NAME!r}"), "ValueError: not a number: …"),
        (ValueError(f"'utf-8' can't decode {NAME!r}: bad"), "ValueError: …: bad"),
        (ValueError(f"not a number: '{NAME}, cut off"), "ValueError: not a number: …"),
        (ValueError(f"the first line\n{NAME}"), "ValueError: the first line"),
        (httpx.InvalidURL("bad: 'https://sessionize.com/api/v2/abcdefgh'"), "InvalidURL: bad: …"),
    ],
    ids=str,
)
def test_an_error_of_a_library_loses_its_quoted_values(error: Exception, text: str) -> None:
    assert describe_error(error) == text


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 5432)"),
        KafkaConnectionError("Unable to bootstrap from [('localhost', 9092)]"),
        SettingsError("'SPREAVIEW_X' is wrong"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_our_own_and_addresses_of_servers_stay(error: Exception) -> None:
    assert str(error) in describe_error(error)


def test_the_message_of_a_trigger_is_replaced_by_its_name() -> None:
    error = asyncpg.PostgresError.new(
        {
            "C": "P0001",
            "M": f"refused: {NAME}",
            "R": "exec_stmt_raise",
            "W": "PL/pgSQL function refuse() line 3 at RAISE",
        }
    )
    text = "RaiseError: PL/pgSQL function refuse() line 3 at RAISE (P0001)"
    assert describe_error(error) == text
    assert describe_error(wrapped(error)) == text


def test_our_packages_are_those_of_the_import_contract() -> None:
    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert set(settings["tool"]["importlinter"]["root_packages"]) == OUR_PACKAGES
