"""Explaining why SpreaView shows a session, a room or a speaker, or why it does not."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from audit.explain.lookup import find_entity, our_id
from audit.explain.rules import rule_of
from audit.explain.survey import Decision, EndedRun, Survey, read_survey
from audit.explain.verdicts import Verdict, entity_verdict, session_verdict
from audit.past.entities import warned_kind
from audit.past.moments import NotInThePastError, outcome_of
from contracts import identity
from contracts.events import SyncCompleted, SyncFailed
from eventstore.log import EventLog


class DecidedBy(NamedTuple):
    """The run or erasure that decided."""

    sync_id: UUID
    position: int
    recorded_at: datetime
    source_digest: str | None
    """SHA-256 of the document that the run decided on."""


class Explanation(NamedTuple):
    """The rule that keeps an entity in or out, the values it compared, and the run that decided."""

    kind: str
    """session, room or speaker."""
    sessionize_id: str | None
    id: UUID | None
    session_code: str | None
    name: str
    there: bool
    """Whether SpreaView shows the entity."""
    rule: str
    """A stable name: a key of `audit.explain.rules`."""
    words: str
    remedy: str
    values: Mapping[str, object]
    """The values that the rule compared."""
    decided_by: DecidedBy | None
    notes: tuple[str, ...]
    """Warnings that name the entity, and the outcome of later runs."""
    time_zone: str | None
    """The zone of the event."""

    def to_json(self) -> dict[str, object]:
        """The explanation as JSON values."""
        by = self.decided_by._asdict() if self.decided_by else None
        explanation: dict[str, object] = msgspec.to_builtins(self._asdict() | {"decided_by": by})
        return explanation


async def explain(log: EventLog, event_id: UUID, kind: str, text: str) -> Explanation:
    """Explain a session, room or speaker by its Sessionize id, our id, code, or part of its name.

        explanation = await explain(log, event_id, "session", "Keynote")

    Raises:
        NotInThePastError: the log does not know the event, or the names of several entities
            contain the text.
    """
    survey = await read_survey(log, event_id)
    key = find_entity(survey, kind, text)
    wanted = text if key is None else key
    verdict = (
        session_verdict(survey, wanted)
        if kind == "session"
        else entity_verdict(survey, kind, wanted)
    )
    by = await _decided_by(log, survey, verdict)
    return _explanation(kind, key, verdict.name or text, verdict, survey, by)


async def _decided_by(log: EventLog, survey: Survey, verdict: Verdict) -> DecidedBy | None:
    decision: Decision | EndedRun | None = verdict.decision or survey.completed or survey.failed
    if decision is None:
        return None
    if isinstance(decision, EndedRun):
        run = decision.run
        if run.finished_at is None or run.last_position is None:
            return None
        return DecidedBy(run.sync_id, run.last_position, run.finished_at, run.source_digest)
    digest = None
    try:
        outcome = (await outcome_of(log, decision.sync_id)).event
        if isinstance(outcome, SyncCompleted | SyncFailed) and outcome.source:
            digest = outcome.source.digest
    except NotInThePastError:
        pass  # the decision is an erasure: it has no document
    return DecidedBy(decision.sync_id, decision.position, decision.recorded_at, digest)


def _explanation(
    kind: str,
    key: str | None,
    name: str,
    verdict: Verdict,
    survey: Survey,
    by: DecidedBy | None,
) -> Explanation:
    rule = rule_of(kind, verdict.rule)
    id_ = our_id(survey, kind, key) if key else None
    return Explanation(
        kind=kind,
        sessionize_id=key,
        id=id_,
        session_code=identity.session_code(id_) if id_ and kind == "session" else None,
        name=name,
        there=rule.there,
        rule=verdict.rule,
        words=rule.words,
        remedy=rule.remedy,
        values=verdict.values,
        decided_by=by,
        notes=(*_warnings(survey, kind, key), *_later_runs(survey)),
        time_zone=survey.time_zone,
    )


def _warnings(survey: Survey, kind: str, key: str | None) -> Iterable[str]:
    """The warnings of the last completed run that name the entity."""
    if key is None or survey.completed is None:
        return
    outcome = survey.completed.outcome
    for warning in outcome.warnings if isinstance(outcome, SyncCompleted) else ():
        named = key in warning.sessionize_ids or (
            warning.code == "removals_withheld"
            and key in survey.withheld  # the warning lists only the first ids
        )
        if warned_kind(warning) == kind and named:
            yield f"Warning ({warning.code}): {warning.message}"


def _later_runs(survey: Survey) -> Iterable[str]:
    """The outcomes of the runs after the last completed one."""
    if survey.failed is not None and isinstance(survey.failed.outcome, SyncFailed):
        failure = survey.failed.outcome
        yield (
            f"The last sync, {failure.sync_id}, failed ({failure.code}) and changed nothing: "
            f"{failure.message} {failure.remedy}"
        )
    if survey.superseded is not None:
        sync_id = survey.superseded.run.sync_id
        yield f"Sync {sync_id} was superseded: a later one had completed already."
    for started in survey.state.open_runs.values():
        yield f"Sync {started.sync_id} has begun and has no outcome yet."
