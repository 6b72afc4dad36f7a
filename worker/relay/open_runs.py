"""Ending the runs whose requests are gone from Kafka, so that no run stays open forever."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.events import SyncStarted
from contracts.identity import message_id
from eventstore.damage import UnreadableEventError
from eventstore.log import EventLog
from eventstore.open_runs import OpenRun, started_runs, still_open
from messaging.backlog import PartitionBacklog
from messaging.backoff import retry_until_success
from worker.relay.relay import Relay
from worker.rules.sync_failures import internal_error
from worker.sync.commits import open_run
from worker.sync.end_run import end_run

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0

_REQUEST_IS_GONE = "its request is no longer on Kafka, so no worker could finish it"


class _Note(NamedTuple):
    """The open runs and the topic of requests at one look."""

    runs: set[OpenRun]
    """Open runs. Their requests were published before."""
    ends: Mapping[int, int]
    """Ends of the request partitions, read after the runs: the requests lie below them."""


class OpenRuns:
    """Finds open runs whose requests are gone, and ends them. One leader's work, by `look`.

    A request is gone if the workers have committed beyond the ends that its topic had when its run
    was open already, and the run is still open. Age alone ends nothing: while no worker commits, as
    in an outage, every run stays open, and the worker that receives its request resumes it.

    Args:
        backlog: reads the backlog of the workers on the topic of requests; a partition that does
            not exist any more is not in it, and counts as committed.
        log: appends the outcomes; by default the log of `engine`.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        backlog: Callable[[], Awaitable[Mapping[int, PartitionBacklog]]],
        log: EventLog | None = None,
    ) -> None:
        self._engine = engine
        self._log = log or EventLog(engine)
        self._backlog = backlog
        self.forget()

    def forget(self) -> None:
        """Begin again: another process has led meanwhile."""
        self._position = 0
        self._open: set[OpenRun] = set()
        self._seen: set[OpenRun] | None = None
        self._note: _Note | None = None
        self._unreadable: set[OpenRun] = set()

    async def look(self) -> int:
        """Note the open runs, or end the runs of the last note; return the number of ended runs.

        Kafka is asked only if a run was open at the look before, too, or at the first one.

        Raises:
            aiokafka.errors.KafkaError: the broker does not answer.
            sqlalchemy.exc.DBAPIError: the database does not answer.
        """
        await self._find_open()
        lasting = self._open if self._seen is None else self._open & self._seen
        self._seen = set(self._open)
        if self._note is None:
            if lasting:
                backlog = await self._backlog()
                self._note = _Note(lasting, {number: b.end for number, b in backlog.items()})
            return 0
        if not self._note.runs & self._open:
            self._note = None
            return 0
        backlog = await self._backlog()
        for number, end in self._note.ends.items():
            if number in backlog and backlog[number].is_below(end):
                return 0
        # A worker commits after the outcome is in the log, so the log is read after the offsets.
        gone = await still_open(self._engine, self._note.runs)
        self._note = None
        return sum([await self._end(run) for run in gone])

    async def _find_open(self) -> None:
        """Update the set of open runs by the runs that started since the last look."""
        head = await self._log.head()
        started = await started_runs(self._engine, after=self._position, upto=head)
        self._open = await still_open(self._engine, self._open) | started
        self._position = head

    async def _end(self, run: OpenRun) -> bool:
        recorded = await self._log.event(message_id(run.sync_id, 0))
        try:
            started = recorded.event if recorded is not None else None
        except UnreadableEventError as error:  # a newer worker may have written it
            if run not in self._unreadable:
                self._unreadable.add(run)
                logger.warning(
                    "sync %s stays open: %s", run.sync_id, error, extra={"sync_id": run.sync_id}
                )
            return False
        if not isinstance(started, SyncStarted):
            return False  # appended under another message id: by no version of the worker
        return await end_run(self._log, open_run(started), internal_error(_REQUEST_IS_GONE))


async def end_abandoned_runs(open_runs: OpenRuns, relay: Relay) -> None:
    """Look for runs whose requests are gone, forever; only while this process leads."""
    while True:
        if relay.is_leading:
            await retry_until_success("open runs", open_runs.look, on=lambda _: True)
        else:
            open_runs.forget()
        await asyncio.sleep(LOOK_SECONDS)
