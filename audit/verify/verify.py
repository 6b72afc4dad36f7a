"""Verifying the log, and everything that is derived from it.

Verification writes nothing. It reads from one database snapshot, so that appends and projections
in the meantime cause no findings. Memory holds a page of events, the read models and the state of
one SpreaView event, and 32 bytes per run.
"""

from collections.abc import Callable, Iterable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from audit.verify import statements
from audit.verify.documents import check_documents
from audit.verify.references import check_checkpoint, check_heads, check_orphans, check_seals
from audit.verify.report import VerificationReport
from audit.verify.rows import check_rows_without_events
from audit.verify.streams import check_streams
from audit.verify.tamper_guards import check_guards
from eventstore.seals import Seal


async def verify(
    engine: AsyncEngine,
    *,
    only: UUID | None = None,
    seals: Iterable[Seal] = (),
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> VerificationReport:
    """Check everything, or one SpreaView event.

        report = await verify(engine, seals=read_seals(path))

    Args:
        engine: a role that can only read is enough.
        only: check this SpreaView event only. Documents, the checkpoint and the guards of the log
            are not checked then.
        seals: seals that were kept elsewhere. Without them a cut tail cannot be noticed.
        on_progress: called with the number of events checked so far, and their total.
    """
    report = VerificationReport()
    async with engine.connect() as connection, connection.begin():
        await connection.execute(statements.READ_ONLY)
        total = (await connection.execute(statements.COUNT_EVENTS, {"only": only})).scalar_one()
        digests = await check_streams(
            connection, report, only, lambda done: on_progress(done, total)
        )
        await check_heads(connection, report, only)
        await check_rows_without_events(connection, report, only)
        if only is None:
            await check_documents(connection, report, digests)
            await check_orphans(connection, report)
            await check_checkpoint(connection, report)
            await check_guards(connection, report)
        await check_seals(connection, report, only, seals)
    return report
