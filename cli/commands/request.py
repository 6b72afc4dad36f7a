"""`request`: publish a `SyncRequested` and, if asked to, wait for what comes of it."""

import json
import sys
import time
from datetime import datetime
from typing import NamedTuple

from aiokafka.errors import KafkaError
from rich.console import Console

from cli.render import sync as show
from cli.runfile import resolve
from cli.servers import answering_database
from cli.settings import Settings
from cli.waiting import StillRunningError, run_ended
from contracts.error_text import describe_error
from contracts.messages import SyncRequested
from messaging.requests import producing, publish_request
from projections.queries import JsonRow, Queries


class Report(NamedTuple):
    """What to tell about the request."""

    wait: bool
    timings: bool
    timeout: float
    as_json: bool


async def request(settings: Settings, message: SyncRequested, report: Report) -> int:
    """Publish, report; 0 completed (or published, without waiting), 1 otherwise."""
    addresses = resolve(settings)
    began = time.monotonic()
    try:
        async with producing(addresses.kafka) as producer:
            await publish_request(producer, message)
    except KafkaError as error:
        print(
            f"spreaview-sync: the request was not published, Kafka at {addresses.kafka} does not "
            f"answer: {describe_error(error)}\n"
            "Remedy: check SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS and the broker, then request again.",
            file=sys.stderr,
        )
        return 1
    if not report.wait:
        said = {"request_id": str(message.request_id), "published": True}
        print(json.dumps(said) if report.as_json else f"requested sync {message.request_id}")
        return 0
    async with answering_database(addresses.database_url, pool_size=1) as engine:
        queries = Queries(engine)
        try:
            run = await run_ended(queries, message.request_id, report.timeout)
        except StillRunningError as error:
            print(f"spreaview-sync: {error}", file=sys.stderr)
            return 1
        skipped = await queries.skipped_sessions(message.spreaview_event_id)
    waited = time.monotonic() - began
    timings = _timings(run, message.requested_at, waited) if report.timings else None
    if report.as_json:
        told: dict[str, object] = {"sync_run": run, "skipped_sessions": skipped}
        print(json.dumps(told | ({"timings": timings} if timings else {}), ensure_ascii=False))
    else:
        console = Console(emoji=False)
        show.outcome(console, run, skipped)
        for name, seconds in (timings or {}).items():
            console.print(f"{name:<28} {seconds:8.3f} s")
    return 0 if run["status"] == "completed" else 1


def _timings(run: JsonRow, requested_at: datetime, waited: float) -> dict[str, float]:
    """Seconds from the request to each step, by the clocks of this machine and the database."""
    steps = {"started": run["started_at"], "finished": run["finished_at"]}
    return {
        name: round((datetime.fromisoformat(moment) - requested_at).total_seconds(), 3)
        for name, moment in steps.items()
        if isinstance(moment, str)
    } | {"visible": round(waited, 3)}
