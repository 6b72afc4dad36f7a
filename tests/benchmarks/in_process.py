"""One sync in this process, without Kafka: the steps of worker and projector, and nothing else."""

import hashlib
import json
import time
from datetime import UTC, datetime
from uuid import UUID

from cli.sandbox.conference import conference, conference_window, encode_conference
from cli.settings import Settings
from contracts.events import Source
from eventstore.log import EventLog
from projections.projector import Projector
from tests.benchmarks.servers import Database
from tests.support.line import a_request
from worker.source.sessionize import Fetched
from worker.sync.handle import Handler, RequestContext

_API_ID = "growth01"
_WINDOW = conference_window()


class Schedule:
    """A schedule of about 120 entities, with a title that changes on request."""

    def __init__(self) -> None:
        document = conference(_API_ID, sessions=60, speakers=45)
        self._document = json.loads(encode_conference(document))
        self._title = self._document["sessions"][0]["title"]

    def rename(self, number: int) -> None:
        """Give the first session another title."""
        self._document["sessions"][0]["title"] = f"{self._title} ({number})"

    def begin(self, _: str, __: float) -> None:
        pass

    async def fetch(self, _: str, __: float) -> Fetched:
        """Return the schedule as Sessionize would."""
        body = json.dumps(self._document).encode()
        source = Source(
            digest=hashlib.sha256(body).hexdigest(),
            size_bytes=len(body),
            fetched_at=datetime.now(UTC),
            fetch_ms=0,
        )
        return Fetched(body, source)


class InProcess:
    """Worker and projector on a database. Create it with `in_process`."""

    def __init__(self, handler: Handler, projector: Projector) -> None:
        self._handler = handler
        self._projector = projector

    async def sync(self, event: UUID) -> None:
        """Sync a SpreaView event; its rows are visible at the end."""
        context = RequestContext(datetime.now(UTC), time.monotonic(), None)
        await self._handler.handle(a_request(_API_ID, _WINDOW, event_id=event), context)
        await self._projector.catch_up([event])


async def in_process(database: Database, schedule: Schedule) -> InProcess:
    """Return worker and projector on a database."""
    log = EventLog(database.engine)
    handler = Handler(
        log,
        schedule,
        await log.identity(),
        "benchmark",
        snapshot_events=Settings().snapshot_events,
    )
    return InProcess(handler, Projector(database.engine, sweep_seconds=60))
