"""Ending a run with a failure, from its ids alone."""

import logging
from dataclasses import replace

from contracts.messages import RequestIds
from eventstore.log import RunRecord
from eventstore.model import AlreadyRecordedError, StreamMovedError
from worker.rules.sync_failures import SyncFailure, internal_error
from worker.sync.commits import ActiveRun, failure_commit
from worker.sync.ports import SyncLog

logger = logging.getLogger(__name__)

_INBOX_WITHOUT_OUTCOME = (
    "the inbox lists this request as handled, but the log holds no outcome of it"
)


class RequestIdTakenError(ValueError):
    """The request id belongs to the run of another request: this one cannot have a run."""

    def __init__(self, whose: str = "of another SpreaView event") -> None:
        super().__init__(f"request_id is that of a sync {whose}")


async def find_run(log: SyncLog, ids: RequestIds) -> RunRecord:
    """Look a run up in the log. Raises `RequestIdTakenError`."""
    found = await log.clock_and_run(ids.request_id)
    check_stream(found, ids)
    return found


def check_stream(found: RunRecord, ids: RequestIds) -> None:
    """Raise `RequestIdTakenError` if the run is one of another SpreaView event."""
    if {found.begun_in, found.ended_in} - {None, ids.spreaview_event_id}:
        raise RequestIdTakenError


async def end_run(log: SyncLog, run: ActiveRun, failure: SyncFailure) -> bool:
    """Append `SyncFailed` without looking at the state; False if the run has an outcome already.

        await end_run(log, run, sync_failures.superseded())

    A request that only the inbox knows ends, too, as `internal_error`: the message id of the
    outcome makes sure that there is only one.

    Raises:
        RequestIdTakenError: nothing was appended.
    """
    commit = failure_commit(run, 0, failure)
    while True:
        version = await log.stream_version(run.ids.spreaview_event_id)
        commit = replace(commit, expected_version=version)
        try:
            await log.append(commit)
        except StreamMovedError:
            continue
        except AlreadyRecordedError:
            if (await find_run(log, run.ids)).ended_in is not None:
                logger.info(
                    "sync %s was ended by another worker",
                    run.ids.request_id,
                    extra=fields_of(run.ids),
                )
                return False
            if commit.inbox is None:
                raise
            logger.error(
                "sync %s: %s", run.ids.request_id, _INBOX_WITHOUT_OUTCOME, extra=fields_of(run.ids)
            )
            failure = internal_error(_INBOX_WITHOUT_OUTCOME)
            commit = replace(failure_commit(run, version, failure), inbox=None)
        else:
            logger.warning(
                "sync %s failed: %s: %s",
                run.ids.request_id,
                failure.code,
                failure.message,
                extra=fields_of(run.ids, code=failure.code),
            )
            return True


def fields_of(ids: RequestIds, **more: object) -> dict[str, object]:
    """The fields of a log line about a run."""
    return {
        "sync_id": ids.request_id,
        "spreaview_event_id": ids.spreaview_event_id,
        "organization_id": ids.organization_id,
        **more,
    }
