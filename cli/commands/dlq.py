"""`dlq`: look at the dead letters, retry or discard them."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, NamedTuple

import typer
from rich.console import Console

from cli.command import REFUSED, new_app, run
from cli.errors import CommandError
from cli.options import Json
from cli.render import dead_letters as render
from cli.render.answer import Answer
from cli.runfile import resolve_kafka
from cli.servers import database_clock, kafka_errors
from cli.settings import Settings
from messaging.connection import KafkaConnection
from messaging.dead_letters.fold import DeadLetter, DeadLetterName, DeadLetters
from messaging.dead_letters.resolution import NotRetriableError, letter_record, read_letters
from messaging.dead_letters.resolution import discard as discard_letter
from messaging.dead_letters.resolution import retry as retry_letter
from messaging.requests import producing
from messaging.topic_reader import TopicReader, open_topic_reader

app = new_app("Dead letters: requests that could not be read.")


def letter_argument(text: str) -> DeadLetterName:
    """Parse the name of a dead letter."""
    try:
        return DeadLetterName.parse(text)
    except ValueError as error:
        raise typer.BadParameter("not a letter such as 3/17") from error


_HELP = "As `dlq list` names it, such as 3/17."
OneLetter = Annotated[
    DeadLetterName,
    typer.Argument(parser=letter_argument, metavar="LETTER", help=_HELP, show_default=False),
]
LettersToDiscard = Annotated[
    list[DeadLetterName],
    typer.Argument(parser=letter_argument, metavar="LETTER...", help=_HELP, show_default=False),
]
SomeLetters = Annotated[
    list[DeadLetterName] | None,
    typer.Argument(parser=letter_argument, metavar="LETTER...", help=_HELP, show_default=False),
]


class _Topic(NamedTuple):
    """The dead-letter topic, read to its end."""

    kafka: KafkaConnection
    reader: TopicReader
    letters: DeadLetters

    def named(self, names: Sequence[DeadLetterName]) -> list[DeadLetter]:
        """Each letter once, in the order of the names. Raises `CommandError` if one is unknown.

        The name of any copy names the letter.
        """
        distinct = list(dict.fromkeys(names))
        found = {letter: None for name in distinct if (letter := self.letters.get(name))}
        if unknown := [str(name) for name in distinct if self.letters.get(name) is None]:
            raise CommandError(
                f"there is no dead letter {', '.join(unknown)}; nothing was done.\n"
                "Remedy: spreaview-sync dlq list --all names every letter."
            )
        return list(found)


@asynccontextmanager
async def _dead_letters(settings: Settings) -> AsyncIterator[_Topic]:
    kafka = resolve_kafka(settings)
    remedy = (
        "check SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS and the broker, then try again; spreaview-sync "
        "dlq list shows which letters are still open."
    )
    with kafka_errors(kafka, "the dead letters cannot be read", remedy=remedy):
        async with open_topic_reader(kafka) as reader:
            yield _Topic(kafka, reader, await read_letters(reader))


@app.command("list")
def list_command(
    everything: Annotated[
        bool, typer.Option("--all", help="Also resolved letters, with their resolution.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the open dead letters."""
    run(partial(list_letters, everything=everything), as_json=as_json)


async def list_letters(settings: Settings, *, everything: bool) -> Answer:
    """The open letters, or all of them."""
    async with _dead_letters(settings) as topic:
        chosen = topic.letters.all() if everything else topic.letters.open()
    value = [render.as_row(letter) for letter in chosen]
    return Answer(value, partial(render.show_table, letters=chosen, everything=everything))


