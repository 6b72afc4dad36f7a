"""Verifying the guards of the log: the append-only trigger and the sequence of positions."""

from sqlalchemy.ext.asyncio import AsyncConnection

from audit.verify import statements
from audit.verify.report import FindingKind, VerificationReport

_TRIGGER_REMEDY = (
    "Remedy: ALTER TABLE event_store.events ENABLE ALWAYS TRIGGER append_only; if the trigger is "
    "missing, create it as the first migration does"
)


async def check_guards(connection: AsyncConnection, report: VerificationReport) -> None:
    """Check both. Changes made while the trigger was off show in the chains."""
    enabled = (await connection.execute(statements.APPEND_ONLY)).scalar_one_or_none()
    if enabled != "A":
        what = "is missing" if enabled is None else "is off, or can be bypassed"
        report.add(
            FindingKind.GUARD,
            f"the trigger that keeps the log append-only {what}. {_TRIGGER_REMEDY}",
        )
    positions = (await connection.execute(statements.POSITIONS)).one()
    if positions.given is None:
        if positions.newest is not None:
            report.unchecked["the sequence of the positions: this role cannot read it"] += 1
    elif positions.given < (positions.newest or 0):
        what = f"the sequence of the positions is at {positions.given}: nothing can be appended"
        report.add(FindingKind.GUARD, what, position=positions.newest)
    report.checked["guards"] += 2
