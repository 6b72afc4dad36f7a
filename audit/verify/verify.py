"""Verifying the log, and everything that is derived from it.

Verification writes nothing. It reads from one database snapshot, so that appends and projections
in the meantime cause no findings. Memory holds a page of events, the read models and the state of
one SpreaView event, 16 bytes per run of it, and about 300 bytes per document.

Nothing that is stored can end a verification: what cannot be read becomes a finding.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from audit.verify import statements
from audit.verify.documents import NO_RETENTION, Retention, check_documents
from audit.verify.findings import FindingKind
from audit.verify.forgotten import check_forgotten
from audit.verify.guards import check_guards
from audit.verify.named_documents import NamedDocuments
from audit.verify.order import check_order, check_reachable
from audit.verify.readside import check_progress, check_views
from audit.verify.references import check_checkpoint, check_heads, check_inbox, check_orphans
from audit.verify.report import VerificationReport
from audit.verify.rows import check_rows_without_events
from audit.verify.seals import check_log, check_seals
from audit.verify.streams import check_streams
from contracts.error_text import describe_error
from eventstore.seals import Seal

_UNFORESEEN = (ArithmeticError, LookupError, TypeError, ValueError, RecursionError)
"""Errors of a check that a damaged row may cause in spite of all care; the others continue."""

T = TypeVar("T")

_NOT_ALLOWED = "42501"
_DAMAGE = ("22", "42", "3F", "XX", "21")
"""Classes of SQLSTATE: bad data, missing objects, corrupted storage, too many rows."""


async def verify(
    engine: AsyncEngine,
    *,
    only: UUID | None = None,
    seals: Iterable[Seal] = (),
    retention: Retention = NO_RETENTION,
    behind: timedelta = timedelta(minutes=1),
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> VerificationReport:
    """Check everything, or one SpreaView event.

        report = await verify(engine, seals=read_seals(path))

    Args:
        engine: a role that can only read is enough.
        only: check this SpreaView event only. Documents, the order of the log, the inbox, the
            checkpoint and the definitions in the database are not checked then.
        seals: seals that were kept elsewhere. Without them a cut tail cannot be noticed.
        retention: explains why documents are gone.
        behind: the views may lack the events of this time without a finding.
        on_progress: called with the number of events checked so far, and their total.
    """
    report = VerificationReport()
    async with engine.connect() as connection, connection.begin():
        await connection.execute(statements.READ_ONLY)
        checks = Checks(connection, report, only, on_progress)
        await checks.run(seals, retention, behind)
    return report


class Checks:
    """All checks, in the caller's transaction.

    Each runs within a savepoint, so that the others continue if the database refuses one of them.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        report: VerificationReport,
        only: UUID | None,
        on_progress: Callable[[int, int], None],
    ) -> None:
        self._connection = connection
        self._report = report
        self._only = only
        self._on_progress = on_progress

    async def run(self, seals: Iterable[Seal], retention: Retention, behind: timedelta) -> None:
        """Run the checks in the order in which they depend on each other."""
        connection, report, only = self._connection, self._report, self._only
        for statement in statements.PLAIN_OUTPUT:
            await connection.execute(statement)
        log_id = await self._try("the identity of the log", check_log(connection, report), None)
        views = await self._try("the views", check_views(connection, report), frozenset[str]())
        named = await self._try("the events", self._check_events(views), NamedDocuments())
        await self._try("the stream heads", check_heads(connection, report, only), None)
        await self._try(
            "the rows of read models",
            check_rows_without_events(connection, report, only, views),
            None,
        )
        if only is None:
            await self._check_everything(named, views, log_id, retention, behind)
        await self._try("the seals", check_seals(connection, report, only, seals, log_id), None)

    async def _check_everything(
        self,
        named: NamedDocuments,
        views: frozenset[str],
        log_id: UUID | None,
        retention: Retention,
        behind: timedelta,
    ) -> None:
        connection, report = self._connection, self._report
        await self._try("the order of the log", check_order(connection, report), None)
        await self._try("the inbox", check_inbox(connection, report, retention.inbox_age), None)
        await self._try("the references to events", check_orphans(connection, report), None)
        await self._try("the checkpoint", check_checkpoint(connection, report, log_id), None)
        sound = await self._try(
            "the documents", check_documents(connection, report, named, retention), set[bytes]()
        )
        await self._try(
            "the erased persons", check_forgotten(connection, report, named, sound), None
        )
        await self._try("the definitions", check_guards(connection, report), None)
        await self._try("the progress", check_progress(connection, report, views, behind), None)

    async def _check_events(self, views: frozenset[str]) -> NamedDocuments:
        connection, report, only = self._connection, self._report, self._only
        counted = await connection.execute(statements.COUNT_EVENTS, {"only": only})
        total: int = counted.scalar_one()
        named = await check_streams(
            connection, report, only, views, lambda done: self._on_progress(done, total)
        )
        if only is None:
            await check_reachable(connection, report, total)
        return named

    async def _try(self, what: str, check: Awaitable[T], otherwise: T) -> T:
        """Run a check; a check that the database cannot answer becomes a finding.

        Raises:
            sqlalchemy.exc.DBAPIError: the database does not answer, or the role lacks a right.
        """
        savepoint = await self._connection.begin_nested()
        try:
            result = await check
        except DBAPIError as error:
            state = str(getattr(error.orig, "sqlstate", None))
            if state == _NOT_ALLOWED or not state.startswith(_DAMAGE):
                raise
            await savepoint.rollback()
            self._give_up(what, error)
            return otherwise
        except _UNFORESEEN as error:
            await savepoint.rollback()
            self._give_up(what, error)
            return otherwise
        await savepoint.commit()
        return result

    def _give_up(self, what: str, error: Exception) -> None:
        why = describe_error(error)[:300]
        self._report.add(FindingKind.UNREADABLE, f"{what} cannot be checked: {why}")
