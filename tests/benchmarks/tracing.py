"""The cost of traces: spans of a sync, times the cost of one span, over the CPU time of a sync.

    python -m tests.benchmarks.tracing

The syncs run without traces, and once more to count their spans. A span is measured in a loop, with
its attributes, its encoding and its export to a collector on this machine. All is CPU time of one
process, so that the load of the machine matters little; quote the last line.
"""

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

from opentelemetry.trace import SpanKind, Tracer

from cli.connections import database
from cli.logs import configure_logging
from cli.sandbox.conference import conference, conference_window, encode_conference
from cli.sandbox.kafka import kafka
from cli.sandbox.postgres import postgres
from cli.telemetry.observing import ended, messaging_attributes
from cli.telemetry.tracing import ENDPOINTS, tracing
from contracts.topics import SYNC_REQUESTS
from eventstore.migrate import migrate
from messaging.requests import publish_request
from projections.prepare import prepare
from tests.support.line import Line, a_request, the_line
from tests.support.otlp import Collector, otlp_collector
from tests.support.sessionize.answers import Answer

WINDOW = conference_window()
SPANS = 20_000


async def syncs(line: Line, number: int) -> float:
    """CPU seconds of one sync, of several that run at the same time."""
    for n in range(number):
        schedule = encode_conference(conference(f"conf{n:04}", sessions=40))
        line.double.documents.put(f"conf{n:04}", Answer(schedule))
    requests = [a_request(f"conf{n:04}", WINDOW) for n in range(number)]
    began = time.process_time()
    await asyncio.gather(*(publish_request(line.producer, request) for request in requests))
    for request in requests:
        await line.ended(request.request_id)
    return (time.process_time() - began) / number


async def span_seconds(tracer: Tracer) -> float:
    """CPU seconds of one span of a typical size, with its export."""
    began = time.process_time()
    for n in range(SPANS):
        attributes = {**messaging_attributes("process", SYNC_REQUESTS), "spreaview.sync_id": str(n)}
        span = tracer.start_span("process", kind=SpanKind.CONSUMER, attributes=attributes)
        with ended(span):
            pass
        if n % 500 == 0:
            await asyncio.sleep(0.01)  # the exporter has a queue of 2,048 spans
    return (time.process_time() - began) / SPANS


async def until_exported(collector: Collector, number: int) -> None:
    """Wait for the span that ends last in each sync."""
    name = f"process {SYNC_REQUESTS}"
    while True:
        if sum(span.name == name for span in collector.spans) >= number:
            return
        await asyncio.sleep(0.1)


async def main(number: int) -> None:
    """Measure, and print."""
    configure_logging("ERROR", "console")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with postgres(folder / "postgres") as url, kafka(log_path=folder / "kafka") as broker:
            async with database(url, pool_size=2) as engine:
                await migrate(engine)
                await prepare(engine)
            async with the_line(broker, url, kafka_session_seconds=1.0) as line:
                await syncs(line, number)  # to warm up
                seconds = await syncs(line, number)
            async with otlp_collector() as collector:
                os.environ[ENDPOINTS[0]] = collector.url
                async with the_line(broker, url, kafka_session_seconds=1.0) as line:
                    await syncs(line, number)
                    await until_exported(collector, number)
                spans = len(collector.spans) / number
                async with tracing("1.0", "worker") as tracer:
                    cost = await span_seconds(tracer)
    print(f"CPU time of a sync: {seconds * 1e3:.1f} ms")
    print(f"spans of a sync: {spans:.1f}, each {cost * 1e6:.0f} µs, with the collector's part")
    print(f"traces cost {spans * cost / seconds:.2%} of a sync")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=50)
    asyncio.run(main(parser.parse_args().number))
