"""dlt: seconds to fetch a schedule and merge its entities into tables, the median of some runs.

python dlt_merge.py POSTGRES_URL SCHEDULE_URL ROUNDS
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator

import dlt
import requests


def main(database: str, schedule: str, rounds: int) -> None:
    # dlt requires a password, although this server trusts every local user.
    credentials = database.replace("postgres@", "postgres:unused@")
    document: dict[str, list[dict[str, object]]] = {}

    @dlt.source(max_table_nesting=0)  # type: ignore[untyped-decorator]
    def sessionize() -> Iterator[object]:
        document.update(requests.get(schedule, timeout=30).json())
        for name in ("sessions", "speakers", "rooms"):
            yield dlt.resource(
                document[name], name=name, primary_key="id", write_disposition="merge"
            )

    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "bench",
            pipelines_dir=folder,
            destination=dlt.destinations.postgres(credentials),
            dataset_name="dlt_bench",
        )
        taken = []
        for _ in range(rounds + 1):
            began = time.perf_counter()
            pipeline.run(sessionize())
            taken.append(time.perf_counter() - began)
    print(statistics.median(taken[1:]))


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
