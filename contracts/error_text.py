"""Describing an error for logs, reports and stored rows, without the values that it quotes."""

import re

OUR_PACKAGES = frozenset(
    {"cli", "audit", "worker", "projections", "eventstore", "messaging", "contracts"}
)

_LONGEST = 1000
_TRUSTED = OUR_PACKAGES | {"aiokafka"}
"""Packages whose errors quote names and addresses, and no content."""
_DATA_EXCEPTIONS = "22"
"""The class of SQLSTATE codes whose messages quote the value that is not valid."""
_BEFORE_A_VALUE = re.compile('[":«»„“”]')
"""Characters that can precede a quoted value, in every language of the server's messages."""
_RAISE = "exec_stmt_raise"
"""The function of PostgreSQL behind RAISE, whose message a trigger or function has composed."""
_LINK = re.compile(r"\s*\(Background on this error at: [^)]*\)")
"""The end of SQLAlchemy's messages."""
_QUOTED = re.compile(r"(?<!\w)['\"](?:.*['\"](?!\w)|.*)")


def describe_error(error: BaseException) -> str:
    """Describe an error as `Type: message`, without the values that it quotes.

    They may be personal or secret. Database errors are shown as the driver raised them, without
    statement, parameters and all lines but the first, since PostgreSQL quotes rows in the lines
    below it. The message of a data exception ends before the value that it quotes. The message of
    a trigger or function of the database is replaced by its name.

    Errors of this program and of the operating system, and Kafka's, are shown as they are, up to
    1,000 characters: they must not hold such values. The messages of all others, such as
    `int()`'s, are cut to one line and lose what is in quotation marks.

    Database errors are recognised by their attributes, for this package imports no driver.
    """
    cause = raised_by_the_driver(error)
    message = _message(cause)
    name = type(cause).__name__
    if name not in message:  # the errors of aiokafka name their type themselves
        message = f"{name}: {message}" if message else name
    return message[:_LONGEST]


def without_quoted(text: str) -> str:
    """Return the text with an ellipsis from its first quoted value to the end of its last."""
    return _QUOTED.sub("…", text)


def _message(error: BaseException) -> str:
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate is None and _is_trusted(error):
        return str(error)
    message, _, _ = _LINK.sub("", str(error)).partition("\n")
    if getattr(error, "server_source_function", None) == _RAISE:
        where, _, _ = str(getattr(error, "context", "")).partition("\n")
        return f"{where} ({sqlstate})"
    if str(sqlstate).startswith(_DATA_EXCEPTIONS):
        kept = _BEFORE_A_VALUE.split(message, maxsplit=1)[0]
        return message if kept == message else f"{kept.rstrip()}…"
    return message if sqlstate is not None else without_quoted(message)


def _is_trusted(error: BaseException) -> bool:
    package, _, _ = type(error).__module__.partition(".")
    return isinstance(error, OSError) or package in _TRUSTED


def raised_by_the_driver(error: BaseException) -> BaseException:
    """Return the error that SQLAlchemy has wrapped, or the error itself."""
    wrapped = getattr(error, "orig", None)
    if not isinstance(wrapped, BaseException):
        return error
    return wrapped.__cause__ or wrapped
