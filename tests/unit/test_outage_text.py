"""An outage is described for people: no type of an exception, no statement, no link."""

import socket
import ssl

import asyncpg
import httpx
import pytest
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from contracts.outage_text import describe_outage
from contracts.wording import counted
from messaging.connection import KafkaAccessError, UnreachableError


def wrapped(error: Exception) -> DBAPIError:
    adapted = Exception(f"{type(error)}: {error}")
    adapted.__cause__ = error
    return DBAPIError("SELECT secret FROM events", [], adapted)


STARTING = asyncpg.CannotConnectNowError("the database system is starting up")
LOST = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
POOL = PoolTimeoutError("QueuePool limit of size 2 overflow 0 reached", code="3o7r")
REFUSED = ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)")
REFUSED_BY_PROXY = "the proxy refused the connection"
UNTRUSTED = "the certificate of the server is not trusted"


def untrusted(reason: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, f"certificate verify failed: {reason}")
    error.verify_message = reason
    return error


def caused_by(cause: Exception) -> httpx.ConnectError:
    error = httpx.ConnectError("All connection attempts failed: http://secret")
    error.__cause__ = OSError("All connection attempts failed")
    error.__cause__.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TimeoutError(), "no answer in time"),
        (KafkaTimeoutError(), "no answer in time"),
        (POOL, "no connection of this process became free in time"),
        (
            ConnectionRefusedError(111, "Connect call failed ('::1', 1)"),
            "the connection was refused",
        ),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1)"),
            "the connection was refused",
        ),
        (
            OSError("Multiple exceptions: [Errno 101] Connect call failed ('::1', 1)"),
            "no address of the host can be reached",
        ),
        (OSError("down"), "down"),
        (ConnectionResetError(104, "Connection reset by peer"), "the connection was lost"),
        (OSError(101, "Connect call failed ('10.0.0.1', 1)"), "network is unreachable"),
        (socket.gaierror(-2, "Name or service not known"), "the name of the host is not known"),
        (wrapped(STARTING), "the database system is starting up"),
        (wrapped(LOST), "the connection was lost"),
        (asyncpg.InterfaceError("connection is closed"), "the connection was lost"),
        (KafkaConnectionError("Unable to bootstrap from [('h', 1)]"), "no broker can be reached"),
        (NodeNotReadyError("Attempt to send a request"), "no broker can be reached"),
        (LeaderNotAvailableError(), "leader not available"),
        (TopicAuthorizationFailedError("topic-1"), "this user lacks rights on the topic topic-1"),
        (
            TopicAuthorizationFailedError({"topic-2", "topic-1"}),
            "this user lacks rights on the topic topic-1, topic-2",
        ),
        (GroupAuthorizationFailedError("group-1"), "this user lacks rights on the group group-1"),
        (GroupAuthorizationFailedError("Response(...)"), "this user lacks rights on a group"),
        (
            TransactionalIdAuthorizationFailed("id-1"),
            "this user lacks rights on the transactional id id-1",
        ),
        (ClusterAuthorizationFailedError(), "this user lacks rights on the cluster"),
        (UnreachableError("Kafka at h:1 does not answer"), "Kafka at h:1 does not answer"),
        (KafkaAccessError("Kafka refuses us", "VARIABLE"), "Kafka refuses us"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), "the connection was lost"),
        (ssl.SSLError(1, "wrong version number"), "no encrypted connection could be made"),
        (untrusted("certificate has expired"), f"{UNTRUSTED} (certificate has expired)"),
        (
            untrusted("Hostname mismatch, certificate is not valid for 'secret'."),
            f"{UNTRUSTED} (Hostname mismatch, certificate is not valid for …)",
        ),
        (httpx.ProxyError("407 Authentication Required"), f"{REFUSED_BY_PROXY} (HTTP 407)"),
        (httpx.ProxyError("http://secret"), REFUSED_BY_PROXY),
        (httpx.ReadError("http://secret"), "the connection was lost"),
        (httpx.PoolTimeout("http://secret"), "no answer in time"),
        (httpx.UnsupportedProtocol("http://secret"), "the connection failed"),
        (
            caused_by(ExceptionGroup("two", [OSError(101, ""), REFUSED])),
            "the connection was refused",
        ),
        (KeyError("Ada"), "KeyError: …"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_outage_is_described_in_words(error: Exception, text: str) -> None:
    assert describe_outage(error) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 events"), (1, "1 event"), (2, "2 events"), (2000, "2,000 events")]
)
def test_a_number_stands_with_its_noun(number: int, text: str) -> None:
    assert counted(number, "event") == text


def test_a_plural_may_be_irregular() -> None:
    assert [counted(n, "copy", "copies") for n in (1, 2)] == ["1 copy", "2 copies"]
