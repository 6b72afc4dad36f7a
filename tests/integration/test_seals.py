"""The leader seals the log from time to time; the seals can be kept elsewhere."""

import asyncio
from pathlib import Path

import pytest

from audit.seals import published_seals, read_seals, write_seals
from audit.verify import verify
from cli.sandbox.conference import conference_window
from eventstore.seals import Seal, heads
from tests.support.brokers import Can, KnownBroker
from tests.support.brokers import broker as broker
from tests.support.line import Line, a_request, the_line
from tests.support.processes import environment, run

pytestmark = pytest.mark.asyncio

WINDOW = conference_window()


async def test_the_newest_heads_are_on_the_topic_and_prove_the_log(
    broker: KnownBroker, database_url: str, tmp_path: Path
) -> None:
    async with the_line(
        broker.address,
        database_url,
        transactions=broker.can(Can.TRANSACTIONS),
        kafka_session_seconds=broker.session_seconds,
        seal_seconds=0.2,
    ) as line:
        first = a_request("demo2026", WINDOW)
        await line.sync(first)
        await sealed(line)
        await line.sync(a_request("demo2026", WINDOW, event_id=first.spreaview_event_id))
        await line.sync(a_request("demo2026", WINDOW))
        seals = await sealed(line)
        file = tmp_path / "seals"
        env = environment(kafka_bootstrap_servers=broker.address, database_url=database_url)
        kept = await asyncio.to_thread(run, "seals", "export", "--output", str(file), env=env)
        assert kept.returncode == 0, kept.stderr
        assert sorted(read_seals(file), key=str) == sorted(seals, key=str)
        found = await verify(line.engine, seals=seals)
        assert (found.found.total(), found.checked["seals"]) == (0, 2)


async def sealed(line: Line) -> list[Seal]:
    """Wait until the topic has every head as it is."""
    log_id = (await line.log.identity()).log_id
    expected = {(s.stream_id, s.version, s.hash) async for s in heads(line.engine, log_id)}
    async with asyncio.timeout(40):
        while True:
            seals = await published_seals(line.addresses.kafka)
            if {(s.stream_id, s.version, s.hash) for s in seals} == expected:
                return seals


async def test_a_line_that_is_no_seal_is_named(tmp_path: Path) -> None:
    write_seals(tmp_path / "seals", [])
    (tmp_path / "seals").write_text('{"no": "seal"}\n')
    with pytest.raises(ValueError, match="line 1"):
        list(read_seals(tmp_path / "seals"))