@app.command()
def show(
    letter: OneLetter,
    raw: Annotated[
        bool, typer.Option("--raw", help="The exact bytes of the body, secrets included.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show everything about a dead letter. API IDs are masked, except with --raw."""
    if raw and as_json:
        raise typer.BadParameter("--raw prints bytes and --json prints JSON: choose one")
    run(partial(show_letter, letter, raw=raw), as_json=as_json)


async def show_letter(name: DeadLetterName, settings: Settings, *, raw: bool) -> Answer | int:
    """One letter with its body."""
    async with _dead_letters(settings) as topic:
        (letter,) = topic.named([name])
        record = await letter_record(topic.reader, name)
    if record is None:
        raise CommandError(f"the letter {name} is not in the topic any more")
    if raw:
        sys.stdout.buffer.write(record.value or b"")
        sys.stdout.buffer.flush()
        return 0
    shown = partial(render.show_letter, letter=letter, record=record)
    return Answer(render.as_whole(letter, record), shown)


@app.command()
def retry(
    letters: SomeLetters = None,
    everything: Annotated[bool, typer.Option("--all", help="Retry every open letter.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also letters that are resolved already.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Publish requests again as they were; they keep their place in the order.

    A request that still cannot be read becomes a new dead letter.
    """
    if everything == bool(letters):
        raise typer.BadParameter("name letters, or use --all")
    if everything and again:
        raise typer.BadParameter("--again needs the names of letters")
    names = None if everything else tuple(letters or ())
    run(partial(retry_letters, names, again=again), as_json=as_json)


async def retry_letters(
    names: Sequence[DeadLetterName] | None, settings: Settings, *, again: bool
) -> Answer:
    """Publish letters again, the one first received first; None means every open one.

    Exit code 1 if a letter could not be retried; the others are.
    """
    retried: list[dict[str, object]] = []
    failed: list[dict[str, object]] = []
    async with _dead_letters(settings) as topic:
        chosen = topic.letters.open() if names is None else topic.named(names)
        if names is not None:
            chosen = sorted(chosen, key=lambda x: (x.first_received_ms, x.name))
            if not again:
                _refuse_resolved(chosen, "Name it with --again to publish it once more.")
        async with producing(topic.kafka, database_clock(settings)) as producer:
            for letter in chosen:
                try:
                    published = await retry_letter(topic.reader, producer, letter)
                except NotRetriableError as error:
                    failed.append({"letter": str(letter.name), "error": str(error)})
                    print(
                        f"spreaview-sync: {letter.name} cannot be retried: {error}\nRemedy: "
                        "request a new sync, then discard the letter.",
                        file=sys.stderr,
                    )
                    continue
                place = published._asdict()
                where = {k: place[k] for k in ("topic", "partition", "offset")}
                retried.append({"letter": str(letter.name), **where})

    def show(_: Console) -> None:
        for each in retried:
            print(
                f"{each['letter']} is published again: {each['topic']}/{each['partition']}"
                f"@{each['offset']}"
            )
        if not chosen:
            print("No open dead letters.")

    return Answer({"retried": retried, "failed": failed}, show, REFUSED if failed else 0)


@app.command()
def discard(
    letters: LettersToDiscard,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why nobody needs them.", show_default=False)
    ],
    as_json: Json = False,
) -> None:
    """Record that dead letters will not be retried, and why."""
    if not reason.strip():
        raise typer.BadParameter("--reason is empty")
    run(partial(discard_letters, tuple(letters), reason.strip()), as_json=as_json)


async def discard_letters(
    names: Sequence[DeadLetterName], reason: str, settings: Settings
) -> Answer:
    """Discard letters; if one name is wrong or resolved, none is discarded."""
    async with _dead_letters(settings) as topic:
        chosen = topic.named(names)
        _refuse_resolved(chosen, "Nothing is left to do about it.")
        async with producing(topic.kafka, database_clock(settings)) as producer:
            for letter in chosen:
                await discard_letter(producer, letter.name, reason)

    def show(_: Console) -> None:
        for letter in chosen:
            print(f"{letter.name} is discarded")

    return Answer({"discarded": [str(letter.name) for letter in chosen]}, show)


def _refuse_resolved(letters: Sequence[DeadLetter], remedy: str) -> None:
    if resolved := [letter for letter in letters if letter.resolutions]:
        listed = ", ".join(
            f"{letter.name} was {letter.resolutions[-1].outcome}" for letter in resolved
        )
        raise CommandError(f"{listed} already; nothing was done.\nRemedy: {remedy}")
