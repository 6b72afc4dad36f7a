"""`replay`: the log, or a part of it, published again and marked as a replay."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from audit.past.moments import Moment, require_recorded, require_stream
from audit.transfer.replay import (
    ReplayedFile,
    ReplayIdentity,
    ReplayResult,
    ReplaySelection,
    Sender,
    replayed_file,
    to_lines,
    to_topic,
)
from audit.transfer.replay import replay as replay_events
from cli.brokers import with_known_features
from cli.command import new_app, run
from cli.errors import CommandError
from cli.options import LAST_POSITION, Json, OneEvent, name_argument, output_option
from cli.output import existing_file, is_standard_output, output_file
from cli.render.progress import progress
from cli.runfile import resolve
from cli.servers import kafka_errors, open_database
from cli.settings import Settings
from contracts.topics import TOPICS
from contracts.wording import counted
from eventstore.log import EventLog
from messaging.publisher import TransactionalPublisher
from messaging.topics import declare_replay

app = new_app()

_CONTINUE = "run the same command again; it continues where it was."
_BEGIN_AGAIN = (
    "run the same command again; it begins again, for this broker has no transactions: "
    "give --after to leave out what is on the topic."
)


class Replay(NamedTuple):
    """The selection that is replayed, and its destination."""

    name: str
    selection: ReplaySelection
    topic: str | None
    output: Path | None
    """None without a topic is standard output."""
    pace: float | None


@app.command()
def replay(
    name: Annotated[
        str,
        typer.Option(
            parser=name_argument,
            help="Marks the events; the same name again continues that replay. "
            "A topic of a broker without transactions gets it from the beginning.",
            metavar="NAME",
        ),
    ],
    to_topic: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Publish to this topic, not one of ours.")
    ] = None,
    output: Annotated[
        Path | None, output_option("Write to this file, or continue it; default: -.")
    ] = None,
    after: Annotated[
        int,
        typer.Option(
            min=0,
            max=LAST_POSITION,
            metavar="POSITION",
            help="Begin after this position of the log.",
        ),
    ] = 0,
    until: Annotated[
        int | None,
        typer.Option(min=0, metavar="POSITION", help="End at this position; default: the head."),
    ] = None,
    event_id: OneEvent = None,
    pace: Annotated[
        float | None,
        typer.Option(min=0.001, help="Times the original speed; default: as fast as possible."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Publish the log again, marked as a replay.

    The events keep their order. A replay that was interrupted continues under its name.
    """
    if to_topic is not None and output is not None:
        raise typer.BadParameter("use --to-topic or --output, not both")
    if to_topic in TOPICS:
        raise typer.BadParameter(
            "events on this topic are new events to its subscribers; name a topic of your own",
            param_hint="'--to-topic'",
        )
    if until is not None and after > until:
        raise typer.BadParameter("--after is later than --until")
    selection = ReplaySelection(after, until, event_id)
    wanted = Replay(name, selection, to_topic, output, pace)
    run(partial(publish_again, wanted, as_json=as_json), as_json=as_json)


async def publish_again(wanted: Replay, settings: Settings, *, as_json: bool) -> int:
    """Replay to the end of the selection, then report how far it came."""
    async with open_database(settings, pool_size=2) as engine:
        log = EventLog(engine)
        for position in (wanted.selection.after, wanted.selection.until):
            await require_recorded(log, Moment(position))
        if wanted.selection.spreaview_event_id is not None:
            await require_stream(log, wanted.selection.spreaview_event_id)
        try:
            if wanted.topic is not None:
                result = await _to_topic(settings, wanted, wanted.topic, log)
            else:
                result = await _to_lines(wanted, log)
        except ValueError as error:
            raise CommandError(str(error)) from error
    text = f"{counted(result.events, 'event')} replayed, up to position {result.position}"
    # The events themselves are on standard output, unless they go elsewhere.
    elsewhere = wanted.topic is not None or not is_standard_output(wanted.output)
    where = sys.stdout if as_json and elsewhere else sys.stderr
    print(json.dumps(result.to_json()) if as_json else text, file=where)
    return 0


async def _to_topic(settings: Settings, wanted: Replay, topic: str, log: EventLog) -> ReplayResult:
    addresses = resolve(settings)
    with kafka_errors(addresses.kafka, remedy=_CONTINUE):
        addresses = await with_known_features(addresses)
    remedy = _CONTINUE if addresses.kafka_transactions else _BEGIN_AGAIN
    with kafka_errors(addresses.kafka, remedy=remedy):
        await declare_replay(
            addresses.kafka,
            topic,
            partitions=settings.kafka_partitions,
            replication_factor=settings.kafka_replication_factor,
            manage=settings.kafka_manage_topics,
        )
        group = f"spreaview-replay-{wanted.name}"
        publisher = TransactionalPublisher(
            addresses.kafka, topic, group, addresses.kafka_transactions, log.clock
        )
        identity = await _identity(log, wanted)
        async with to_topic(publisher, identity) as (sender, reached):
            selection = await _continued(log, wanted, reached, f"the topic {topic}")
            return await _replay(log, selection, sender, wanted.pace)


async def _to_lines(wanted: Replay, log: EventLog) -> ReplayResult:
    identity = await _identity(log, wanted)
    there = existing_file(wanted.output) if wanted.output is not None else None
    found = replayed_file(there, identity) if there is not None else ReplayedFile()
    selection = await _continued(log, wanted, found.position, str(wanted.output))
    with output_file(wanted.output, keep=found.whole_bytes, size=found.size) as file:
        return await _replay(log, selection, to_lines(file.write_text, identity), wanted.pace)


async def _identity(log: EventLog, wanted: Replay) -> ReplayIdentity:
    log_id = (await log.identity()).log_id
    return ReplayIdentity(log_id, wanted.name, wanted.selection.spreaview_event_id)


async def _continued(log: EventLog, wanted: Replay, reached: int, where: str) -> ReplaySelection:
    """The selection without what the replay has reached. Raises if the log is shorter."""
    head = await log.head()
    if reached > head:
        raise CommandError(
            f"the replay {wanted.name!r} has reached position {reached} in {where}, beyond the "
            f"head of the log, which is at {head}: it replayed another log, or the log was "
            "restored.\nRemedy: choose another --name, and another file or topic."
        )
    return wanted.selection._replace(after=max(wanted.selection.after, reached))


async def _replay(
    log: EventLog, selection: ReplaySelection, sender: Sender, pace: float | None
) -> ReplayResult:
    """Replay with a progress bar."""
    until = await log.head() if selection.until is None else selection.until
    with progress("replay") as update:
        total = max(0, until - selection.after)
        return await replay_events(
            log,
            selection,
            sender,
            pace=pace,
            on_progress=lambda position: update(position - selection.after, total),
        )
