"""Two hundred syncs at once: what one SpreaView event whose Sessionize hangs costs the others.

With and without it, in turn, on one running line; the hanging one comes first in its partition, and
some of the others are behind it there. Printed are the times from the request to the outcome, and
their ratios.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from cli.connections import database
from cli.logs import configure_logging
from cli.sandbox.conference import conference, conference_window, encode_conference
from cli.sandbox.documents import Answer, Delivery, Ending
from cli.sandbox.kafka import kafka
from cli.sandbox.postgres import postgres
from contracts.messages import SyncRequested
from eventstore.migrate import migrate
from messaging.requests import publish_request
from projections.generations import prepare
from tests.support.line import Line, a_request, the_line

WINDOW = conference_window()
SILENCE = Answer(b"", delivery=Delivery(has_head=False, ending=Ending.HANG))


async def one_round(line: Line, number: int, *, hangs: bool) -> list[float]:
    """Seconds from the request to the outcome, of all but the one that hangs."""
    if hangs:
        line.double.documents.put("hanging01", SILENCE)
        await publish_request(line.producer, a_request("hanging01", WINDOW))
    requests = [a_request(f"conf{n:04}", WINDOW) for n in range(number)]
    began = time.monotonic()
    await asyncio.gather(*(publish_request(line.producer, request) for request in requests))
    taken = await asyncio.gather(*(_ended(line, request, began) for request in requests))
    return sorted(taken)


async def _ended(line: Line, request: SyncRequested, began: float) -> float:
    run = await line.ended(request.request_id)
    assert run["status"] == "completed", run
    return time.monotonic() - began


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
