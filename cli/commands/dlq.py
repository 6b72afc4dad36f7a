"""`dlq`: look at the dead letters, retry or discard them."""

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from aiokafka.errors import KafkaError
from rich.console import Console

from cli.render import dead_letters as show
from cli.runfile import resolve_kafka
from cli.settings import Settings
from contracts.error_text import describe_error
from messaging.dead_letters import resolution as retrying
from messaging.dead_letters.fold import Letter, LetterName, Letters
from messaging.dead_letters.resolution import NotRetriableError, letter_record, read_letters
from messaging.requests import producing
from messaging.topic_reader import Reader, reading


class _RefusedError(Exception):
    """Why nothing was done, as the user is told."""


class _Read(NamedTuple):
    kafka: str
    reader: Reader
    letters: Letters


async def list_letters(settings: Settings, *, everything: bool, as_json: bool) -> int:
    """Print the open letters, or all; 0, or 1 if Kafka does not answer."""

    async def work(read: _Read) -> int:
        chosen = read.letters.all() if everything else read.letters.open()
        if as_json:
            print(json.dumps([show.as_row(letter) for letter in chosen], ensure_ascii=False))
        else:
            show.table(Console(emoji=False), chosen, everything=everything)
        return 0

    return await _on_letters(settings, work)


async def show_letter(settings: Settings, name: LetterName, *, raw: bool, as_json: bool) -> int:
    """Print one letter; 0, or 1 if there is none or Kafka does not answer."""

    async def work(read: _Read) -> int:
        (letter,) = _named(read.letters, [name])
        record = await letter_record(read.reader, name)
        if record is None:
            raise _RefusedError(f"the letter {name} is not in the topic any more")
        if raw:
            sys.stdout.buffer.write(record.value or b"")
            sys.stdout.buffer.flush()
        elif as_json:
            print(json.dumps(show.as_whole(letter, record)))
        else:
            show.whole(Console(emoji=False), letter, record)
        return 0

    return await _on_letters(settings, work)


async def retry(
    settings: Settings, names: Sequence[LetterName] | None, *, again: bool, as_json: bool
) -> int:
    """Publish letters again, the one first received first; None means every open one.

    Returns:
        0, or 1 if Kafka does not answer, a name is wrong (nothing is done then) or a letter could
        not be retried (the others are).
    """

    async def work(read: _Read) -> int:
        if names is None:
            chosen = read.letters.open()
        else:
            wanted = _named(read.letters, names)
            chosen = sorted(wanted, key=lambda x: (x.first_received_ms, x.name))
            if not again:
                _refuse_dealt_with(chosen, "Name it with --again to publish it once more.")
        retried: list[dict[str, object]] = []
        failed: list[dict[str, object]] = []
        async with producing(read.kafka) as producer:
            for letter in chosen:
                try:
                    published = await retrying.retry(read.reader, producer, letter)
                except NotRetriableError as error:
                    failed.append({"letter": str(letter.name), "error": str(error)})
                    print(
                        f"spreaview-sync: {letter.name} cannot be retried: {error}\nRemedy: "
                        "request the sync anew, then discard the letter.",
                        file=sys.stderr,
                    )
                    continue
                place = published._asdict()
                where = {k: place[k] for k in ("topic", "partition", "offset")}
                retried.append({"letter": str(letter.name), **where})
                if not as_json:
                    print(
                        f"{letter.name} is published again: {published.topic}/"
                        f"{published.partition}@{published.offset}"
                    )
        if as_json:
            print(json.dumps({"retried": retried, "failed": failed}))
        elif not chosen:
            print("No open dead letters.")
        return 1 if failed else 0

    return await _on_letters(settings, work)


async def discard(
    settings: Settings, names: Sequence[LetterName], reason: str, *, as_json: bool
) -> int:
    """Record that letters are not to be retried; 0, or 1 as `retry`."""

    async def work(read: _Read) -> int:
        chosen = _named(read.letters, names)
        _refuse_dealt_with(chosen, "Nothing is left to do about it.")
        async with producing(read.kafka) as producer:
            for letter in chosen:
                await retrying.discard(producer, letter.name, reason)
                if not as_json:
                    print(f"{letter.name} is discarded")
        if as_json:
            print(json.dumps({"discarded": [str(letter.name) for letter in chosen]}))
        return 0

    return await _on_letters(settings, work)


async def _on_letters(settings: Settings, work: Callable[[_Read], Awaitable[int]]) -> int:
    kafka = resolve_kafka(settings)
    try:
        async with reading(kafka) as reader:
            return await work(_Read(kafka, reader, await read_letters(reader)))
    except KafkaError as error:
        print(
            f"spreaview-sync: the dead letters are out of reach, Kafka at {kafka} does not answer: "
            f"{describe_error(error)}\n"
            "Remedy: check SPREAVIEW_KAFKA_BOOTSTRAP_SERVERS and the broker, then try "
            "again; spreaview-sync dlq list shows what is still open.",
            file=sys.stderr,
        )
        return 1
    except _RefusedError as refused:
        print(f"spreaview-sync: {refused}", file=sys.stderr)
        return 1


def _named(letters: Letters, names: Sequence[LetterName]) -> list[Letter]:
    """Each letter once, in the order of the names. Raises `_RefusedError` if one does not exist."""
    distinct = list(dict.fromkeys(names))
    found = [letter for name in distinct if (letter := letters.get(name)) is not None]
    if unknown := [str(name) for name in distinct if letters.get(name) is None]:
        raise _RefusedError(
            f"there is no dead letter {', '.join(unknown)}; nothing was done.\n"
            "Remedy: spreaview-sync dlq list --all names every letter."
        )
    return found


def _refuse_dealt_with(letters: Sequence[Letter], remedy: str) -> None:
    dealt_with = [letter for letter in letters if letter.fates]
    if dealt_with:
        said = ", ".join(f"{letter.name} was {letter.fates[-1].fate}" for letter in dealt_with)
        raise _RefusedError(f"{said} already; nothing was done.\nRemedy: {remedy}")
