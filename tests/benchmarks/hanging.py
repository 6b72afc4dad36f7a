"""Two hundred syncs at once: what one SpreaView event whose Sessionize hangs costs the others.

With and without it, in turn, on one running line; the hanging one comes first in its partition, and
some of the others are behind it there. It hangs until all others have ended, and is then waited
for: a round finds nothing left of the one before. Printed are the times from the request to the
outcome, and their ratios.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from cli.connections import database
from cli.logs import configure_logging
from cli.sandbox.conference import conference, conference_window, encode_conference
from cli.sandbox.kafka import kafka
from cli.sandbox.postgres import postgres
from eventstore.migrate import migrate
from messaging.requests import publish_request
from projections.prepare import prepare
from tests.support.line import Line, a_request, the_line
from tests.support.sessionize.answers import Answer, Delivery

WINDOW = conference_window()
_LOOK_SECONDS = 0.02
_ENDED = text("""
    SELECT sync_id FROM spreaview.sync_runs WHERE sync_id = ANY(:ids) AND finished_at IS NOT NULL
""")
HANGS_SECONDS = 30.0
SILENCE = Answer(b"", status=404, delivery=Delivery(head_after_seconds=HANGS_SECONDS))


async def one_round(line: Line, number: int, *, hangs: bool) -> list[float]:
    """Seconds from the request to the outcome, of all but the one that hangs."""
    hanging = a_request("hanging01", WINDOW)
    if hangs:
        await publish_request(line.producer, hanging)
    requests = [a_request(f"conf{n:04}", WINDOW) for n in range(number)]
    began = time.monotonic()
    await asyncio.gather(*(publish_request(line.producer, request) for request in requests))
    open_ = {request.request_id for request in requests}
    taken: list[float] = []
    while open_:
        ended = await _ended(line, open_)
        taken += [time.monotonic() - began] * len(ended)
        open_ -= ended
        await asyncio.sleep(_LOOK_SECONDS)
    if hangs:
        assert not await _ended(line, {hanging.request_id}), f"it hung for {HANGS_SECONDS} s only"
        await line.ended(hanging.request_id)
    return taken


async def _ended(line: Line, requests: set[UUID]) -> set[UUID]:
    async with line.engine.connect() as connection:
        found = await connection.execute(_ENDED, {"ids": list(requests)})
        return set(found.scalars())


async def main(rounds: int, number: int) -> None:
    """Measure, and print."""
    configure_logging("ERROR", "console")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with postgres(folder / "postgres") as url, kafka(log_path=folder / "kafka") as broker:
            async with database(url, pool_size=2) as engine:
                await migrate(engine)
                await prepare(engine)
            async with the_line(
                broker, url, kafka_session_seconds=1.0, fetch_seconds=600.0, graceful_timeout=0.5
            ) as line:
                line.double.documents.put("hanging01", SILENCE)
                for n in range(number):
                    schedule = encode_conference(conference(f"conf{n:04}", sessions=40))
                    line.double.documents.put(f"conf{n:04}", Answer(schedule))
                await one_round(line, number, hangs=False)  # to warm up
                taken: dict[bool, list[list[float]]] = {False: [], True: []}
                for n in range(2 * rounds):
                    hangs = n % 4 in (1, 2)  # without, with, with, without
                    taken[hangs].append(await one_round(line, number, hangs=hangs))
    for title, pick in (("median", 0.5), ("95 %", 0.95), ("last", 1.0)):
        without, with_it = (
            statistics.median(times[int(pick * (number - 1))] for times in taken[hangs])
            for hangs in (False, True)
        )
        print(f"{title:>7}: without {without:.3f} s, with {with_it:.3f} s, {with_it / without:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--number", type=int, default=200)
    chosen = parser.parse_args()
    asyncio.run(main(chosen.rounds, chosen.number))
