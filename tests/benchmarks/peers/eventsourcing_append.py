"""pyeventsourcing: appended events per second.

python eventsourcing_append.py URL WRITERS SIZE APPENDS
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit
from uuid import uuid4

from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

STATE = b'{"name": "' + b"Hall " * 100 + b'"}'


def main(url: str, writers: int, size: int, appends: int) -> None:
    at = urlsplit(url)
    store = PostgresDatastore(
        dbname=at.path[1:],
        host=at.hostname or "",
        port=str(at.port),
        user=at.username or "",
        password=at.password or "",
        pool_size=writers,
        max_overflow=0,
    )
    recorder = PostgresApplicationRecorder(store, events_table_name=f"peer_{uuid4().hex[:8]}")
    recorder.create_table()

    def append(_: int) -> None:
        stream = uuid4()
        for number in range(appends):
            recorder.insert_events(
                [
                    StoredEvent(
                        originator_id=stream,
                        originator_version=number * size + n,
                        topic="contracts.events:RoomImported",
                        state=STATE,
                    )
                    for n in range(1, size + 1)
                ]
            )

    with ThreadPoolExecutor(writers) as pool:
        append(0)
        began = time.perf_counter()
        list(pool.map(append, range(writers)))
        print(writers * size * appends / (time.perf_counter() - began))
    store.close()


main(sys.argv[1], *(int(one) for one in sys.argv[2:]))
