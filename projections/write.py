"""Write changes to the database: two statements at most, for any number of rows."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Protocol

import msgspec
from sqlalchemy import TextClause, text

from projections import statements
from projections.announce import ANNOUNCE
from projections.changes import Changes, Row

_encoder = msgspec.json.Encoder()


class Transaction(Protocol):
    """What writing needs of a connection; the imports of this module decide its version."""

    async def execute(self, statement: TextClause, parameters: Mapping[str, str], /) -> object:
        """Run a statement."""


async def write(connection: Transaction, changes: Changes, *, announced: bool = False) -> None:
    """Write changes to the generation that this transaction has selected.

    With `announced`, the commit notifies the listeners of the channel `spreaview`.
    """
    steps = [
        [(statement, rows) for statement, rows in step if rows]
        for step in (_independent(changes), _dependent(changes))
    ]
    steps = [step for step in steps if step] or [[]]
    steps[-1].append((statements.MOVE_PROGRESS, list(changes.progress.values())))
    for step in steps:
        is_last = step is steps[-1]
        together = _together(
            tuple(statement for statement, _ in step), announced=announced and is_last
        )
        rows = {
            f"rows_{number}": _encoder.encode(rows).decode()
            for number, (_, rows) in enumerate(step)
        }
        await connection.execute(together, rows)


@cache
def _together(parts: tuple[TextClause, ...], *, announced: bool) -> TextClause:
    """Return one statement that runs all parts; the last one moves the progress if `announced`.

    PostgreSQL runs each part once, in any order, and each sees the rows as they were before. So no
    row may be changed by two of them.
    """
    bodies = [part.text.replace(":rows", f":rows_{number}") for number, part in enumerate(parts)]
    names = [f"part_{number}" for number in range(len(bodies))]
    if announced:
        names[-1] = "moved"
    parts_of_with = ",".join(
        f"{name} AS ({body})" for name, body in zip(names, bodies, strict=True)
    )
    return text(f"WITH {parts_of_with} {ANNOUNCE if announced else 'SELECT'}")


def _independent(changes: Changes) -> Iterator[tuple[TextClause, Sequence[Row]]]:
    """Changes to different rows, in any order."""
    yield statements.PUT_STARTED_RUNS, list(changes.started_runs.values())
    yield statements.PUT_ROOMS, list(changes.rooms.rows.values())
    yield statements.MARK_ROOMS, list(changes.rooms.marks.values())
    yield statements.FORGET_SPEAKERS, list(changes.forgotten.values())
    yield statements.PUT_SESSIONS, list(changes.sessions.rows.values())
    yield statements.MARK_SESSIONS, list(changes.sessions.marks.values())
    yield (
        statements.CLEAR_SESSION_SPEAKERS,
        [
            {"spreaview_event_id": row["spreaview_event_id"], "session_id": row["session_id"]}
            for row in changes.sessions.rows.values()
        ],
    )
    yield statements.PUT_SKIPS, [row for row in changes.skips.values() if row is not None]
    yield (
        statements.REMOVE_SKIPS,
        [
            {"spreaview_event_id": event, "sessionize_id": sessionize_id}
            for (event, sessionize_id), row in changes.skips.items()
            if row is None
        ],
    )


def _dependent(changes: Changes) -> Iterator[tuple[TextClause, Sequence[Row]]]:
    """Changes to rows that may be among the independent ones, and so come after them."""
    yield statements.PUT_ENDED_RUNS, list(changes.ended_runs.values())
    yield statements.PUT_SPEAKERS, list(changes.speakers.rows.values())
    yield statements.MARK_SPEAKERS, list(changes.speakers.marks.values())
    yield (
        statements.PUT_SESSION_SPEAKERS,
        [row for rows in changes.session_speakers.values() for row in rows],
    )
