"""An outage is described for people: no type of an exception, no statement, no link."""

import socket

import asyncpg
import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    TopicAuthorizationFailedError,
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
        (TopicAuthorizationFailedError("topic-1"), "topic authorization failed: topic-1"),
        (UnreachableError("Kafka at h:1 does not answer"), "Kafka at h:1 does not answer"),
        (KafkaAccessError("Kafka refuses us", "VARIABLE"), "Kafka refuses us"),
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
