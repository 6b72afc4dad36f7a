"""Files of seals, kept outside the database: writing them from the topic, and reading them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from contracts.topics import LOG_SEALS
from eventstore.seals import Seal, decode_seal, encode_seal
from messaging.connection import KafkaConnection
from messaging.topic_reader import known_partitions_of, open_topic_reader, to_the_end

_BEGINNING = b'{"log_id":"'
"""The beginning of every seal that `encode_seal` writes."""


async def published_seals(kafka: KafkaConnection) -> list[Seal]:
    """The newest seal of every stream on the topic.

    Raises:
        UnknownTopicError: the topic does not exist, or is not shown to us.
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    newest: dict[bytes, Seal] = {}
    async with open_topic_reader(kafka) as reader:
        partitions = await known_partitions_of(reader, LOG_SEALS)
        async for record in to_the_end(reader, partitions):
            if record.key and record.value:
                newest[record.key] = decode_seal(record.value)
    return list(newest.values())


def add_seals(path: Path, seals: Iterable[Seal]) -> int:
    """Append the seals that a file does not have, one per line. Returns their number.

        add_seals(path, await published_seals(kafka))

    Creates the file if necessary, readable by its owner only. Older seals stay in the file: the
    topic keeps only the newest seal of a stream, and after somebody rebuilt a chain that seal
    would fit the new chain. Removes a last line that was cut off while it was written.

    Raises:
        ValueError: the file has other content, or the seals of another log; it is not changed.
        OSError: the file cannot be written.
    """
    path.touch(mode=0o600)  # the ids of the SpreaView events are confidential
    size = _size_of_whole_lines(path)
    newest = {seal.stream_id: seal for seal in read_seals(path, size=size)}
    new = [s for s in seals if _sealed(newest.get(s.stream_id)) != _sealed(s)]
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
        raise ValueError(f"{path}: its last line is not a seal, not even a part of one")
    return size


def _sealed(seal: Seal | None) -> tuple[int, str] | None:
    return None if seal is None else (seal.version, seal.hash)


def read_seals(path: Path, *, size: int | None = None) -> Iterator[Seal]:
    """The seals in a file that `add_seals` wrote, or in its first `size` bytes.

    Raises:
        ValueError: a line, named by its number, is not a seal.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if size is not None and (size := size - len(line)) < 0:
                return
            try:
                yield decode_seal(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
