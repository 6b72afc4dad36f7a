"""Errors that quote personal and secret values, as libraries do."""

from collections.abc import Awaitable, Callable, Mapping
from types import CoroutineType
from uuid import UUID
from zlib import crc32

import httpx
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from asyncpg import DiskFullError, InvalidTextRepresentationError, PostgresError
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError

Fault = Callable[[str], Exception]
"""Returns an error that quotes these values."""


def _foreign(values: str) -> Exception:
    """An error of a library, with a note, and with a cause whose URL quotes the values."""
    request = httpx.Request("GET", f"https://sessionize.com/api/v2/{values}/view/All")
    error = ValueError(f"cannot read {values!r}")
    error.add_note(values)
    error.__cause__ = httpx.ConnectError(f"no answer from '{request.url}'", request=request)
    return error


def _outage(values: str) -> Exception:
    """An error of the database that passes, with a row in its detail."""
    return _wrapped(DiskFullError, "could not extend file", values)


def _data(values: str) -> Exception:
    """An error of the database that does not pass, and quotes a value in its first line."""
    text = f'invalid input syntax for type uuid: "{values}"'
    return _wrapped(InvalidTextRepresentationError, text, values)


def _group(values: str) -> Exception:
    """Several errors, one of them Kafka's with a context that quotes the values."""
    kafka = KafkaError()
    kafka.__context__ = UnicodeDecodeError("utf-8", values.encode(), 0, 1, f"'{values}'")
    return ExceptionGroup(f"work failed for '{values}'", [kafka, KeyError(values)])


FAULTS: Mapping[str, Fault] = {
    "foreign": _foreign,
    "outage": _outage,
    "data": _data,
    "group": _group,
}
"""Faults by name."""


def fault_at(place: str) -> str:
    """Return the name of the fault of a place."""
    return list(FAULTS)[crc32(place.encode()) % len(FAULTS)]


def _wrapped(kind: type[PostgresError], message: str, values: str) -> DBAPIError:
    raised = kind(f"{message}\nDETAIL:  Failing row contains ({values}).")
    adapted = AsyncAdapt_asyncpg_dbapi.Error(  # type: ignore[no-untyped-call]  # untyped there
        str(raised), raised
    )
    adapted.sqlstate = raised.sqlstate
    adapted.__cause__ = raised
    return DBAPIError(f"INSERT INTO t VALUES ('{values}')", {"value": values}, adapted)


class Bait:
    """An error that leads the program to places of their own.

    Args:
        error: what is raised.
        is_done: whether the awaited work is done first.
        of_outcome: whether it suits only the append of an outcome.
    """

    def __init__(
        self, error: Exception, *, is_done: bool = False, of_outcome: bool = False
    ) -> None:
        self.error = error
        self.is_done = is_done
        self._of_outcome = of_outcome

    def suits(self, awaitable: Awaitable[object]) -> bool:
        """Return whether it suits this work."""
        if not self._of_outcome:
            return True
        frame = awaitable.cr_frame if isinstance(awaitable, CoroutineType) else None
        return frame is not None and bool(frame.f_locals["commit"].inbox)


def baits() -> dict[str, list[Bait]]:
    """Return baits by the end of the name of their place; each is used once."""
    from eventstore.model import AlreadyRecordedError, StreamMovedError  # after the instrumentation

    def recorded(*, is_done: bool) -> Bait:
        error = AlreadyRecordedError("a message id exists")
        return Bait(error, is_done=is_done, of_outcome=not is_done)

    rivals = [recorded(is_done=True), Bait(StreamMovedError(UUID(int=0), 1))]
    rivals = rivals * 6 + [recorded(is_done=False)] * 6
    broken = [Bait(ValueError("no such column")) for _ in range(12)]
    return {
        ": self._log.append(commit)": rivals,
        ": log.append(commit)": [recorded(is_done=True), recorded(is_done=False)] * 4,
        ": write(connection, changes)": broken,
        ": write(connection, project([event]))": broken[:6],
        ": turn.publisher.send(records, committed_position_of(checkpoint))": [
            Bait(MessageSizeTooLargeError()) for _ in range(12)
        ],
    }
