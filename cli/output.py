"""Files that a command writes. They hold personal data, so only their owner may read them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def private_file(path: Path, mode: str) -> Iterator[IO[Any]]:
    """Open a file that only its owner may read; raises `OSError` that names the file."""
    path.touch(mode=0o600)
    encoding = None if "b" in mode else "utf-8"
    with path.open(mode, encoding=encoding) as file:
        yield file


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that is there whole, or not at all if the block fails."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with private_file(partial, "wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
