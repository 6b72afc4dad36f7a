"""`replay`."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from audit.transfer.replay import (
    ReplayResult,
    ReplaySelection,
    last_position,
    replay,
    to_kafka,
    to_lines,
)
from cli.runfile import resolve, resolve_database
from cli.servers import answering_database
from cli.settings import Settings
from contracts.error_text import describe_error
from eventstore.log import EventLog
from messaging.publisher import Outlet
from messaging.topics import declare_replay


class Wanted(NamedTuple):
    """What to replay, and to where."""

    name: str
    part: ReplaySelection
    topic: str | None
    output: Path | None
    """None without a topic is standard output."""
    pace: float | None


async def replay_log(settings: Settings, wanted: Wanted, *, as_json: bool) -> int:
    """Replay; 0 if it came to its end, 1 if Kafka is not there or the file is another's."""
    async with answering_database(resolve_database(settings), pool_size=2) as engine:
        log = EventLog(engine)
        try:
            if wanted.topic is not None:
                done = await _to_topic(settings, wanted, wanted.topic, log)
            else:
                done = await _to_lines(wanted, log)
        except (KafkaError, TimeoutError) as error:
            print(
                f"spreaview-sync: Kafka does not answer: {describe_error(error)}", file=sys.stderr
            )
            print("Remedy: the same command again goes on where it was.", file=sys.stderr)
            return 1
        except ValueError as error:
            print(f"spreaview-sync: {error}", file=sys.stderr)
            return 1
    text = f"{done.events} events were told again, up to position {done.position}"
    # On standard output are the events, unless they go elsewhere.
    elsewhere = wanted.output is not None or wanted.topic is not None
    where = sys.stdout if as_json and elsewhere else sys.stderr
    print(json.dumps(done.to_json()) if as_json else text, file=where)
    return 0


async def _to_topic(settings: Settings, wanted: Wanted, topic: str, log: EventLog) -> ReplayResult:
    addresses = resolve(settings)
    await declare_replay(
        addresses.kafka,
        topic,
        partitions=settings.kafka_partitions,
        replication_factor=settings.kafka_replication_factor,
    )
    group = f"spreaview-replay-{wanted.name}"
    outlet = Outlet(addresses.kafka, topic, group, transactions=addresses.kafka_transactions)
    log_id = (await log.identity()).log_id
    async with outlet.opened() as opened:
        after = max(wanted.part.after, opened.mark.position if opened.mark else 0)
        part = wanted.part._replace(after=after)
        with _progress(part, await log.head()) as told:
            sender = to_kafka(opened, log_id, wanted.name)
            return await replay(log, part, sender, pace=wanted.pace, on_progress=told)


async def _to_lines(wanted: Wanted, log: EventLog) -> ReplayResult:
    log_id = (await log.identity()).log_id
    if wanted.output is None:
        sender = to_lines(sys.stdout.write, log_id, wanted.name)
        return await replay(log, wanted.part, sender, pace=wanted.pace)
    after = max(wanted.part.after, last_position(wanted.output, wanted.name))
    wanted.output.touch(mode=0o600)  # people's names are in it
    part = wanted.part._replace(after=after)
    head = await log.head()
    with wanted.output.open("a", encoding="utf-8") as file, _progress(part, head) as told:
        sender = to_lines(file.write, log_id, wanted.name)
        return await replay(log, part, sender, pace=wanted.pace, on_progress=told)


@contextmanager
def _progress(part: ReplaySelection, head: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, with the time that remains; nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("replay"), BarColumn(), TimeRemainingColumn())
    until = head if part.until is None else part.until
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("replay", total=max(0, until - part.after))
        yield lambda position: bar.update(task, completed=position - part.after)
