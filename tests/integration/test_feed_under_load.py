"""50 clients follow a growing log while the server is killed, and then the log is restored."""

import sys
from pathlib import Path

import pytest

from tests.support.feed_load.run import Size, run

pytestmark = pytest.mark.asyncio

# The last kill is the one in which the log is restored.
SIZE = Size(clients=50, kills=2, seconds=1.0, sessions=20, per_second=3.0, burst=5)


@pytest.mark.parametrize("feed_bytes", [None, 30_000], ids=["usual tail", "small tail"])
async def test_every_client_has_each_event_once_in_order_or_gets_a_reset(
    database_url: str, tmp_path: Path, feed_bytes: int | None
) -> None:
    figures = await run(database_url, SIZE._replace(feed_bytes=feed_bytes), tmp_path)
    print(figures.table())
    assert not figures.wrong, figures.table()
    assert figures.numbers["connections"] >= (SIZE.clients - 1) * (SIZE.kills + 1)
    assert figures.numbers["deliveries with a known latency"] > 0


@pytest.mark.soak
@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("lose", "a client received"),
        ("repeat", "a client received"),
        ("be-silent", "did not get a reset"),
    ],
)
async def test_the_clients_notice_a_faulty_feed(
    database_url: str, tmp_path: Path, fault: str, found: str
) -> None:
    program = (sys.executable, "-m", "tests.support.feed_load.faulty", fault)
    size = SIZE._replace(clients=9, kills=1, patience=10.0)
    figures = await run(database_url, size, tmp_path, program=program)
    assert any(found in wrong for wrong in figures.wrong), figures.table()
