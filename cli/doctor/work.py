"""Checks of the work that waits, by the sections and the problems of `status`."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from cli.doctor.findings import Check, Result, Server, not_checked, ok, problem, warning
from cli.doctor.installation import Installation
from cli.doctor.texts import split_remedy
from cli.render.status import describe_section
from cli.status.headings import (
    ERASURES_WAIT,
    HEALTH,
    NO_EVENTS,
    NOT_SEALED,
    OPEN_RUN,
    READ_MODELS,
    RESTORED,
    ROLES,
    UNREADABLE,
)
from cli.status.sections import Relay, Seals, Section, Shown, Unknown
from contracts.wording import counted
from eventstore.log import EventLog
from messaging.clocks import duration_text

_SEALS_LATE = 3
"""Seals are late after this many of their intervals."""


def of_sections(
    *names: str, see: Sequence[str], well: str | None = None
) -> Callable[[Installation], Awaitable[Sequence[Result]]]:
    """A check that shows the problems of sections of the status under some headings.

    Without problems the check shows `well`, or else the sections.
    """

    async def look(installation: Installation) -> Sequence[Result]:
        status = await installation.status()
        sections = {name: status.sections()[name] for name in names}
        unread = [_not_read(section) for section in sections.values()]
        found = [
            problem(one.problem, one.next, see=one.see)
            for one in status.problems
            if one.section in names and one.see in see
        ]
        results = [*filter(None, unread), *found]
        return results or [ok(well or "; ".join(map(describe_section, sections.values())))]

    return look


def _not_read(section: Section[Shown]) -> Result | None:
    unread = section.unread if isinstance(section, Relay) else section
    if not isinstance(unread, Unknown):
        return None
    sentence, remedy = split_remedy(unread.reason)
    if isinstance(section, Relay):
        sentence = f"{describe_section(section)}: {sentence}"
    return not_checked(sentence, remedy, is_hidden=unread.is_hidden)


async def seals(installation: Installation) -> Sequence[Result]:
    """The newest events are sealed; without any seal, none are."""
    results = await of_sections("seals", see=())(installation)
    published = (await installation.status()).seals
    if not isinstance(published, Seals):
        return results
    behind = await EventLog(installation.engine).behind(published.position)
    late = _SEALS_LATE * installation.settings.seal_seconds
    if behind.events and behind.seconds > late:
        events = counted(behind.events, "event")
        age = duration_text(timedelta(seconds=behind.seconds))
        sentence = f"{events} not sealed, the oldest recorded {age} ago"
        return [warning(sentence, "a worker that leads seals them: look at its log")]
    return results


_DATABASE = (Server.DATABASE, Server.LOG)
_BOTH = (*_DATABASE, Server.KAFKA)

CHECKS = (
    Check(
        "requests",
        HEALTH,
        of_sections("intake", see=(HEALTH,)),
        _BOTH,
        failures=("no worker runs", "a request hangs"),
    ),
    Check("erasure requests", ERASURES_WAIT, of_sections("erasures", see=(ERASURES_WAIT,)), _BOTH),
    Check(
        "relay",
        NO_EVENTS,
        of_sections("relay", see=(NO_EVENTS,)),
        _DATABASE,
        failures=("nobody publishes the log", "an event is too large for the topic"),
    ),
    Check(
        "read models",
        READ_MODELS,
        of_sections("projections", see=(READ_MODELS,)),
        _DATABASE,
        failures=("no projector works", "a stream has stopped"),
    ),
    Check(
        "rights on the read models",
        ROLES,
        of_sections(
            "projections",
            see=(ROLES,),
            well="no role may use an older generation only",
        ),
        _DATABASE,
        failures=("roles lack rights on the live generation",),
    ),
    Check(
        "restored log",
        RESTORED,
        of_sections(
            *("relay", "projections"),
            see=(RESTORED,),
            well="the log has the events of the checkpoints and of the read models",
        ),
        _DATABASE,
        failures=(
            "the log was restored, the read models were not",
            "the log was restored, Kafka has more",
            "the log was restored, the erasures since are not confirmed",
        ),
    ),
    Check(
        "dead letters",
        UNREADABLE,
        of_sections("dead_letters", see=(UNREADABLE,)),
        (Server.KAFKA,),
        failures=("a request cannot be read",),
    ),
    Check("open runs", OPEN_RUN, of_sections("open_runs", see=(OPEN_RUN,)), _DATABASE),
    Check("seals", NOT_SEALED, seals, _BOTH),
)
