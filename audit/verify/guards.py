"""Verifying the guards of the log: triggers, constraints, other definitions, and the sequence."""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from audit.verify.catalogue import differences, expected_catalogue, read_catalogue
from audit.verify.findings import FindingKind, Place
from audit.verify.report import VerificationReport

MAY_READ_SEQUENCE = text("""
    SELECT has_sequence_privilege(c.oid, 'SELECT')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'event_store' AND c.relname = 'events_position_seq' AND c.relkind = 'S'
""")

SEQUENCE = text("""
    SELECT s.last_value, s.is_called, q.seqincrement, q.seqmax,
           (SELECT max(position) FROM event_store.events) AS newest
    FROM event_store.events_position_seq s,
         (SELECT * FROM pg_sequence
          WHERE seqrelid = 'event_store.events_position_seq'::regclass) q
""")

_FEW = 1 << 32
"""Positions that are left before appending ends: more than any log has used."""
_LONGEST = 900
_SET_SEQUENCE = (
    "Remedy: SELECT setval('event_store.events_position_seq', max(position)) "
    "FROM event_store.events"
)


async def check_guards(connection: AsyncConnection, report: VerificationReport) -> None:
    """Compare the catalogue, except the views. Changes made meanwhile show in the chains."""
    found = await read_catalogue(connection)
    for name, expected, is_now in differences(found):
        if not name.startswith("view "):
            report.add(FindingKind.GUARD, describe_difference(name, expected, is_now))
    report.checked["definitions in the database"] += len(expected_catalogue())
    await _check_sequence(connection, report)


def describe_difference(name: str, expected: str | None, found: str | None) -> str:
    """Describe a definition that differs, with the one that it must have."""
    if expected is None:
        return f"the {name} is not made by any migration. Remedy: remove it"
    how = "is missing" if found is None else "has another definition"
    return f"the {name} {how}. It must be: {' '.join(expected.split())[:_LONGEST]}"


class Sequence(NamedTuple):
    """The sequence of the positions."""

    last_value: int
    is_called: bool
    increment: int
    most: int
    newest: int | None

    @property
    def next(self) -> int:
        """The next position that the sequence gives."""
        return self.last_value + (self.increment if self.is_called else 0)

    @property
    def fault(self) -> str | None:
        """Why appending fails now or soon, with the remedy; None if it does not."""
        if self.newest is not None and self.next <= self.newest:
            return (
                f"the sequence of the positions gives {self.next} next, but position "
                f"{self.newest} is taken: nothing can be appended. {_SET_SEQUENCE}"
            )
        if self.most - self.next < _FEW:
            return f"the sequence of the positions gives {self.next} next, and then it soon ends"
        return None


async def may_read_sequence(connection: AsyncConnection) -> bool | None:
    """Return whether this role may read the sequence of the positions; None if it is missing."""
    found: bool | None = (await connection.execute(MAY_READ_SEQUENCE)).scalar_one_or_none()
    return found


async def read_sequence(connection: AsyncConnection) -> Sequence:
    """Read the sequence of the positions; needs SELECT on it."""
    return Sequence(*(await connection.execute(SEQUENCE)).one())


async def _check_sequence(connection: AsyncConnection, report: VerificationReport) -> None:
    may_read = await may_read_sequence(connection)
    if may_read is None:  # the catalogue shows that it is missing
        return
    if not may_read:
        report.unchecked["the next position: this role has no SELECT on the sequence"] += 1
        return
    sequence = await read_sequence(connection)
    report.checked["sequences"] += 1
    if sequence.fault is not None:
        report.add(FindingKind.GUARD, sequence.fault, Place(position=sequence.newest))
