"""Describing an error for logs, reports and stored rows, without the values that it quotes."""

import re

_LONGEST = 1000
_DATA_EXCEPTIONS = "22"
"""The class of SQLSTATE codes whose messages quote the value that is not valid."""
_BEFORE_A_VALUE = re.compile('[":«»„“”]')
"""What can precede a quoted value, whatever the language of the server's messages."""


def describe_error(error: BaseException) -> str:
    """Describe an error as `Type: message`, without database values: they may be personal.

    Database errors are shown as the driver raised them, without statement and parameters. Only the
    first line of their message is kept, since PostgreSQL quotes rows in the lines below it. The
    message of a data exception quotes a value itself, and ends before it.

    Database errors are recognised by their attributes, for this package imports no driver. The
    messages of all other errors are kept, up to 1,000 characters: they must not hold such values.
    """
    cause = _raised_by_the_driver(error)
    message = str(cause)
    sqlstate = getattr(cause, "sqlstate", None)
    if cause is not error or sqlstate is not None:
        message, _, _ = message.partition("\n")
    if str(sqlstate).startswith(_DATA_EXCEPTIONS):
        kept = _BEFORE_A_VALUE.split(message, maxsplit=1)[0]
        message = message if kept == message else f"{kept.rstrip()}…"
    name = type(cause).__name__
    if name not in message:  # the errors of aiokafka name their type themselves
        message = f"{name}: {message}" if message else name
    return message[:_LONGEST]


def _raised_by_the_driver(error: BaseException) -> BaseException:
    """The error that SQLAlchemy has wrapped, or the error itself."""
    wrapped = getattr(error, "orig", None)
    if not isinstance(wrapped, BaseException):
        return error
    return wrapped.__cause__ or wrapped
