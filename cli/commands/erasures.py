"""`erasures`: all erasures together, for backups and restores."""

from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.replay import ErasureReplay, export_erasures, replay_topics, summary
from audit.past.moments import Moment, require_recorded
from cli.brokers import relay_publisher, with_known_features
from cli.command import REFUSED, new_app, run
from cli.errors import CommandError
from cli.options import Json, output_option, time_argument
from cli.output import is_standard_output, output_file
from cli.render.answer import Answer, sentence
from cli.runfile import resolve
from cli.servers import kafka_errors, open_database
from cli.settings import Settings
from contracts.wording import counted
from eventstore.checkpoints import Checkpoints
from eventstore.log import EventLog
from eventstore.restored import confirm_place
from messaging.topic_reader import open_topic_reader
from worker.relay.rewind import log_mismatch

app = new_app("Erasures as a whole: export them, replay them.")

_FROM_FILE = (
    "Remedy: erase from an export of the erasures: spreaview-sync erase-speaker --from FILE\n"
    "Then run: spreaview-sync erasures replay --accept-gap\n"
    "If the backup is newer than its newest import, name its time instead: --backup-time TIME"
)


@app.command()
def export(
    output: Annotated[Path, output_option("One erased person per line, ids only.")],
    as_json: Json = False,
) -> None:
    """Write all erasures to a file.

    Keep it apart from the backups: after a restore, `erase-speaker --from` repeats them.
    """
    run(partial(export_all, output), as_json=as_json)


async def export_all(output: Path, settings: Settings) -> Answer | int:
    """Write the file."""
    async with open_database(settings) as engine:
        lines = await export_erasures(engine)
    with output_file(output) as file:
        file.write(b"".join(lines))
    if is_standard_output(output):
        return 0
    number = counted(len(lines), "erased person")
    return sentence({"exported": len(lines)}, f"{number} written to {output}")


@app.command()
def replay(
    backup_time: Annotated[
        datetime | None,
        typer.Option(
            parser=time_argument,
            metavar="TIME",
            help="When the backup was made. Default: the time of the newest import in the log.",
        ),
    ] = None,
    accept_gap: Annotated[
        bool,
        typer.Option(
            "--accept-gap", help="Confirm although a topic does not reach back to the backup."
        ),
    ] = False,
    without_kafka: Annotated[
        bool,
        typer.Option(
            "--without-kafka",
            help="Read no topic and only confirm: the erasures come from files, or there are none.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Repeat the erasures since the backup, then confirm the restored log.

    Reads the erasure requests and the published SpeakerErased events. Until a restored log is
    confirmed, no service starts and nothing is served or published. Exit code 1 if this command
    could not confirm it.
    """
    work = partial(
        replay_and_confirm,
        backup_time=backup_time,
        accept_gap=accept_gap,
        without_kafka=without_kafka,
    )
    run(work, as_json=as_json)


async def replay_and_confirm(
    settings: Settings, *, backup_time: datetime | None, accept_gap: bool, without_kafka: bool
) -> Answer:
    """Replay, then confirm unless a source has a gap."""
    async with open_database(settings, pool_size=3) as engine:
        await require_recorded(EventLog(engine), Moment(time=backup_time))
        done = ErasureReplay()
        if not without_kafka:
            done = await _replay(settings, engine, backup_time)
        is_confirmed = accept_gap or not done.gaps
        if is_confirmed:
            async with engine.begin() as connection:
                await confirm_place(connection)

    def show(_: Console) -> None:
        if not without_kafka:
            print(summary(done))
        for gap in done.gaps:
            print(f"gap          {gap}")
        if is_confirmed:
            print("The log is confirmed: services start, and continue, by themselves.")
        else:
            print(f"The log is not confirmed: erasures may be missing.\n{_FROM_FILE}")

    value = {"confirmed": is_confirmed, **done.to_json()}
    return Answer(value, show, exit_code=0 if is_confirmed else REFUSED)


async def _replay(
    settings: Settings, engine: AsyncEngine, backup_time: datetime | None
) -> ErasureReplay:
    addresses = resolve(settings)
    days = settings.erasure_retention_days
    async with AsyncExitStack() as stack:
        stack.enter_context(kafka_errors(addresses.kafka, "the erasures cannot be read"))
        addresses = await with_known_features(addresses)
        publisher = relay_publisher(addresses)
        mismatch = await log_mismatch(EventLog(engine), Checkpoints(engine), publisher)
        if mismatch is not None:
            raise CommandError(
                f"{mismatch}\nRun that first: it gives the log a new id, which is confirmed here."
            )
        reader = await stack.enter_async_context(open_topic_reader(addresses.kafka))
        return await replay_topics(
            engine,
            reader,
            backup_time=backup_time,
            requests_kept=None if days is None else timedelta(days=days),
            events_kept=timedelta(days=settings.events_retention_days),
        )
