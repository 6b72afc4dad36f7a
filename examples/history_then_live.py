"""Read the whole history over HTTP, then continue from Kafka without a gap or a repetition.

Usage: history_then_live.py COUNT

Kafka keeps import events for 30 days by default; the log keeps them all. Prints the id of each
event once, in the order of its SpreaView event, until COUNT are printed.
"""

import asyncio
import os
import sys

import httpx
from aiokafka import AIOKafkaConsumer

HEADERS = {"Authorization": f"Bearer {os.environ.get('SPREAVIEW_TOKEN', 'none')}"}
TOPIC = "spreaview.import-events.v1"


async def main(count: int) -> None:
    """Join the topic first, so that nothing is between history and live events."""
    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=os.environ["SPREAVIEW_KAFKA"],
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    client = httpx.AsyncClient(base_url=os.environ["SPREAVIEW_HTTP"], headers=HEADERS)
    await consumer.start()
    try:
        printed, after, head, last = 0, "start", 0, dict[bytes, int]()
        while True:
            page = await client.get("/v1/import-events", params={"after": after})
            answer = page.raise_for_status().json()
            for event in answer["events"]:
                print(event["id"], flush=True)
                printed += 1
                head = event["position"]
            after = answer["next"]
            if answer["caught_up"]:
                break
        while printed < count:
            record = await consumer.getone()
            headers = {name: value.decode() for name, value in record.headers}
            position = int(headers["ce_position"])
            if headers["ce_source"] != f"urn:spreaview:log:{answer['log_id']}":
                continue  # an event of a log before a restore
            if position <= max(head, last.get(record.key, 0)):
                continue  # the history had it, or the relay repeats it
            last[record.key] = position
            print(headers["ce_id"], flush=True)
            printed += 1
    finally:
        await client.aclose()
        await consumer.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
