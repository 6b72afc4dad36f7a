"""Verifying what guards the log: the trigger that refuses changes, the positions yet to come."""

from sqlalchemy.ext.asyncio import AsyncConnection

from audit.verify import statements
from audit.verify.report import FindingKind, VerificationReport

_MEND_TRIGGER = (
    "Remedy: ALTER TABLE event_store.events ENABLE ALWAYS TRIGGER append_only, or where there is "
    "none, make it as the first migration does"
)


async def check_guards(connection: AsyncConnection, report: VerificationReport) -> None:
    """Look at both. What they let pass while they were off, the chains show."""
    enabled = (await connection.execute(statements.APPEND_ONLY)).scalar_one_or_none()
    if enabled != "A":
        what = "is not there" if enabled is None else "is off, or can be passed by"
        report.add(
            FindingKind.GUARD, f"the trigger that keeps the log append-only {what}. {_MEND_TRIGGER}"
        )
    positions = (await connection.execute(statements.POSITIONS)).one()
    if positions.given is None:
        if positions.newest is not None:
            report.unchecked["the sequence of the positions: this role cannot read it"] += 1
    elif positions.given < (positions.newest or 0):
        what = f"the sequence of the positions is at {positions.given}: nothing can be appended"
        report.add(FindingKind.GUARD, what, position=positions.newest)
    report.checked["guards"] += 2
