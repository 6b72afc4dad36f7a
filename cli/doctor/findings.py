"""Checks, and their findings."""

from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cli.doctor.installation import Installation


class Verdict(StrEnum):
    """The verdict of a finding."""

    OK = "ok"
    WARNING = "warning"
    """Something to know; nothing has to be done now."""
    PROBLEM = "problem"
    """Somebody has to act."""
    NOT_CHECKED = "not checked"


class Server(StrEnum):
    """A precondition of checks. The value begins a sentence."""

    DATABASE = "PostgreSQL"
    LOG = "the schema of the database"
    """PostgreSQL answers and has this program's schema."""
    KAFKA = "Kafka"


class Result(NamedTuple):
    """One thing that a check has found."""

    verdict: Verdict
    sentence: str
    remedy: str | None = None
    """A command or a sentence."""
    see: str | None = None
    """The heading of the runbook, if it is not the check's."""
    is_hidden: bool = False
    """Whether it was not checked because this role lacks a right."""


class Finding(NamedTuple):
    """A result with the name of its check."""

    check: str
    verdict: Verdict
    sentence: str
    remedy: str | None
    see: str
    """The heading of `docs/operations.md`."""
    is_hidden: bool

    @property
    def needs_action(self) -> bool:
        """Whether all is not well, or is not known and could be."""
        is_unknown = self.verdict is Verdict.NOT_CHECKED and not self.is_hidden
        return self.verdict is Verdict.PROBLEM or is_unknown

    def to_json(self) -> dict[str, object]:
        """The fields by name."""
        return {
            "check": self.check,
            "verdict": str(self.verdict),
            "sentence": self.sentence,
            "remedy": self.remedy,
            "see": self.see,
        }


class Check(NamedTuple):
    """A check of one part."""

    name: str
    see: str
    """The heading of `docs/operations.md` that the check stands for."""
    look: Callable[["Installation"], Awaitable[Sequence[Result]]]
    """Raises the errors of commands; they become findings."""
    needs: tuple[Server, ...] = ()
    """Without one of these, nothing is checked."""
    reaches: Server | None = None
    """The precondition of other checks that is fulfilled if this one raises nothing."""
    failures: tuple[str, ...] = ()
    """The rows of the runbook's table of failures that the check finds."""


def ok(sentence: str) -> Result:
    """All is well."""
    return Result(Verdict.OK, sentence)


def warning(sentence: str, remedy: str | None = None, *, see: str | None = None) -> Result:
    """Something to know."""
    return Result(Verdict.WARNING, sentence, remedy, see)


def problem(sentence: str, remedy: str | None = None, *, see: str | None = None) -> Result:
    """Somebody has to act."""
    return Result(Verdict.PROBLEM, sentence, remedy, see)


def not_checked(
    reason: str, remedy: str | None = None, *, see: str | None = None, is_hidden: bool = False
) -> Result:
    """It is not known."""
    return Result(Verdict.NOT_CHECKED, reason, remedy, see, is_hidden)
