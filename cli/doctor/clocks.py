"""Checks of the clocks: of this process, the database and the broker."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cli.doctor.findings import Check, Result, Server, ok, problem, warning
from cli.doctor.installation import Installation
from cli.status.headings import CLOCKS
from contracts.topics import IMPORT_EVENTS
from eventstore.log import EventLog
from messaging.clocks import AGREEMENT, duration_text
from messaging.topic_facts import newest_stamps

_TOLERANCE = timedelta(seconds=5)


async def database_clock(installation: Installation) -> Sequence[Result]:
    """The clocks of this process and of the database agree, but for the time of the question."""
    before = datetime.now(UTC)
    database = await EventLog(installation.engine).clock()
    after = datetime.now(UTC)
    if before <= database <= after:
        return [ok("the clocks of this process and of the database agree")]
    off = before - database if database < before else after - database
    return [assess(off, "this process", "the database's")]


async def broker_clock(installation: Installation) -> Sequence[Result]:
    """The broker's clock, as far as its stamps on import events show it.

    A record was stamped after the database recorded its event, and before now.
    """
    found = await newest_stamps(installation.kafka, IMPORT_EVENTS)
    now = datetime.now(UTC)
    if not found:
        return [ok("the broker has stamped no record yet, so its clock is not known")]
    ahead = max(stamp.stamped for stamp in found) - now
    behind = max(stamp.recorded - stamp.stamped for stamp in found)
    if ahead > _TOLERANCE:
        return [assess(ahead, "the broker", "this process's")]
    if behind > _TOLERANCE:
        return [assess(-behind, "the broker", "the database's")]
    return [ok("the stamps of the broker agree with the clocks of the database and this process")]


def assess(off: timedelta, whose: str, other: str) -> Result:
    """Judge a difference of clocks; positive if the first one is ahead."""
    how = "ahead of" if off > timedelta(0) else "behind"
    sentence = f"the clock of {whose} is {duration_text(abs(off))} {how} {other}"
    if abs(off) <= _TOLERANCE:
        return ok("the clocks agree within seconds")
    remedy = "set the one that is wrong, for example by timedatectl set-ntp true"
    return (problem if abs(off) > AGREEMENT else warning)(sentence, remedy)


CHECKS = (
    Check(
        "clock of the database",
        CLOCKS,
        database_clock,
        (Server.DATABASE,),
        failures=("the clock of a process is wrong",),
    ),
    Check("clock of the broker", CLOCKS, broker_clock, (Server.KAFKA,)),
)
