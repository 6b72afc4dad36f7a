"""Compares the record of the harness with the evidence, and returns findings."""

from collections.abc import Sequence

from cli.sandbox.conference import TIME_ZONE
from tests.support.chaos.load import Published
from tests.support.chaos.oracle.judge_log import Asked, judge_requests, judge_streams
from tests.support.chaos.oracle.judge_topic import (
    judge_committed,
    judge_dead_letters,
    judge_offsets,
    judge_uncommitted,
)
from tests.support.chaos.oracle.judge_views import (
    Source,
    judge_final,
    judge_seen,
    judge_sources,
)
from tests.support.chaos.oracle.names import PROJECTORS, WORKERS
from tests.support.chaos.oracle.report import Findings
from tests.support.chaos.oracle.views import Snapshot
from tests.support.chaos.recorder import Served
from tests.support.chaos.settled import Evidence
from tests.support.chaos.world import Form


def judge(
    published: Sequence[Published],
    served: Sequence[Served],
    seen: Sequence[Snapshot],
    evidence: Evidence,
) -> Findings:
    """Return all findings."""
    findings = Findings()
    readable = [one for one in published if one.record.form is not Form.POISON]
    poison = [one for one in published if one.record.form is Form.POISON]
    asked = [
        Asked(one.record.request_id, one.record.event.event_id, one.places) for one in readable
    ]
    log, workers = evidence.log, evidence.workers
    judge_requests(asked, log, workers, findings)
    judge_streams(log, findings)
    judge_committed(evidence.committed, log, findings)
    judge_uncommitted(evidence.uncommitted, log, findings)
    judge_dead_letters(
        {place: one.record.value for one in poison for place in one.places},
        evidence.letters,
        workers,
        findings,
    )
    judge_offsets(WORKERS, evidence.requests.ends(), workers, findings)
    judge_offsets(PROJECTORS, evidence.committed.ends(), evidence.projectors, findings)
    judge_seen(seen, log, findings)
    judge_final(evidence.final, log, findings)
    judge_sources({one.record.request_id: _source(one, served) for one in readable}, log, findings)
    return findings


def _source(one: Published, served: Sequence[Served]) -> Source:
    event = one.record.event
    return Source(
        event.starts_on,
        event.ends_on,
        TIME_ZONE,
        {s.digest: s.body for s in served if s.api_id == event.api_id and s.at >= one.at},
    )
