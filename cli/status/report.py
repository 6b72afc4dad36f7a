"""The state of the whole system, and the problems in it."""

from dataclasses import dataclass
from typing import NamedTuple

from cli.status.headings import (
    ERASURES_WAIT,
    HEALTH,
    NO_EVENTS,
    OPEN_RUN,
    READ_MODELS,
    RESTORED,
    ROLES,
    SERVERS,
    UNREADABLE,
)
from cli.status.sections import (
    Erasures,
    Generations,
    Intake,
    OpenLetters,
    OpenRuns,
    ReadModels,
    Relay,
    Seals,
    Section,
    Shown,
    Unknown,
)
from contracts.wording import counted


class Problem(NamedTuple):
    """Something that an operator has to act on."""

    section: str
    problem: str
    """A sentence."""
    next: str | None
    """The command that mends it or shows more; None if the sentence has the remedy."""
    see: str
    """The heading of `docs/operations.md` that explains it."""

    def to_json(self) -> dict[str, object]:
        """The fields by name."""
        return dict(self._asdict())


@dataclass(frozen=True)
class Status:
    """The state of the whole system."""

    intake: Section[Intake]
    erasures: Section[Erasures]
    relay: Section[Relay]
    projections: Section[ReadModels]
    dead_letters: Section[OpenLetters]
    open_runs: Section[OpenRuns]
    generations: Section[Generations]
    seals: Section[Seals]

    def sections(self) -> dict[str, Section[Shown]]:
        """Every section by its name, in order."""
        return {
            "intake": self.intake,
            "erasures": self.erasures,
            "relay": self.relay,
            "projections": self.projections,
            "dead_letters": self.dead_letters,
            "open_runs": self.open_runs,
            "generations": self.generations,
            "seals": self.seals,
        }

    @property
    def problems(self) -> list[Problem]:
        """Everything that an operator has to act on; empty if all is well."""
        return [
            *self._unknown(),
            *self._of_the_relay(),
            *self._of_the_read_models(),
            *self._of_the_workers(),
            *self._of_the_letters(),
        ]

    @property
    def is_well(self) -> bool:
        """Whether nothing has to be done, and everything could be read."""
        return not self.problems

    @property
    def has_worker(self) -> bool | None:
        """Whether a worker runs; None if that is not known."""
        if isinstance(self.intake, Intake) and self.intake.workers is not None:
            return self.intake.workers > 0
        if isinstance(self.relay, Relay):
            relay, unread = self.relay
            if relay.leader is not None or relay.mismatch is not None:
                return True
            # A worker that cannot reach Kafka gives up the leadership.
            return None if unread is not None else False
        return None

    def to_json(self) -> dict[str, object]:
        """The document of `status --json`."""
        return {
            "well": self.is_well,
            "problems": [problem.to_json() for problem in self.problems],
            **{name: section.to_json() for name, section in self.sections().items()},
        }

    def _unknown(self) -> list[Problem]:
        """One problem per reason: several sections fail because of one server."""
        reasons: dict[Unknown, list[str]] = {}
        for name, section in self.sections().items():
            unread = section.unread if isinstance(section, Relay) else section
            if isinstance(unread, Unknown):
                reasons.setdefault(unread, []).append(name)
        return [
            Problem(
                ", ".join(names),
                unread.reason,
                "spreaview-sync doctor" if unread.is_late else None,
                ROLES if unread.is_hidden else SERVERS,
            )
            for unread, names in reasons.items()
        ]

    def _of_the_relay(self) -> list[Problem]:
        if isinstance(self.relay, Unknown):
            return []
        relay, unread = self.relay
        found = []
        if relay.mismatch is not None:
            found.append(Problem("relay", relay.mismatch, None, RESTORED))
        elif relay.leader is None and relay.behind.events and unread is None:
            waiting = counted(relay.behind.events, "event")
            problem = f"nobody publishes: {waiting} not on Kafka yet, and no worker leads"
            found.append(Problem("relay", problem, "spreaview-sync worker", NO_EVENTS))
        elif relay.is_stuck:
            waiting = counted(relay.behind.events, "event")
            problem = (
                f"{waiting} not on Kafka for {relay.behind.seconds:.0f} s, although "
                f"{relay.leader} leads: it is catching up, or its log names the reason"
            )
            found.append(Problem("relay", problem, None, NO_EVENTS))
        if relay.unpublished:
            problem = f"{counted(len(relay.unpublished), 'event')} too large for the topic"
            found.append(Problem("relay", problem, "spreaview-sync relay status", NO_EVENTS))
        return found

    def _of_the_read_models(self) -> list[Problem]:
        if isinstance(self.projections, Unknown):
            return []
        status, projectors = self.projections
        found = []
        show, repair = "spreaview-sync projections status", "spreaview-sync projections repair"
        if status.ahead:
            ahead = counted(len(status.ahead), "stream")
            problem = f"the log was restored or replaced: {ahead} ahead of it"
            found.append(Problem("projections", problem, f"{repair} --ahead", RESTORED))
        if stopped := len(status.stopped):
            problem = f"{counted(stopped, 'stream')} stopped"
            found.append(Problem("projections", problem, show, READ_MODELS))
        if status.lag.streams and (projectors == 0 or status.is_stuck):
            lag = f"{counted(status.lag.streams, 'stream')} behind for {status.lag.seconds:.0f} s"
            reason = "no projector runs" if projectors == 0 else "no projector makes progress"
            problem = f"{lag}, and {reason}"
            found.append(Problem("projections", problem, "spreaview-sync projector", READ_MODELS))
        if status.without_rights:
            problem = f"no rights on the live generation: {', '.join(status.without_rights)}"
            found.append(Problem("projections", problem, show, ROLES))
        return found

    def _of_the_workers(self) -> list[Problem]:
        if self.has_worker is None:
            return []
        found = []
        for name, section, see in (
            ("intake", self.intake, HEALTH),
            ("erasures", self.erasures, ERASURES_WAIT),
            ("open_runs", self.open_runs, OPEN_RUN),
        ):
            if isinstance(section, Unknown) or not section.work:
                continue
            if not self.has_worker:
                found.append(_without_worker(name, section.work, see))
            elif section.is_stuck:
                found.append(_hanging(name, f"{section.work}, {section.delay}", see))
        return found

    def _of_the_letters(self) -> list[Problem]:
        if isinstance(self.dead_letters, Unknown) or not self.dead_letters.open:
            return []
        letters = counted(self.dead_letters.open, "dead letter")
        return [Problem("dead_letters", f"{letters} open", "spreaview-sync dlq list", UNREADABLE)]


def _without_worker(section: str, waiting: str, see: str) -> Problem:
    return Problem(section, f"{waiting}, and no worker runs", "spreaview-sync worker", see)


def _hanging(section: str, waiting: str, see: str) -> Problem:
    """Work waits for too long although a worker runs."""
    remedy = (
        "look at its log, at /ready, and at the transactions in spreaview-sync doctor; "
        "restart it if they show no cause"
    )
    return Problem(section, f"{waiting}, although a worker runs: {remedy}", None, see)
