"""Describing an outage for people: why a server does not answer, without the driver's words."""

import errno
import os
import re
import socket
import ssl

from contracts.error_text import (
    OUR_PACKAGES,
    describe_error,
    raised_by_the_driver,
    without_quoted,
)

NO_ANSWER = "no answer in time"
_LOST = "the connection was lost"
_NO_ADDRESS = "no address of the host can be reached"
_REFUSED = "the connection was refused"
_LOST_CLASS = "08"
"""The class of SQLSTATE codes for a connection that failed; their messages are the driver's."""
_NO_BROKER = "no broker can be reached"
_KAFKA = {
    "KafkaConnectionError": _NO_BROKER,
    "NoBrokersAvailable": _NO_BROKER,
    "NodeNotReadyError": _NO_BROKER,
    "UnknownError": "the broker met an error that it does not name",
}
_ACLS = {
    "TopicAuthorizationFailedError": "topic",
    "GroupAuthorizationFailedError": "group",
    "TransactionalIdAuthorizationFailed": "transactional id",
    "ClusterAuthorizationFailedError": "cluster",
}
"""Kafka's errors of a missing ACL, and the kind of the resource."""
_RESOURCE = re.compile(r"[\w.-]+")
_HTTP = frozenset({"httpx", "httpcore"})
_STATUS = re.compile(r"[1-5]\d\d\b")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def describe_outage(error: BaseException) -> str:
    """Describe why a server does not answer, as a phrase: `the connection was refused`.

    Sentences of this program are returned as they are, and PostgreSQL's without the name of the
    driver's exception. Any error that is not an outage is described as by `describe_error`. The
    text holds no statement and no link.
    """
    cause = raised_by_the_driver(error)
    package, _, _ = type(cause).__module__.partition(".")
    name = type(cause).__name__
    sqlstate = getattr(cause, "sqlstate", None)
    if package in OUR_PACKAGES:
        return str(cause) or _words(name)
    if package == "sqlalchemy" and name == "TimeoutError":
        return "no connection of this process became free in time"
    if isinstance(cause, TimeoutError) or name.endswith(("TimeoutError", "TimedOutError")):
        return NO_ANSWER
    if isinstance(cause, EOFError):
        return _LOST
    if isinstance(cause, OSError):
        return _socket_text(cause)
    if isinstance(sqlstate, str):
        if sqlstate.startswith(_LOST_CLASS):
            return _LOST
        return describe_error(cause).removeprefix(f"{name}: ")
    if package == "asyncpg":  # without an answer of the server
        return _LOST
    if package == "aiokafka":
        return _kafka_text(cause)
    if package in _HTTP:
        return _http_text(cause)
    return describe_error(error)


def missing_acl(error: BaseException) -> str | None:
    """Return what a user of Kafka lacks: `rights on the topic T`; None for any other error.

    Kafka names neither the right nor, in some answers, the resource.
    """
    if (kind := _ACLS.get(type(error).__name__)) is None:
        return None
    named = error.args[0] if error.args else ""
    names = [named] if isinstance(named, str) else sorted(named)
    if kind == "cluster":
        return "rights on the cluster"
    if not names or not all(map(_RESOURCE.fullmatch, names)):
        return f"rights on a {kind}"
    return f"rights on the {kind} {', '.join(names)}"


def first_cause(error: BaseException) -> BaseException:
    """Return the first error of a chain: httpx wraps those of the operating system several times.

    Of several addresses of a host, the last one to fail counts. A cancellation is left out: it
    means only that the time was over, as the error above it reports.
    """
    while True:
        cause = error.__cause__ or error.__context__
        if isinstance(error, BaseExceptionGroup):
            cause = error.exceptions[-1]
        if not isinstance(cause, Exception):
            return error
        error = cause


def _socket_text(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "the name of the host is not known"
    if isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return _REFUSED
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = without_quoted(error.verify_message).rstrip(".")
        return f"the certificate of the server is not trusted ({reason})"
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return "no encrypted connection could be made"
    if isinstance(error, (ConnectionError, ssl.SSLEOFError)):
        return _LOST
    if error.strerror is None:  # asyncio's, for several addresses of a host, or a library's
        several = str(error).startswith("Multiple exceptions")
        return _NO_ADDRESS if several else without_quoted(str(error)) or _LOST
    # Not its own text, to which asyncio adds the address.
    words = error.strerror if error.errno is None else os.strerror(error.errno)
    return words[:1].lower() + words[1:]


def _kafka_text(error: BaseException) -> str:
    """The name of Kafka's error in words, or the right that is missing."""
    if (lacking := missing_acl(error)) is not None:
        return f"this user lacks {lacking}"
    name = type(error).__name__
    return _KAFKA.get(name) or _words(name)


def _http_text(error: BaseException) -> str:
    """Describe an error of httpx by its first cause, without the URL: it may hold an API ID."""
    cause = first_cause(error)
    if isinstance(cause, (OSError, EOFError)):
        return describe_outage(cause)
    name = type(error).__name__
    if name == "ProxyError":
        status = _STATUS.match(str(error))
        return "the proxy refused the connection" + (f" (HTTP {status[0]})" if status else "")
    if name == "RemoteProtocolError":
        return f"{_LOST}, or the answer is not HTTP"
    if name.endswith("Timeout"):
        return NO_ANSWER
    return _LOST if name in ("ReadError", "WriteError") else "the connection failed"


def _words(name: str) -> str:
    return _WORDS.sub(" ", name.removesuffix("Error")).lower()
