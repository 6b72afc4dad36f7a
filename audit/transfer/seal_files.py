"""Seals, taken from the topic to be kept elsewhere, and read again."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from contracts.topics import LOG_SEALS
from eventstore.seals import Seal, decode_seal, encode_seal
from messaging.topic_reader import partitions_of, reading, to_the_end

_BEGINNING = b'{"log_id":"'
"""Of every seal, as `encode_seal` writes it."""


async def published_seals(bootstrap_servers: str) -> list[Seal]:
    """The newest seal of every stream on the topic. Raises aiokafka.errors.KafkaError."""
    newest: dict[bytes, Seal] = {}
    async with reading(bootstrap_servers) as reader:
        partitions = await partitions_of(reader, LOG_SEALS)
        async for record in to_the_end(reader, partitions):
            if record.key and record.value:
                newest[record.key] = decode_seal(record.value)
    return list(newest.values())


def add_seals(path: Path, seals: Iterable[Seal]) -> int:
    """Add the seals that a file does not have, one per line; how many.

    The file is made if there is none, readable by its owner alone. What it has stays: the topic
    keeps a stream's newest seal only, and one that was made after a chain was made anew would hide
    it. A last line that was cut off while it was written is taken away.

    Raises:
        ValueError: the file is not one of seals, or of another log; it is as it was.
        OSError: it cannot be written.
    """
    path.touch(mode=0o600)  # whose events there are is nobody's business
    size = _size_of_whole_lines(path)
    newest = {seal.stream_id: seal for seal in read_seals(path, size=size)}
    new = [s for s in seals if _place(newest.get(s.stream_id)) != _place(s)]
    logs = {seal.log_id for seal in (*newest.values(), *new)}
    if len(logs) > 1:
        raise ValueError(f"{path} has seals of another log. Remedy: name another file")
    with path.open("r+b") as file:
        file.truncate(size)
        file.seek(size)
        file.writelines(encode_seal(seal) + b"\n" for seal in new)
    return len(new)


def _size_of_whole_lines(path: Path) -> int:
    content = path.read_bytes()
    size = content.rfind(b"\n") + 1
    end = content[size:]
    if not _BEGINNING.startswith(end[: len(_BEGINNING)]):
        raise ValueError(f"{path}, its last line: no seal, and none that was cut off")
    return size


def _place(seal: Seal | None) -> tuple[int, str] | None:
    return None if seal is None else (seal.version, seal.hash)


def read_seals(path: Path, *, size: int | None = None) -> Iterator[Seal]:
    """The seals of a file that `add_seals` made, or of its first bytes.

    Raises:
        ValueError: there is no seal on a line, which is named.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if size is not None and (size := size - len(line)) < 0:
                return
            try:
                yield decode_seal(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
